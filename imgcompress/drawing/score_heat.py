"""How bad a picture is, place by place, as a layer of colors on one scale for all pictures."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import adaptive_max_pool2d, pad

from imgcompress.drawing.heat import heat_colors
from imgcompress.perception.windows import WindowMap
from imgcompress.shapes import Float

SIDE, STRIDE = 16, 8
"""Of the windows that maps are drawn of, in pixels. Smaller ones would hardly be sharper: SSIMULACRA2 sees 4
pixels to each side at its finest scale, and farther at the others."""

BEST, WORST = 90.0, 20.0
"""SSIMULACRA2 at the scale's ends: where nothing is drawn, and where the color is the last one."""

MARKS = ((90.0, "not seen"), (70.0, "high"), (50.0, "medium"), (30.0, "low"))
"""Scores with the words that SSIMULACRA2's author has for them."""

_DENSEST = 0.85
_DENSE_FROM = 75.0
"""From the best score to this one the colors appear little by little; they are as dense below. Like the ends
of the scale it was chosen by eye."""


def heat_layer(scores: WindowMap, size: tuple[int, int]) -> Image.Image:
    """A map's colors, to be laid over the picture or stretched over it.

    A place has the mean of the windows that it lies in. Where the layer is coarser than the map, a pixel of
    it has the worst of the places it stands for: what is small and bad does not fade.

    Args:
        scores: of SSIMULACRA2.
        size: width and height of the layer in pixels.

    Returns:
        An RGBA image of this size, transparent where the score is ``BEST`` or better; what is not a number
        counts as the worst.
    """
    cells = _cells(scores)
    down, across = cells.shape
    rows, columns = min(down, size[1]), min(across, size[0])
    worst = -adaptive_max_pool2d(-cells[None], (rows, columns))[0]
    # The last cells reach beyond the picture.
    seen_across = scores.width / scores.stride if columns == across else columns
    seen_down = scores.height / scores.stride if rows == down else rows
    box = (0.0, 0.0, float(seen_across), float(seen_down))
    return Image.fromarray(heat_of(worst.numpy())).resize(size, Image.Resampling.BILINEAR, box=box)


def heat_of(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The colors that scores have.

    Args:
        scores: of SSIMULACRA2; rows, columns.

    Returns:
        Rows, columns, RGB and alpha.
    """
    scores = np.nan_to_num(scores, nan=WORST)
    density = _DENSEST * np.clip((BEST - scores) / (BEST - _DENSE_FROM), 0, 1)
    alpha = np.round(255 * density).astype(np.uint8)
    return np.dstack([heat_colors((BEST - scores) / np.float32(BEST - WORST)), alpha])


def _cells(scores: WindowMap) -> Float[torch.Tensor, "down across"]:
    """Of squares of one stride the mean of the windows that they lie in."""
    # Beyond the scale's ends a window would outweigh its neighbors.
    values = scores.values.float().nan_to_num(nan=WORST).clamp(WORST, BEST)
    sums, counts = (_summed(each, scores.side // scores.stride) for each in (values, torch.ones_like(values)))
    down, across = (-(-length // scores.stride) for length in (scores.height, scores.width))
    return (sums / counts)[:down, :across]


def _summed(values: torch.Tensor, windows: int) -> torch.Tensor:
    """Over so many rows and columns up to each."""
    margin = windows - 1
    padded = pad(values, (margin, margin, margin, margin))
    return padded.unfold(0, windows, 1).unfold(1, windows, 1).sum((2, 3))
