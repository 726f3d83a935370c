"""Squared differences of VGG16's taps, a number a channel, for every form of the distance at once.

The forms are those of ``imgcompress.perception.normalization``. Each gives (a - b)^2 at every location and
channel. Their means over the locations are linear in the channel weights, so that weights are fitted to these
few numbers and no picture is looked at again. The means are also taken with the weight ((s + 0.02) / 0.1)^-e
at each location, s the luma's standard deviation in the original around it (24x24 pixels, 0..1): errors that
texture hides count less for e > 0.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.config import Normalization
from imgcompress.image.color import rgb_to_gray
from imgcompress.perception import distance
from imgcompress.perception.distance import CELL
from imgcompress.perception.normalization import normalize
from imgcompress.perception.vgg import Taps, VggFeatures
from imgcompress.shapes import Float

FORMS: tuple[Normalization, ...] = ("unit", "divisive", "none")
EXPONENTS = (0.0, -0.5, 0.5, 1.0)
"""Of the masking; the first is the plain mean."""
TEXTURE_FLOOR, TEXTURE_UNIT = 0.02, 0.1


@dataclass(frozen=True)
class Original:
    """A reference's taps and the weights of its locations.

    Attributes:
        forms: the taps under each form, batch of one.
        weights: per layer, locations by ``EXPONENTS``; the first column sums to 1.
    """

    forms: dict[Normalization, Taps]
    weights: tuple[Tensor, ...]


@torch.no_grad()
def prepare(trunk: VggFeatures, picture: Float[Tensor, "1 3 height width"]) -> Original:
    """Looks at a reference once for all its test pictures.

    Args:
        trunk: float32 features.
        picture: RGB, 0..1, gamma-coded; padded by its edges to a multiple of 8 and to 16.
    """
    padded = distance.prepare(picture)
    taps = trunk(padded)
    texture = _texture(padded)
    weights = []
    for layer in range(len(taps)):
        repeats = CELL >> (layer + 1)
        local = texture.repeat_interleave(repeats, -2).repeat_interleave(repeats, -1).flatten()
        relative = (local + TEXTURE_FLOOR) / TEXTURE_UNIT
        columns = [relative.pow(-exponent) for exponent in EXPONENTS]
        weights.append(torch.stack(columns, dim=1) / local.numel())
    return Original({form: _normalized(form, taps) for form in FORMS}, tuple(weights))


@torch.no_grad()
def compare(
    trunk: VggFeatures, original: Original, picture: Float[Tensor, "1 3 height width"]
) -> dict[Normalization, tuple[Tensor, ...]]:
    """Means of squared differences.

    Args:
        trunk: as for ``prepare``.
        original: the reference, of the same size.
        picture: as for ``prepare``.

    Returns:
        Per form and layer [len(EXPONENTS), channels].
    """
    taps = trunk(distance.prepare(picture))
    means: dict[Normalization, tuple[Tensor, ...]] = {}
    for form in FORMS:
        squares = [
            (test - reference).square().flatten(2)[0]
            for test, reference in zip(_normalized(form, taps), original.forms[form], strict=True)
        ]
        means[form] = tuple(
            (square @ weights).T.contiguous()
            for square, weights in zip(squares, original.weights, strict=True)
        )
    return means


def _texture(picture: Tensor) -> Tensor:
    """Standard deviation of luma around each 8x8 block, [down, across]."""
    luma = rgb_to_gray(picture)[:, None]
    moments = F.avg_pool2d(torch.cat((luma, luma.square()), dim=1), CELL)
    mean, square = F.avg_pool2d(moments, 3, stride=1, padding=1, count_include_pad=False)[0]
    deviation: Tensor = (square - mean.square()).clamp(min=0).sqrt()
    return deviation


def _normalized(form: Normalization, taps: Taps) -> Taps:
    return Taps(*(normalize(tap, layer, form) for layer, tap in enumerate(taps)))
