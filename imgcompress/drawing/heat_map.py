"""Where a picture is worse than its original, and how much: colors over the original, gray and dimmed."""

from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from imgcompress.drawing.fitting import TEXT_SIZE, as_image, font, resized, shown_size
from imgcompress.drawing.legend import DIMMED, GROUND, INK, WIDTH, draw_legend, short_value
from imgcompress.drawing.score_heat import heat_layer
from imgcompress.perception.windows import Window, WindowMap
from imgcompress.shapes import UInt8

LONGEST_SIDE, ENLARGED_SIDE = 2000, 640
"""Of a picture in a heat map, in pixels: larger ones are shrunk to the first, small ones enlarged to the
second."""

_LINE = 2
_PADDING = 3


def draw_heat_map(
    reference: UInt8[Tensor, "channels height width"], scores: WindowMap, worst: Sequence[Window]
) -> Image.Image:
    """Draws the original dimmed, the scores' colors over it, boxes around the worst windows, and a legend.

    Args:
        reference: the original, upright, sRGB; 3 channels or 1 for gray.
        scores: of SSIMULACRA2, in windows of ``score_heat.SIDE``.
        worst: the windows to be boxed, the worst one first; of any size.

    Returns:
        An RGB image.
    """
    size = shown_size((scores.width, scores.height), LONGEST_SIDE, ENLARGED_SIDE)
    panel = heat_panel(reference, scores, worst, size)
    legend = draw_legend(max(panel.width, WIDTH), scores.side, worst)
    sheet = Image.new("RGB", (legend.width, panel.height + legend.height), GROUND)
    sheet.paste(panel, ((sheet.width - panel.width) // 2, 0))
    sheet.paste(legend, (0, panel.height))
    return sheet


def heat_panel(
    reference: UInt8[Tensor, "channels height width"],
    scores: WindowMap,
    worst: Sequence[Window],
    size: tuple[int, int],
) -> Image.Image:
    """The map alone, without its legend.

    Args:
        reference, scores, worst: as for :func:`draw_heat_map`.
        size: of the panel, width and height in pixels.

    Returns:
        An RGB image.
    """
    gray = resized(as_image(reference), size).convert("L")
    dimmed = gray.point([2 * DIMMED * level // 255 for level in range(256)]).convert("RGB")
    layer = heat_layer(scores, size)
    dimmed.paste(layer.convert("RGB"), mask=layer.getchannel("A"))
    _draw_boxes(dimmed, worst, size[0] / scores.width, size[1] / scores.height)
    return dimmed


def _draw_boxes(panel: Image.Image, worst: Sequence[Window], across: float, down: float) -> None:
    pen, letters = ImageDraw.Draw(panel), font()
    tag_height = TEXT_SIZE + 2 * _PADDING
    for number, window in enumerate(worst, 1):
        left, right = (round(x * across) for x in (window.x, window.x + window.width))
        top, bottom = (round(y * down) for y in (window.y, window.y + window.height))
        # White inside black can be seen on every ground.
        for margin, color in ((0, "black"), (_LINE, "white")):
            box = left + margin, top + margin, right - 1 - margin, bottom - 1 - margin
            if box[0] <= box[2] and box[1] <= box[3]:
                pen.rectangle(box, outline=color, width=_LINE)
        if panel.height < tag_height:  # the legend lists the windows, too
            continue
        text = f"{number}: {short_value(window)}"
        width = round(letters.getlength(text)) + 2 * _PADDING
        y = top - tag_height if top >= tag_height else min(bottom, panel.height - tag_height)
        x = max(0, min(left, panel.width - width))
        pen.rectangle((x, y, x + width - 1, y + tag_height - 1), fill="black")
        pen.text((x + _PADDING, y + _PADDING - 1), text, fill=INK, font=letters)
