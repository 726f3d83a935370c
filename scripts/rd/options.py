"""Words of the command line that several scripts take."""

from argparse import ArgumentTypeError


def words(text: str) -> list[str]:
    """Separated by commas."""
    return text.split(",")


def integers(text: str) -> tuple[int, ...]:
    """Separated by commas."""
    return tuple(int(word) for word in text.split(","))


def size(text: str) -> tuple[int, int]:
    """Width and height, as 384x256."""
    width, height = text.split("x")
    return int(width), int(height)


def steps(text: str) -> list[float]:
    """Reference steps, ascending.

    Raises:
        ArgumentTypeError: too few for a curve, or out of range.
    """
    found = sorted({float(word) for word in text.split(",")})
    if len(found) < 2 or not 0 < found[0] <= found[-1] <= 255:
        raise ArgumentTypeError("at least two different steps above 0 and up to 255")
    return found
