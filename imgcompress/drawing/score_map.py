"""The map of scores that is drawn of a pair."""

from torch import Tensor

from imgcompress.drawing.score_heat import SIDE, STRIDE
from imgcompress.image.color import as_rgb
from imgcompress.perception.ssimulacra2 import ssimulacra2_windows
from imgcompress.perception.window_grid import WindowGrid
from imgcompress.perception.windows import WindowMap
from imgcompress.shapes import UInt8


def score_map(
    reference: UInt8[Tensor, "channels height width"], test: UInt8[Tensor, "_ height width"]
) -> WindowMap:
    """SSIMULACRA2 in windows small enough to show where a picture is worse.

    Args:
        reference, test: upright, sRGB; 3 channels or 1 for gray, each as it likes.
    """
    pair = reference[None], test[None]
    if len(reference) != len(test):
        pair = as_rgb(pair[0]), as_rgb(pair[1])
    _, height, width = reference.shape
    scores = ssimulacra2_windows(*pair, WindowGrid(height, width, SIDE, STRIDE))
    return WindowMap(scores[0].cpu(), SIDE, STRIDE, width, height)
