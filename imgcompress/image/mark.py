"""The note by which files of ours are recognized: one text, in a place of its own in each format."""

from collections.abc import Iterable

from imgcompress.image.containers import boxes

_OURS = b"imgcompress\0"

PNG_MARK = b"imGC"
"""Private, ancillary, not to be copied by a program that changes the picture (PNG, third edition, 5.4)."""
WEBP_MARK = b"IMGC"
_AVIF_MARK = bytes.fromhex("6f1c9a52d2b84c1e9b0e696d67636f6d")


def mark_payload(note: bytes) -> bytes:
    """What our segment, chunk or box holds.

    Args:
        note: who wrote the file and how, ASCII.
    """
    return _OURS + note


def is_mark(payload: bytes) -> bool:
    """Whether ``mark_payload`` made this."""
    return payload.startswith(_OURS)


def chunks_are_marked(chunks: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether chunks of a PNG or WebP file have our note among them."""
    return any(kind in (PNG_MARK, WEBP_MARK) and is_mark(body) for kind, body in chunks)


def avif_mark(note: bytes) -> bytes:
    """Our note as a box at the end of an AVIF file (ISO/IEC 14496-12, 11.1: ``uuid``)."""
    content = b"uuid" + _AVIF_MARK + mark_payload(note)
    return (4 + len(content)).to_bytes(4, "big") + content


def avif_is_marked(data: bytes) -> bool:
    """Whether an AVIF file has our note."""
    return any(
        kind == b"uuid" and data[body : body + 16] == _AVIF_MARK and is_mark(data[body + 16 : stop])
        for kind, body, stop in boxes(data, 0, len(data))
    )
