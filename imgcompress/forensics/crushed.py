"""JPEGs that are so strongly compressed already that one more loss would show."""

import torch
from torch import Tensor

from imgcompress.forensics.earlier_steps import aligned_earlier
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.histograms import MOST, band_histograms
from imgcompress.forensics.table_quality import table_quality
from imgcompress.image.picture import JpegSource
from imgcompress.quantization.tables import ijg_tables
from imgcompress.shapes import Int

CRUSHED_QUALITY = 27
"""Of libjpeg: the highest whose tables are the standard's examples times 1.8 or more, as the source document
(section 3.3) has it of messengers; SSIMULACRA2 is about 40 there on photographs."""
_SURE = 0.9
_FEWEST_BANDS = 6
"""That show a step, each that of one table. Drawn patterns (a chessboard, waves, a silhouette) have so few
different values that they are multiples of something: there at most 3 bands showed steps that were all of one
table; in photographs and text of quality 8 to 27 that were saved again 8 to 26 did."""

_GAP_BANDS = (1, 8, 9)
_GAP = (5, 14)
_MOST_IN_GAP = 0.1
"""Steps of 20 and more leave the lowest bands few values in this gap. Without this quick look every picture
would wait for the full search: on Kodak photographs 17 to 68 % of the values from 5 up lie there at qualities
50 to 95, and below 3 % where quality 10 to 27 came before."""


def find_crushing(source: JpegSource) -> Finding | None:
    """Look for quality 27 or less, in the file's tables or in what an earlier compression left behind.

    Args:
        source: of any JPEG.

    Returns:
        What was found; None for all others. A coarser earlier compression on another grid is not looked for.
    """
    quality = table_quality(source.tables).luma.quality
    if quality <= CRUSHED_QUALITY:
        return Finding(
            "quality", f"it is crushed already: its tables are about libjpeg's of quality {quality}"
        )
    if source.coefficients is None:
        return None
    histograms = band_histograms(source.coefficients[0])
    earlier = (
        aligned_earlier(histograms, source.tables[0]) if _has_gap(histograms, source.tables[0]) else None
    )
    if earlier is None or earlier.quality is None or earlier.confidence < _SURE:
        return None
    if earlier.quality > CRUSHED_QUALITY or not _is_one_table(earlier.steps, earlier.quality):
        return None
    text = f"it was crushed before it was saved anew: its values show libjpeg's quality {earlier.quality}"
    return Finding("earlier_compression", text, earlier.confidence)


def _has_gap(histograms: Int[Tensor, "64 2047"], table: Int[Tensor, "8 8"]) -> bool:
    """Whether values are missing where only coarse earlier steps leave none."""
    steps = table.flatten()[list(_GAP_BANDS)].to(histograms.device)
    magnitudes = torch.arange(-MOST, MOST + 1, device=histograms.device).abs() * steps[:, None]
    counts = histograms[list(_GAP_BANDS)]
    beyond_nothing = magnitudes >= _GAP[0]
    in_gap = beyond_nothing & (magnitudes <= _GAP[1])
    return bool(counts[in_gap].sum() <= _MOST_IN_GAP * counts[beyond_nothing].sum())


def _is_one_table(steps: Int[Tensor, "8 8"], quality: int) -> bool:
    """Whether enough steps are known, and all are those of libjpeg's luma table."""
    seen = steps > 0
    return int(seen.sum()) >= _FEWEST_BANDS and bool((steps == ijg_tables(quality)[0])[seen].all())
