"""One picture that shows what was done: original, result, where the bits went, where the difference is."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from imgcompress.dataset.pair_drawing import in_srgb
from imgcompress.drawing.fitting import as_image
from imgcompress.drawing.heat import heat_colors
from imgcompress.drawing.heat_map import heat_panel
from imgcompress.drawing.legend import draw_legend
from imgcompress.drawing.score_map import score_map
from imgcompress.drawing.sheet import captioned, column, framed, row
from imgcompress.formats.jpeg.spending import bits_per_mcu
from imgcompress.image.read import read_picture
from imgcompress.image.upright import turned, upright

PANEL_WIDTH = 640


def draw_side_by_side(source: bytes, result: bytes) -> Image.Image:
    """Draws four labelled panels, upright; three where the result is no JPEG.

    Only a JPEG tells where its bits went.

    Args:
        source: the source file.
        result: the file made from it.

    Returns:
        An RGB image of two by two panels, and the scale of the difference below.

    Raises:
        PictureError: one of the files does not decode.
    """
    picture = read_picture(result)
    before, after = in_srgb(upright(read_picture(source))), in_srgb(upright(picture))
    scores = score_map(before, after)
    size = PANEL_WIDTH, max(1, round(PANEL_WIDTH * scores.height / scores.width))
    bits_per_pixel = 8 * len(result) / (scores.height * scores.width)
    panels = [
        (f"original: {len(source):,} bytes", as_image(before).resize(size)),
        (f"result: {len(result):,} bytes, {bits_per_pixel:.2f} bits a pixel", as_image(after).resize(size)),
        ("where the difference is", heat_panel(before, scores, (), size)),
    ]
    if picture.format == "jpeg":
        bits = bits_per_mcu(result)
        told = f"where the bits went: {bits.median():.0f} bits a unit (median) to {bits.max():.0f}"
        panels.insert(2, (told, _heat(turned(bits, picture.metadata.orientation)).resize(size)))
    sheets = [captioned(panel, caption) for caption, panel in panels]
    legend = draw_legend(PANEL_WIDTH, scores.side, ())
    return framed(column([row(sheets[:2]), row(sheets[2:]), legend]))


def save_side_by_side(source: Path, result: Path, output: Path) -> None:
    """Draws the panels for two files and saves them as a PNG.

    Raises:
        PictureError: one of the files does not decode.
        OSError: a file cannot be read or written.
    """
    draw_side_by_side(source.read_bytes(), result.read_bytes()).save(output)


def _heat(values: Tensor) -> Image.Image:
    """A map in the ramp's colors; the brightest stands for the 99th percentile: no spike hides the rest."""
    top = torch.quantile(values.flatten()[:10_000_000], 0.99).clamp(min=1e-6)
    return Image.fromarray(heat_colors((values / top).numpy())).resize(
        (values.shape[1] * 8, values.shape[0] * 8), Image.Resampling.NEAREST
    )
