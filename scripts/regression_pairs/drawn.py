"""Text, lines and marks drawn over a photograph, or on a page that shows it, as a program's screen has them.

Everything is drawn large and shrunk, so that it can lie between pixels: ``shift`` is in pixels, ``fine`` is
how many samples a pixel has in each direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rd.pictures import Pixels

_WORDS = ("Total", "Delivery", "Account", "Settings", "March", "Receipt", "Balance", "Details", "Cancel")
_CHANGED = {"Total": "Totals", "Cancel": "Accept"}
_TEXT = 15
"""Height of the letters' line in pixels."""


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes:
        words: label by label, from above.
        left, top: of the first label, in pixels.
        mark: center of a small round mark; None for none.
        on_page: whether all lies on a white page, the photograph below it, or over the photograph itself.
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
    left, top = random.randint(8, max(8, width // 2)), random.randint(8, max(8, height // 2 - 8))
    return Scene(words, left, top, (left + 110.0, top + 10.0), on_page)


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
        fine: samples a pixel in each direction; 1 draws without antialiasing but the letters' own.
        smooth: a wider filter than the mean over the pixel.
    """
    height, width = pixels.shape[:2]
    cover = _coverage((width, height), drawn, shift, fine, smooth)
    ground = pixels.astype(np.float64)
    color = np.array([255.0, 255.0, 255.0])
    if drawn.on_page:
        ground[: height // 2 + 8] = 250.0
        color = np.array([30.0, 30.0, 40.0])
    mixed = ground + cover[..., None] * (color - ground)
    return np.rint(mixed).astype(np.uint8)


def _coverage(
    size: tuple[int, int], drawn: Scene, shift: tuple[float, float], fine: int, smooth: bool
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """How much of each pixel is covered, 0..1."""
    width, height = size
    canvas = Image.new("L", (width * fine, height * fine))
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_TEXT * fine)

    def place(x: float, y: float) -> tuple[float, float]:
        return (x + shift[0]) * fine, (y + shift[1]) * fine

    for row, word in enumerate(drawn.words):
        x, y = drawn.left, drawn.top + 24 * row
        pen.text(place(x, y), word, fill=255, font=font)
        pen.line([place(x, y + 20.5), place(x + 90, y + 20.5)], fill=255, width=fine)
    pen.line(
        [place(drawn.left - 4, drawn.top), place(drawn.left + 100, drawn.top + 150)], fill=255, width=fine
    )
    if drawn.mark is not None:
        pen.ellipse(_box(place(*drawn.mark), 5 * fine), fill=255)
    filtered = canvas.resize(size, Image.Resampling.BILINEAR if smooth else Image.Resampling.BOX)
    return np.asarray(filtered, dtype=np.float64) / 255


def _box(center: Sequence[float], radius: float) -> tuple[float, float, float, float]:
    x, y = center
    return x - radius, y - radius, x + radius, y + radius
