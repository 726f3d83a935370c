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
_TAG_HEIGHT = TEXT_SIZE + 2 * _PADDING


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
    pen = ImageDraw.Draw(panel)
    corners = [
        (
            round(window.x * across),
            round(window.y * down),
            round((window.x + window.width) * across) - 1,
            round((window.y + window.height) * down) - 1,
        )
        for window in worst
    ]
    # Neighbors touch: what is worse is drawn later, and words after lines.
    for left, top, right, bottom in reversed(corners):
        for margin, color in ((0, "black"), (_LINE, "white")):  # can be seen on every ground
            box = left + margin, top + margin, right - margin, bottom - margin
            if box[0] <= box[2] and box[1] <= box[3]:
                pen.rectangle(box, outline=color, width=_LINE)
    if panel.height < _TAG_HEIGHT:  # the windows are told beside the panel, too
        return
    for number, window in reversed([*enumerate(worst, 1)]):
        left, top, _, bottom = corners[number - 1]
        text = f"{number}: {short_value(window)}"
        width = round(font().getlength(text)) + 2 * _PADDING
        y = top - _TAG_HEIGHT if top >= _TAG_HEIGHT else min(bottom + 1, panel.height - _TAG_HEIGHT)
        x = max(0, min(left, panel.width - width))
        pen.rectangle((x, y, x + width - 1, y + _TAG_HEIGHT - 1), fill="black")
        pen.text((x + _PADDING, y + _PADDING - 1), text, fill=INK, font=font())
