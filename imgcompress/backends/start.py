"""Where a search begins: how far a picture's scores lie from the average, foretold from its statistics."""

from collections.abc import Mapping

import torch
from torch import Tensor

from imgcompress.image.color import as_rgb, as_unit, rgb_to_ycbcr
from imgcompress.image.dct import forward_dct
from imgcompress.image.picture import Picture
from imgcompress.image.sampling import BLOCK
from imgcompress.shapes import Float

MOST_PIXELS = 2**18
"""So many are looked at, in rows of blocks spread over the picture."""
MIDDLE, SPREAD = 75.0, 20.0
"""Of the scores that are aimed at: a shift grows linearly with (score - MIDDLE) / SPREAD."""
_BANDS = ((1, 1), (2, 3), (4, 6), (7, 14))
"""First and last sum of the vertical and the horizontal frequency."""
COUNT = 2 + len(_BANDS) + 2 + 1

SHIFTS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {}


@torch.no_grad()
def statistics_of(picture: Picture) -> Float[Tensor, "{COUNT}"]:
    """What tells how hard a picture is to code.

    Args:
        picture: of any depth; alpha is not looked at.

    Returns:
        1; the mean luma, 0..1; the logarithms (base 2) of the luma coefficients' mean magnitudes in four
        bands, low to high; mean and standard deviation over blocks of the logarithm of AC energy; the
        logarithm of the mean magnitude of chroma's AC coefficients.
    """
    rows = picture.height // BLOCK
    columns = picture.width // BLOCK * BLOCK
    if not rows or not columns:
        return torch.cat([torch.ones(1), torch.zeros(COUNT - 1)])
    step = max(1, -(-rows * BLOCK * columns // MOST_PIXELS))
    blocks = picture.pixels[:, : rows * BLOCK, :columns].reshape(-1, rows, BLOCK, columns)[:, ::step]
    rgb = as_rgb(as_unit(blocks.flatten(1, 2))[None]) * 255
    luma, *chroma = (forward_dct(plane[None]) for plane in rgb_to_ycbcr(rgb)[0])
    frequency = torch.arange(BLOCK)[:, None] + torch.arange(BLOCK)
    magnitudes = [
        luma[..., (frequency >= first) & (frequency <= last)].abs().mean() for first, last in _BANDS
    ]
    energy = torch.log2(luma[..., frequency > 0].square().mean(-1) + 1)
    colors = torch.stack([plane[..., frequency > 0].abs().mean() for plane in chroma]).mean()
    logarithms = torch.log2(torch.stack([*magnitudes, colors]) + 0.1)
    mean = rgb.mean() / 255
    return torch.stack([torch.ones(()), mean, *logarithms[:-1], energy.mean(), energy.std(), logarithms[-1]])


def foretold(picture: Picture, form: str, score: float) -> float:
    """The nominal score at which a picture is likely to have a score.

    Args:
        picture: the source.
        form: the format that it becomes.
        score: the SSIMULACRA2 that is aimed at.
    """
    if form not in SHIFTS:
        return score
    level, slope = torch.tensor(SHIFTS[form]) @ statistics_of(picture)
    return score + float(level + slope * (score - MIDDLE) / SPREAD)
