"""A picture of DCT histograms where an earlier compression shows, or does not."""

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from imgcompress.forensics.earlier_steps import BANDS, EarlierCompression
from imgcompress.forensics.histograms import MOST
from imgcompress.shapes import Int

PANELS = 4
_WIDTH, _HEIGHT, _MARGIN, _TITLE, _AXIS, _MARKS = 880, 200, 24, 26, 22, 10
_MOST_SHOWN = 120
_DISTANCES = tuple(digit * 10**power for power in range(7) for digit in (1, 2, 5))
_PAPER, _INK, _BAR, _MARK = (255, 255, 255), (40, 40, 40), (70, 110, 170), (220, 90, 20)


@dataclass(frozen=True)
class _Band:
    """What a panel shows; ``before`` is the earlier step, 0 where it is not known."""

    number: int
    counts: list[int]
    step: int
    before: int

    def reach(self) -> int:
        """The largest magnitude shown: 99 of 100 values lie within, or four multiples; no more than fit."""
        counts = self.counts
        beyond = 0.01 * (sum(counts) - counts[MOST])
        last = MOST
        while last > 1 and (beyond := beyond - counts[MOST + last] - counts[MOST - last]) >= 0:
            last -= 1
        return min(max(last * self.step, 4 * self.before, 3 * self.step), max(_MOST_SHOWN, 3 * self.step))


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
    bands = _bands(histograms, table, earlier)
    picture = Image.new("RGB", (_WIDTH, len(bands) * _HEIGHT + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(picture)
    for place, number in enumerate(bands):
        before = int(earlier.steps.flatten()[number]) if earlier is not None else 0
        band = _Band(number, histograms[number].tolist(), int(table.flatten()[number]), before)
        _panel(draw, place * _HEIGHT, band)
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


def _panel(draw: ImageDraw.ImageDraw, top: int, band: _Band) -> None:
    reach = band.reach()
    last = reach // band.step
    counts = band.counts[MOST - last : MOST + last + 1]
    # Zeros would dwarf the rest.
    tallest = max(1, *(count for value, count in enumerate(counts, -last) if value))
    base = top + _HEIGHT - _AXIS - _MARKS
    room = base - top - _TITLE - _MARGIN // 2
    scale = (_WIDTH - 2 * _MARGIN) / (2 * reach + band.step)

    def across(value: int) -> float:
        return _WIDTH / 2 + value * scale

    title = f"band (row {band.number // 8}, column {band.number % 8})    step now {band.step}"
    if band.before:
        title += f"    earlier step {band.before}: marks at its multiples"
    draw.text((_MARGIN, top + 6), title, fill=_INK, font=ImageFont.load_default(14))
    half = max(0.4 * band.step * scale, 0.5)
    for value, count in enumerate(counts, -last):
        x, height = across(value * band.step), room * min((count / tallest) ** 0.5, 1.1)
        if count:
            draw.rectangle((x - half, base - height, x + half, base), fill=_BAR)
    draw.line((_MARGIN, base, _WIDTH - _MARGIN, base), fill=_INK)
    for mark in _multiples(band.before, reach):
        x = across(mark)
        draw.polygon(((x, base + 2), (x - 3, base + _MARKS), (x + 3, base + _MARKS)), fill=_MARK)
    # A round distance that leaves room for the numbers.
    apart = next(distance for distance in _DISTANCES if distance * 11 >= 2 * reach)
    for value in _multiples(apart, reach):
        place = (across(value), base + _MARKS + 2)
        draw.text(place, str(value), fill=_INK, font=ImageFont.load_default(11), anchor="mt")


def _multiples(step: int, reach: int) -> list[int]:
    return [step * count for count in range(-(reach // step), reach // step + 1)] if step else []
