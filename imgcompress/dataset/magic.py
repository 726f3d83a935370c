"""Pictures told by how their bytes begin."""

from imgcompress.errors import PictureError
from imgcompress.image.containers import format_of

HEAD_BYTES = 64
"""How many bytes are enough."""

_WEAK = ("bmp", "ico", "ppm", "jxr", "exr", "psd", "qoi")
"""Formats with short numbers, or rare ones: a file of these needs a name that says so, too."""
_SHORT = (b"\xff\xd8", b"\xff\x0a")
"""JPEG and JPEG XL begin with two bytes that other data begin with, too."""


def begins_as_picture(head: bytes) -> bool:
    """Whether these are the first bytes of a picture in a common format.

    Args:
        head: at least ``HEAD_BYTES`` bytes of it, or all if it has fewer.
    """
    if head.startswith(_SHORT) and not head.startswith(b"\xff\xd8\xff"):
        return False
    try:
        return format_of(head) not in _WEAK
    except PictureError:
        return False
