"""A comparison as one picture: reference, test, where they differ, and the worst places enlarged."""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from imgcompress.drawing.fitting import as_image, resized, shown_size
from imgcompress.drawing.heat_map import heat_panel
from imgcompress.drawing.legend import GROUND, MARGIN, WIDTH, described, draw_legend
from imgcompress.drawing.sheet import captioned, column, framed, row
from imgcompress.perception.windows import Window, WindowMap
from imgcompress.shapes import UInt8

PANEL_SIDE = 720
"""Of a panel's longer side at most, in pixels; three of them fit a wide screen."""
STRIP_SIDE = 1440
"""The same of a picture so wide that its panels stand below each other."""
WIDE = 2.5
"""A picture whose width is this many heights is wide."""
CROP_SIDE = 256
"""Of an enlarged window, in pixels."""


def draw_comparison(
    reference: UInt8[Tensor, "channels height width"],
    test: UInt8[Tensor, "_ height width"],
    scores: WindowMap,
    worst: Sequence[Window],
    captions: tuple[str, str],
) -> Image.Image:
    """Draws both pictures and the map of scores, below them the worst windows of both enlarged, and a legend.

    Args:
        reference, test: upright, sRGB; 3 channels or 1 for gray.
        scores: of SSIMULACRA2, in windows of ``score_heat.SIDE``.
        worst: the windows to be boxed and enlarged, the worst one first; of any size.
        captions: of the reference and of the test; what does not fit is cut off.

    Returns:
        An RGB image.
    """
    full = scores.width, scores.height
    is_wide = full[0] >= WIDE * full[1]
    size = shown_size(full, STRIP_SIDE if is_wide else PANEL_SIDE, PANEL_SIDE)
    pictures = as_image(reference), as_image(test)
    panels = [
        captioned(resized(pictures[0], size), captions[0]),
        captioned(resized(pictures[1], size), captions[1]),
        captioned(heat_panel(reference, scores, worst, size), "where the test is worse than the reference"),
    ]
    parts = panels if is_wide else [row(panels)]
    pairs = [_crops(pictures, window, number) for number, window in enumerate(worst, 1)]
    width = max(WIDTH, *(part.width for part in [*parts, *pairs]))
    together = max(1, (width + MARGIN) // (2 * CROP_SIDE + 2 * MARGIN))
    parts += [row(pairs[first : first + together]) for first in range(0, len(pairs), together)]
    return framed(column([*parts, draw_legend(width, scores.side, ())]))


def _crops(pictures: tuple[Image.Image, Image.Image], window: Window, number: int) -> Image.Image:
    """Both pictures' pixels in a window and half as far around it, enlarged."""
    around = max(window.width, window.height) // 2
    box = (
        max(0, window.x - around),
        max(0, window.y - around),
        min(pictures[0].width, window.x + window.width + around),
        min(pictures[0].height, window.y + window.height + around),
    )
    size = shown_size((box[2] - box[0], box[3] - box[1]), CROP_SIDE, CROP_SIDE)
    both = row([resized(picture.crop(box), size) for picture in pictures])
    sheet = Image.new("RGB", (2 * CROP_SIDE + MARGIN, both.height), GROUND)
    sheet.paste(both, (0, 0))
    return captioned(sheet, f"{number}: {described(window)}")
