"""What the colors of a heat map mean, and where its worst windows are, in words."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from imgcompress.drawing.fitting import TEXT_SIZE, font, one_line
from imgcompress.drawing.score_heat import BEST, MARKS, WORST, heat_of
from imgcompress.perception.windows import Window

WIDTH = 480
"""The narrowest a legend can be, in pixels."""
MARGIN = 8
GROUND = (24, 26, 29)
"""Of what stands around pictures; dark, so that it does not outshine them."""
INK = (236, 237, 238)

DIMMED = 88
"""The gray that the colors are shown on: a picture's middle after it was dimmed."""

_BAR = (WIDTH - 4 * MARGIN, 14)
_LINE = TEXT_SIZE + 5


def color_bar(width: int) -> Image.Image:
    """The scale's colors from the best to the worst score, as an RGBA image one pixel high."""
    return Image.fromarray(heat_of(np.linspace(BEST, WORST, width, dtype=np.float32)[None]))


def place_of(score: float) -> float:
    """Where a score is on the color bar, 0 to 1."""
    return (BEST - score) / (BEST - WORST)


def draw_legend(width: int, windows_side: int, worst: Sequence[Window]) -> Image.Image:
    """Draws the color bar with scores and words, and lists the worst windows.

    Args:
        width: in pixels, at least ``WIDTH``.
        windows_side: of the windows that the map is made of, in pixels.
        worst: the windows that are boxed.

    Returns:
        An RGB image of this width.
    """
    told = [f"SSIMULACRA2 in windows of {windows_side} px; not colored: {BEST:.0f} or better"]
    told += [f"{number}: {described(window)}" for number, window in enumerate(worst, 1)]
    sheet = Image.new("RGB", (width, 3 * MARGIN + _BAR[1] + (len(told) + 1) * _LINE), GROUND)
    bar = Image.new("RGBA", (_BAR[0], 1), (DIMMED, DIMMED, DIMMED, 255))
    bar.alpha_composite(color_bar(_BAR[0]))
    sheet.paste(bar.convert("RGB").resize(_BAR), (MARGIN, MARGIN))
    pen, letters = ImageDraw.Draw(sheet), font()
    below = MARGIN + _BAR[1]
    for score, word in MARKS:
        x = MARGIN + round(place_of(score) * (_BAR[0] - 1))
        pen.line((x, MARGIN, x, below + 4), fill=INK)
        pen.text((x + 3, below + 1), f"{score:.0f} {word}", fill=INK, font=letters)
    for number, line in enumerate(told, 1):
        position = (MARGIN, below + MARGIN + number * _LINE)
        pen.text(position, one_line(line, width - 2 * MARGIN), fill=INK, font=letters)
    return sheet


def described(window: Window) -> str:
    """A window in words: its value, size and place."""
    return f"{short_value(window)} {described_place(window)}"


def described_place(window: Window) -> str:
    """A window's size and place in words."""
    return f"in {window.width}x{window.height} px at {window.x}, {window.y}"


def short_value(window: Window) -> str:
    """A window's value in three digits, as it stands at a box."""
    return f"{window.value:.1f}" if abs(window.value) >= 10 else f"{window.value:.3g}"
