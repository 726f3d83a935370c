"""Text that may go anywhere: names and messages of files are anybody's."""


def printable(text: str) -> str:
    r"""One line of what terminals, logs and XML 1.0 can hold, all else as its escape (``\n``, ``\x1b``).

    A file name that is no UTF-8 has lone surrogates; they become their escapes, too.

    Args:
        text: any.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
