"""One picture that shows what was done: original, result, where the bits went, where the difference is."""

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from imgcompress.dataset.heat import heat_colors
from imgcompress.dataset.pair_drawing import in_bytes
from imgcompress.formats.jpeg.spending import bits_per_mcu
from imgcompress.image.read import read_picture
from imgcompress.image.upright import turned, upright

PANEL_WIDTH = 640
CAPTION_HEIGHT = 28


def draw_side_by_side(source: bytes, result: bytes) -> Image.Image:
    """Draws four labelled panels, upright; three where the result is no JPEG.

    Only a JPEG tells where its bits went.

    Args:
        source: the source file.
        result: the file made from it.

    Returns:
        An RGB image of two by two panels.

    Raises:
        PictureError: one of the files does not decode.
    """
    picture = read_picture(result)
    before, after = in_bytes(upright(read_picture(source))), in_bytes(upright(picture))
    error = (before.float() - after.float()).abs().mean(dim=0)
    difference = functional.avg_pool2d(error[None, None], 8, ceil_mode=True)[0, 0]
    bits_per_pixel = 8 * len(result) / error.numel()
    panels = [
        (f"original: {len(source):,} bytes", _picture(before)),
        (f"result: {len(result):,} bytes, {bits_per_pixel:.2f} bits a pixel", _picture(after)),
        (
            f"where the difference is: mean {difference.mean():.1f}, most {difference.max():.1f} levels",
            _heat(difference),
        ),
    ]
    if picture.format == "jpeg":
        bits = bits_per_mcu(result)
        told = f"where the bits went: {bits.median():.0f} bits a unit (median) to {bits.max():.0f}"
        panels.insert(2, (told, _heat(turned(bits, picture.metadata.orientation))))
    height = max(1, round(PANEL_WIDTH * error.shape[0] / error.shape[1]))
    sheet = Image.new("RGB", (2 * PANEL_WIDTH, 2 * (height + CAPTION_HEIGHT)), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    for number, (caption, panel) in enumerate(panels):
        left, top = number % 2 * PANEL_WIDTH, number // 2 * (height + CAPTION_HEIGHT)
        pen.text((left + 8, top + 5), caption, fill="black", font=font)
        sheet.paste(panel.resize((PANEL_WIDTH, height)), (left, top + CAPTION_HEIGHT))
    return sheet


def save_side_by_side(source: Path, result: Path, output: Path) -> None:
    """Draws the panels for two files and saves them as a PNG.

    Raises:
        PictureError: one of the files does not decode.
        OSError: a file cannot be read or written.
    """
    draw_side_by_side(source.read_bytes(), result.read_bytes()).save(output)


def _picture(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def _heat(values: Tensor) -> Image.Image:
    """A map in the ramp's colors; the brightest stands for the 99th percentile: no spike hides the rest."""
    top = torch.quantile(values.flatten()[:10_000_000], 0.99).clamp(min=1e-6)
    return Image.fromarray(heat_colors((values / top).numpy())).resize(
        (values.shape[1] * 8, values.shape[0] * 8), Image.Resampling.NEAREST
    )
