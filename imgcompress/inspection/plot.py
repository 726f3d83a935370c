"""The picture of ``inspect --plot``."""

import io

from imgcompress.errors import UsageError
from imgcompress.forensics.histogram_plot import draw_histograms
from imgcompress.forensics.histograms import band_histograms
from imgcompress.inspection.record import Inspection


def plot(found: Inspection) -> bytes:
    """Draws the histograms of a JPEG's luma values, as a PNG file.

    Args:
        found: of a JPEG whose values were read.

    Raises:
        UsageError: there are no such values.
    """
    jpeg = None if found.picture is None else found.picture.jpeg
    if jpeg is None or jpeg.coefficients is None:
        raise UsageError(f"--plot: {found.name} holds no DCT values that can be read")
    earlier = found.earlier if found.earlier and found.earlier.offset == (0, 0) else None
    buffer = io.BytesIO()
    draw_histograms(band_histograms(jpeg.coefficients[0]), jpeg.tables[0], earlier).save(buffer, "PNG")
    return buffer.getvalue()
