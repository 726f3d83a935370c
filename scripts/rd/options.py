"""Words of the command line that several scripts take."""


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
