"""JPEGs that are so strongly compressed already that one more loss would show."""

from imgcompress.forensics.earlier_steps import aligned_earlier
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.histograms import band_histograms
from imgcompress.forensics.table_quality import table_quality
from imgcompress.image.picture import JpegSource

CRUSHED_QUALITY = 27
"""Of libjpeg: the highest whose tables are the standard's examples times 1.8 or more, as the source document
(section 3.3) has it of messengers; SSIMULACRA2 is about 40 there on photographs."""
_SURE = 0.9


def find_crushing(source: JpegSource) -> Finding | None:
    """Look for quality 27 or less, in the file's tables or in what an earlier compression left behind.

    Args:
        source: of any JPEG.

    Returns:
        What was found; None for all others. A coarser earlier compression on another grid is not looked for.
    """
    quality = table_quality(source.tables).luma.quality
    if quality <= CRUSHED_QUALITY:
        return Finding("quality", f"it is crushed already: its tables are about libjpeg's of quality {quality}")
    if source.coefficients is None:
        return None
    earlier = aligned_earlier(band_histograms(source.coefficients[0]), source.tables[0])
    if earlier is None or earlier.quality is None or earlier.confidence < _SURE:
        return None
    if earlier.quality > CRUSHED_QUALITY:
        return None
    text = f"it was crushed before it was saved anew: its values show libjpeg's quality {earlier.quality}"
    return Finding("earlier_compression", text, earlier.confidence)
