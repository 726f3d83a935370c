"""Where a search for a score begins: how far a picture lies from the average, foretold from its statistics.

Nominal scores and measured ones are both taken to an axis on which they differ by about the same at all
scores, as pictures differ most where quality is low:

    place = 97 - 25 ln((100 - score) / 3)

It has slope 1 at a score of 75, and ends at 97 as the scale of nominal scores does.
"""

import math
from collections.abc import Mapping

import torch

from imgcompress.image.color import as_rgb, as_unit, rgb_to_gray
from imgcompress.image.dct import forward_dct
from imgcompress.image.picture import Picture
from imgcompress.image.sampling import BLOCK
from imgcompress.quantization.scale import HIGHEST

MOST_PIXELS = 2**18
"""So many are looked at, in rows of blocks spread over the picture."""
_SCALE = 25.0
_BEST = 99.99
"""What is nearer to 100 is taken for this."""

# scripts/fit_starts.py ../shared/photos/kodak ../shared/photos/camera: of pictures left out of the fit the
# root of the mean square error of the place is 3.2 for WebP and 4.2 for AVIF (4.5 and 6.5 without the
# statistics).
SHIFTS: Mapping[str, tuple[float, float, float]] = {
    "webp": (2.61, 5.44, -3.78),
    "avif": (-8.96, 6.43, -2.96),
}
"""By format: the constant, and what a unit of either statistic adds."""


def place_of(score: float) -> float:
    """A score's place on the axis.

    Args:
        score: SSIMULACRA2, up to 100.
    """
    return HIGHEST - _SCALE * math.log((100 - min(score, _BEST)) / (100 - HIGHEST))


def score_at(place: float) -> float:
    """The inverse of ``place_of``."""
    return 100 - (100 - HIGHEST) * math.exp((HIGHEST - place) / _SCALE)


@torch.no_grad()
def statistics_of(picture: Picture) -> tuple[float, float]:
    """How much detail a picture has, and how evenly it is spread.

    Args:
        picture: of any depth; alpha is not looked at.

    Returns:
        Of luma's 8x8 DCT: the logarithm (base 2) of the mean magnitude of the coefficients whose vertical and
        horizontal frequencies sum up to 2 or 3; the mean over blocks of the logarithm of the mean square of
        AC coefficients, which is the lower, the more of the detail is in few blocks. 0 for pictures smaller
        than a block.
    """
    rows, columns = picture.height // BLOCK, picture.width // BLOCK * BLOCK
    if not rows or not columns:
        return 0.0, 0.0
    step = max(1, -(-rows * BLOCK * columns // MOST_PIXELS))
    blocks = picture.pixels[:, : rows * BLOCK, :columns].reshape(-1, rows, BLOCK, columns)[:, ::step]
    luma = rgb_to_gray(as_rgb(as_unit(blocks.flatten(1, 2))[None]) * 255)
    coefficients = forward_dct(luma)
    frequency = torch.arange(BLOCK)[:, None] + torch.arange(BLOCK)
    detail = coefficients[..., (frequency == 2) | (frequency == 3)].abs().mean()
    energy = coefficients[..., frequency > 0].square().mean(-1)
    return math.log2(float(detail) + 0.1), float(torch.log2(energy + 1).mean())


def foretold(picture: Picture, form: str, score: float) -> float:
    """The place of the nominal score at which a picture is likely to have a score.

    Args:
        picture: the source.
        form: the format that it becomes.
        score: the SSIMULACRA2 that is aimed at.
    """
    constant, *weights = SHIFTS.get(form, (0.0, 0.0, 0.0))
    shift = sum(weight * value for weight, value in zip(weights, statistics_of(picture), strict=True))
    return place_of(score) + constant + shift
