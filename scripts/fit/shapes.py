"""Shapes of tables as rows of seven numbers, and their neighbors."""

from collections.abc import Sequence

from imgcompress.quantization.tables import TableShape

NAMES = (
    "smooth tilt",
    "texture tilt",
    "edge tilt",
    "chroma tilt",
    "chroma ratio",
    "luma DC ratio",
    "chroma DC ratio",
)
"""Of ``TableShape.numbers``."""
TILTS = 4
"""The first of them are tilts, the others ratios."""
TILT_BOUNDS, RATIO_BOUNDS = (0.0, 3.0), (0.1, 10.0)
"""Flat tables to ones that reach 255 from a reference step of 5; beyond lies no table worth trying."""


def shape_of(numbers: Sequence[float]) -> TableShape:
    """The shape of seven numbers.

    Raises:
        ValueError: not seven, or one is out of bounds; the message names it.
    """
    if len(numbers) != len(NAMES):
        raise ValueError(f"a shape has seven numbers ({', '.join(NAMES)}), not {len(numbers)}")
    for place, (name, number) in enumerate(zip(NAMES, numbers, strict=True)):
        low, high = TILT_BOUNDS if place < TILTS else RATIO_BOUNDS
        if not low <= number <= high:
            raise ValueError(f"{name}: expected {low} to {high}, got {number}")
    smooth, texture, edge, chroma_tilt, chroma_ratio, luma_dc, chroma_dc = numbers
    return TableShape((smooth, texture, edge), chroma_tilt, chroma_ratio, (luma_dc, chroma_dc))


def written(shape: TableShape) -> str:
    """As ``--shape`` takes it."""
    return ",".join(f"{number:.4f}" for number in shape.numbers)


def neighbors(shape: TableShape, share: float) -> dict[str, TableShape]:
    """The shapes with one number moved up or down.

    Args:
        shape: the one in the middle.
        share: how far, of the number itself, in (0, 1).

    Returns:
        By what was moved.

    Raises:
        ValueError: a number leaves its bounds.
    """
    found = {}
    for place, name in enumerate(NAMES):
        for factor in (1 - share, 1 + share):
            moved = list(shape.numbers)
            moved[place] *= factor
            found[f"{name} {moved[place]:.3g}"] = shape_of(moved)
    return found
