"""A picture of DCT histograms where an earlier compression shows, or does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from imgcompress.forensics.earlier_steps import BANDS, EarlierCompression
from imgcompress.forensics.histograms import MOST
from imgcompress.shapes import Int

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

PANELS = 4
_WIDTH, _HEIGHT, _MARGIN, _TITLE, _AXIS, _MARKS = 880, 200, 24, 26, 22, 10
_PAPER, _INK, _BAR, _MARK = (255, 255, 255), (40, 40, 40), (70, 110, 170), (220, 90, 20)


def draw_histograms(
    histograms: Int[Tensor, "64 2047"],
    table: Int[Tensor, "8 8"],
    earlier: EarlierCompression | None,
) -> Image.Image:
    """Draw how often dequantized values occur in a few bands, with marks at multiples of the earlier step.

    Heights are square roots of counts, zeros are cut off. Bands whose earlier step is known and no divisor of
    the present one come first, by how much they hold.

    Args:
        histograms: of luma, as of ``band_histograms``.
        table: the steps in which the values are stored, natural order, >= 1.
        earlier: of ``aligned_earlier``; or of ``earlier_in_pixels`` with histograms taken at its offset.

    Returns:
        RGB, 880 pixels wide.
    """
    from PIL import Image, ImageDraw

    bands = _bands(histograms, table, earlier)
    picture = Image.new("RGB", (_WIDTH, len(bands) * _HEIGHT + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(picture)
    for place, band in enumerate(bands):
        before = int(earlier.steps.flatten()[band]) if earlier is not None else 0
        _panel(draw, place * _HEIGHT, band, histograms[band].tolist(), int(table.flatten()[band]), before)
    return picture


def _bands(
    histograms: Int[Tensor, "64 2047"], table: Int[Tensor, "8 8"], earlier: EarlierCompression | None
) -> list[int]:
    held = (histograms.sum(1) - histograms[:, MOST]).tolist()
    now = table.flatten().tolist()
    before = earlier.steps.flatten().tolist() if earlier is not None else [0] * 64
    shows = [step > 0 and present % step > 0 for step, present in zip(before, now, strict=True)]
    chosen = sorted(BANDS, key=lambda band: (shows[band], held[band]), reverse=True)[:PANELS]
    return sorted(chosen)


def _panel(
    draw: ImageDraw.ImageDraw, top: int, band: int, counts: list[int], step: int, before: int
) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(14)
    small = ImageFont.load_default(11)
    reach = _reach(counts, step, before)
    shown = {n * step: counts[MOST + n] for n in range(-(reach // step), reach // step + 1)}
    tallest = max((count for value, count in shown.items() if value), default=0)
    base = top + _HEIGHT - _AXIS - _MARKS
    room = base - top - _TITLE - _MARGIN // 2
    scale = (_WIDTH - 2 * _MARGIN) / (2 * reach + step)

    def across(value: float) -> float:
        return _WIDTH / 2 + value * scale

    title = f"band (row {band // 8}, column {band % 8})    step now {step}"
    if before:
        title += f"    earlier step {before}: marks at its multiples"
    draw.text((_MARGIN, top + 6), title, fill=_INK, font=font)
    half = max(0.4 * step * scale, 0.5)
    for value, count in shown.items():
        height = room * min((count / max(tallest, 1)) ** 0.5, 1.1)
        if count:
            draw.rectangle((across(value) - half, base - height, across(value) + half, base), fill=_BAR)
    draw.line((_MARGIN, base, _WIDTH - _MARGIN, base), fill=_INK)
    for multiple in range(-(reach // before), reach // before + 1) if before else ():
        x = across(multiple * before)
        draw.polygon(((x, base + 2), (x - 4, base + _MARKS), (x + 4, base + _MARKS)), fill=_MARK)
    for value in range(-(reach // 20) * 20, reach + 1, 20) if reach >= 20 else (0,):
        draw.text((across(value), base + _MARKS + 2), str(value), fill=_INK, font=small, anchor="mt")


def _reach(counts: list[int], step: int, before: int) -> int:
    """The largest magnitude shown: beyond lie too few values to see, yet six multiples are worth it."""
    total = sum(counts) - counts[MOST]
    beyond = 0
    reach = MOST
    while reach > 1 and beyond + counts[MOST + reach] + counts[MOST - reach] <= 0.01 * total:
        beyond += counts[MOST + reach] + counts[MOST - reach]
        reach -= 1
    return max(min(reach * step, 120), min(4 * before, 120), 6)
