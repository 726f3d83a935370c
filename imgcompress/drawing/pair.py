"""Before, after and where they differ, packed as small pictures for a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image
from torch import Tensor

from imgcompress.drawing.fitting import as_image, resized, within
from imgcompress.drawing.score_heat import heat_layer
from imgcompress.perception.windows import Window, WindowMap
from imgcompress.shapes import UInt8

LONGEST_SIDE = 1200
LONGEST_HEAT = 300
"""Of the two pictures and of the heat over them, in pixels."""

_QUALITY = 92


@dataclass(frozen=True)
class PairDrawing:
    """A pair as a page shows it.

    Attributes:
        before, after: WebP files in sRGB, at most ``LONGEST_SIDE`` px long.
        heat: where they differ, a WebP file with alpha; smaller, to be stretched over them.
        width, height: of the pictures themselves, in pixels.
        worst: windows to be boxed, in these pixels.
    """

    before: bytes
    after: bytes
    heat: bytes
    width: int
    height: int
    worst: tuple[Window, ...] = ()


def pack_pair(
    before: UInt8[Tensor, "channels height width"],
    after: UInt8[Tensor, "_ height width"],
    scores: WindowMap,
    worst: Sequence[Window] = (),
) -> PairDrawing:
    """Packs a pair for a page.

    Args:
        before, after: upright, sRGB; 3 channels or 1 for gray.
        scores: of SSIMULACRA2, in windows of ``score_heat.SIDE``.
        worst: the windows to be boxed, the worst one first; of any size.
    """
    full = scores.width, scores.height
    size = within(full, LONGEST_SIDE)
    shown = [_as_webp(resized(as_image(pixels), size), quality=_QUALITY) for pixels in (before, after)]
    heat = _as_webp(heat_layer(scores, within(full, LONGEST_HEAT)), lossless=True)
    return PairDrawing(shown[0], shown[1], heat, *full, tuple(worst))


def _as_webp(image: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, "WEBP", method=4, **options)
    return file.getvalue()
