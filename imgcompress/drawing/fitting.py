"""Pictures of any size, text of any length: brought to the place there is."""

from bisect import bisect_right

from PIL import Image, ImageFont
from torch import Tensor

from imgcompress.shapes import UInt8

TEXT_SIZE = 15
"""Of letters, in pixels."""


def as_image(pixels: UInt8[Tensor, "channels height width"]) -> Image.Image:
    """RGB of gray (1 channel) or RGB pixels, sRGB."""
    return Image.fromarray(pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """A size shrunk, its shape kept, until no side is longer; at least a pixel to each side."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def shown_size(size: tuple[int, int], longest: int, enlarged: int) -> tuple[int, int]:
    """The size a picture is shown in.

    Args:
        size: its width and height.
        longest: what is longer is shrunk to this.
        enlarged: what is shorter is enlarged by the whole factor that brings it nearest below this.
    """
    factor = max(1, enlarged // max(size))
    return within((size[0] * factor, size[1] * factor), longest)


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture in another size: smooth where it shrinks, its pixels as they are where it grows."""
    if size[0] > image.width:
        return image.resize(size, Image.Resampling.NEAREST)
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def font(size: int = TEXT_SIZE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The letters of all drawings; they come with Pillow."""
    return ImageFont.load_default(size)


def one_line(text: str, width: int) -> str:
    """As much of a text as a line takes, in letters that can be drawn.

    Args:
        text: any, also a file name that is no Unicode.
        width: in pixels, of letters of ``TEXT_SIZE``.
    """
    letters = font()
    # No letter is narrower than a pixel: a text without end is not measured to its end.
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[: width + 1])
    if len(line) == len(text) and letters.getlength(line) <= width:
        return line
    lengths = range(len(line))
    fitting = bisect_right(lengths, float(width), key=lambda end: letters.getlength(line[:end] + "…"))
    return line[: max(0, fitting - 1)] + "…"
