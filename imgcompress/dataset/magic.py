"""Pictures told by how their bytes begin."""

HEAD_BYTES = 16
"""How many bytes are enough."""

_NUMBERS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
    b"GIF87a",
    b"GIF89a",
)


def begins_as_picture(head: bytes) -> bool:
    """Whether these are the first bytes of a JPEG, PNG, TIFF, GIF, WebP or AVIF.

    Args:
        head: at least ``HEAD_BYTES`` bytes of it, or all if it has fewer.
    """
    is_riff_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_avif = head[4:12] in (b"ftypavif", b"ftypavis")
    return is_riff_webp or is_avif or head.startswith(_NUMBERS)
