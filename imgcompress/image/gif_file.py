"""The blocks of a GIF file: how many pictures it holds and what it says beside them."""

from dataclasses import dataclass

from imgcompress.errors import PictureError, Reason

_XMP_TRAILER = 258
"""Bytes that lead a reader of blocks through an XMP packet to its end (XMP, part 3, 1.1.2)."""

Rectangle = tuple[int, int, int, int]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class GifFile:
    """What the blocks say.

    Attributes:
        width, height: of the canvas, widened to the frames.
        frames: each frame's place on it.
        aspect: the byte of the pixels' aspect ratio; 0 for none.
        comments: in order.
        xmp, icc: of their application extensions, or None.
    """

    width: int
    height: int
    frames: tuple[Rectangle, ...]
    aspect: int
    comments: tuple[bytes, ...]
    xmp: bytes | None
    icc: bytes | None


def _damaged(message: str) -> PictureError:
    return PictureError(Reason.DECODE_ERROR, f"the GIF file {message}")


def read_gif(data: bytes) -> GifFile:
    """Walk through the blocks to the trailer, or to the end of a file that has none.

    Args:
        data: the file.

    Raises:
        PictureError: DECODE_ERROR.

    Source: GIF89a specification, 17 to 27; XMP, part 3, 1.1.2; ICC.1, B.5 (version 2).
    """
    if len(data) < 13:
        raise _damaged("is truncated")
    width, height = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    at = 13 + _colors(data[10])
    frames, comments = list[Rectangle](), list[bytes]()
    xmp = icc = None
    while at < len(data) and data[at] != 0x3B:
        introducer = data[at]
        if introducer == 0x2C:
            if at + 11 > len(data):
                raise _damaged("is truncated")
            left, top, across, down = (
                int.from_bytes(data[i : i + 2], "little") for i in range(at + 1, at + 9, 2)
            )
            frames.append((left, top, left + across, top + down))
            _, at = _blocks(data, at + 11 + _colors(data[at + 9]))
        elif introducer == 0x21:
            label, begin = data[at + 1 : at + 2], at + 2
            blocks, at = _blocks(data, begin)
            if label == b"\xfe":
                comments.append(b"".join(blocks))
            elif label == b"\xff" and blocks and blocks[0] == b"XMP DataXMP":
                xmp = data[begin + 12 : max(at - _XMP_TRAILER, begin + 12)]
            elif label == b"\xff" and blocks and blocks[0] == b"ICCRGBG1012":
                icc = b"".join(blocks[1:])
        else:
            raise _damaged("has a damaged block")
    if not frames:
        raise _damaged("has no picture")
    width, height = max(width, *(f[2] for f in frames), 1), max(height, *(f[3] for f in frames), 1)
    return GifFile(width, height, tuple(frames), data[12], tuple(filter(None, comments)), xmp, icc)


def _colors(flags: int) -> int:
    """Bytes in the color table that the flags tell of."""
    return 3 << (1 + (flags & 7)) if flags & 0x80 else 0


def _blocks(data: bytes, at: int) -> tuple[list[bytes], int]:
    """Sub-blocks up to the empty one, and the offset behind it."""
    blocks: list[bytes] = []
    while at < len(data):
        size = data[at]
        if size == 0:
            return blocks, at + 1
        blocks.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    raise _damaged("is truncated")
