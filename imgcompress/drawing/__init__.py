"""Maps and pairs of pictures drawn for people."""
