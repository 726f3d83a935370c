"""Where a JPEG's bits went."""

import torch
from torch import Tensor

from imgcompress.errors import PictureError, Reason
from imgcompress.formats.jpeg.huffman import code_lengths
from imgcompress.image.jpeg_file import parse_jpeg, read_coefficients
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.quantization.symbols import fill_dummy_blocks, symbol_stream, table_count
from imgcompress.shapes import Float


def bits_per_mcu(jpeg: bytes) -> Float[Tensor, "down across"]:
    """Bits that each MCU takes in a sequential coding with optimal Huffman tables.

    A progressive file spends them in other places of the file, but for the same coefficients.

    Args:
        jpeg: a file with one of the samplings that are written.

    Returns:
        Bits, one value a minimum coded unit (16x16 pixels at 4:2:0).

    Raises:
        PictureError: the coefficients cannot be read (``unsupported``).
    """
    header = parse_jpeg(jpeg)
    stored = read_coefficients(jpeg, header)
    sampling = SAMPLINGS.get(header.subsampling)
    if stored is None or sampling is None:
        raise PictureError(Reason.UNSUPPORTED, "the coefficients of this JPEG cannot be read")
    down = -(-header.height // sampling.mcu_height)
    across = -(-header.width // sampling.mcu_width)
    planes = []
    for component, blocks in enumerate(stored):
        horizontal, vertical = sampling.factors(component)
        whole = torch.zeros((1, down * vertical, across * horizontal, 8, 8), dtype=torch.int16)
        whole[0, : blocks.shape[0], : blocks.shape[1]] = blocks
        planes.append(fill_dummy_blocks(whole, component, sampling, [header.height], [header.width]))
    stream = symbol_stream(planes, sampling, [header.height], [header.width])
    symbols = stream.keys & 255
    table = (stream.keys >> 8) % table_count(sampling)
    lengths = code_lengths(stream.counts)[0, table.long(), symbols.long()] + (symbols & 15)
    # Every block begins with its DC symbol, whose tables have the even numbers.
    block = torch.cumsum(table % 2 == 0, 0) - 1
    blocks_per_mcu = sum(h * v for h, v in (sampling.factors(c) for c in range(sampling.components)))
    bits = torch.zeros(down * across, dtype=torch.float32)
    bits.index_add_(0, block // blocks_per_mcu, lengths.float())
    return bits.view(down, across)
