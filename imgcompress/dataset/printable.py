"""Text of unknown origin for a terminal."""


def printable(text: str) -> str:
    """Names, comments and EXIF are anybody's: what is no printable character must not reach the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
