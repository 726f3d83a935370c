"""The order in which a block's coefficients are coded."""

from imgcompress.image.sampling import BLOCK


def _diagonal_order(index: int) -> tuple[int, int]:
    row, column = divmod(index, BLOCK)
    return row + column, row if (row + column) % 2 else column


ZIGZAG = tuple(sorted(range(BLOCK * BLOCK), key=_diagonal_order))
"""The natural (row-major) index of each zigzag position (T.81, figure A.6)."""
