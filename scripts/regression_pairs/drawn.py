"""Text, lines and marks drawn over a photograph, or on a page that shows it, as a program's screen has them.

Everything is drawn large and shrunk, so that it can lie between pixels: ``shift`` is in pixels, ``fine`` is
how many samples a pixel has in each direction.
"""

from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rd.pictures import Pixels

_WORDS = ("Total", "Delivery", "Account", "Settings", "March", "Receipt", "Balance", "Details", "Cancel")
_CHANGED = {"Total": "Totals", "Cancel": "Accept"}
_TEXT = 15
"""Size of the letters in pixels."""
_WIDE, _HIGH = 134, 168
"""What the labels take, with some space around them, in pixels."""


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes:
        words: label by label, from above.
        left, top: of what the labels take, with the space around them, in pixels.
        mark: center of a small round mark, from there; None for none.
        on_page: whether it lies on a white page, the left half, or over the photograph, darkened there.
    """

    words: tuple[str, ...]
    left: int
    top: int
    mark: tuple[float, float] | None
    on_page: bool


def scene(random: Random, pixels: Pixels, *, on_page: bool) -> Scene:
    """Six labels, the last one a price, and a mark."""
    height, width = pixels.shape[:2]
    words = (*random.sample(_WORDS, 5), "$10")
    left = random.randint(0, (width // 2 if on_page else width) - _WIDE)
    top = random.randint(0, height - _HIGH)
    return Scene(words, left, top, (118.0, 18.0), on_page)


def with_other_word(drawn: Scene, random: Random) -> Scene:
    """One label says something else."""
    index = random.randrange(len(drawn.words) - 1)
    others = [word for word in _WORDS if word not in drawn.words]
    words = list(drawn.words)
    words[index] = _CHANGED.get(words[index], random.choice(others))
    return replace(drawn, words=tuple(words))


def with_other_price(drawn: Scene) -> Scene:
    """$18 instead of $10."""
    return replace(drawn, words=(*drawn.words[:-1], "$18"))


def without_mark(drawn: Scene) -> Scene:
    """The mark is gone."""
    return replace(drawn, mark=None)


def with_mark_moved(drawn: Scene, by: float = 2.0) -> Scene:
    """The mark lies two pixels further right."""
    assert drawn.mark is not None
    return replace(drawn, mark=(drawn.mark[0] + by, drawn.mark[1]))


def draw(
    pixels: Pixels,
    drawn: Scene,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
    fine: int = 8,
    smooth: bool = False,
) -> Pixels:
    """The picture with its labels.

    Args:
        pixels: the photograph.
        drawn: what is drawn.
        shift: by which all is drawn further right and down, in pixels.
        fine: samples a pixel in each direction.
        smooth: a wider filter than the mean over the pixel.
    """
    width = pixels.shape[1]
    ground = pixels.astype(np.float64)
    place = ground[drawn.top : drawn.top + _HIGH, drawn.left : drawn.left + _WIDE]
    if drawn.on_page:
        ground[:, : width // 2] = 250.0
        color = np.array([30.0, 30.0, 40.0])
    else:
        place *= 0.35  # white is to be read on any photograph
        color = np.array([255.0, 255.0, 255.0])
    cover = _coverage(drawn, shift, fine, smooth)
    place += cover[..., None] * (color - place)
    return np.rint(ground).astype(np.uint8)


def _coverage(
    drawn: Scene, shift: tuple[float, float], fine: int, smooth: bool
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """How much of each pixel is covered, 0..1."""
    canvas = Image.new("L", (_WIDE * fine, _HIGH * fine))
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_TEXT * fine)

    def place(x: float, y: float) -> tuple[float, float]:
        return (x + shift[0]) * fine, (y + shift[1]) * fine

    def box(left: float, top: float, right: float, bottom: float) -> list[float]:
        # The last sample of a box belongs to it.
        return [*place(left, top), *(edge - 1 for edge in place(right, bottom))]

    for row, word in enumerate(drawn.words):
        y = 8 + 24 * row
        pen.text(place(8, y + 14), word, fill=255, font=font, anchor="ls")
        pen.rectangle(box(8, y + 20, 98, y + 21), fill=255)
    pen.line([place(4, 8), place(108, 154)], fill=255, width=fine)
    if drawn.mark is not None:
        x, y = drawn.mark
        pen.ellipse(box(x - 5, y - 5, x + 5, y + 5), fill=255)
    filtered = canvas.resize((_WIDE, _HIGH), Image.Resampling.BILINEAR if smooth else Image.Resampling.BOX)
    return np.asarray(filtered, dtype=np.float64) / 255
