"""A batched JPEG writer: Huffman coding, markers, and the file as a whole (ITU-T T.81)."""
