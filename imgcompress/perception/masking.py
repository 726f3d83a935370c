"""A p-norm of the error's contrast, masked by what the picture has at the same place.

It stands for metrics that judge by the worst places (butteraugli's higher norms, ColorVideoVDP), of which
SSIMULACRA2's means see little. At scales 0, 1 and 2, in SSIMULACRA2's XYB:

    E = sqrt(blur(sum_c (a_c dXYB_c / (sd + 0.03))^2))      a = 1, 1, 1/4 for X, Y, B
    D = sum over scales of (mean over pixels of E^3)^(1/3)

sd is the square root of the original's local variance (Gaussian, sigma 1.5), averaged over the channels.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.perception.ssimulacra2 import blur, linear_light, xyb
from imgcompress.shapes import Float, Int

SCALES = 3
MASKING_FLOOR = 0.03
CHANNEL_WEIGHTS = (1.0, 1.0, 0.25)
POWER = 3.0
# Keeps the gradient finite where nothing differs; 1e-6 of contrast counts for nothing.
_EPSILON = 1e-12


class MaskedContrastReference:
    """Originals, prepared once for many comparisons.

    Args:
        picture: RGB or gray, 0..1, gamma-coded.
    """

    def __init__(self, picture: Float[Tensor, "batch channels height width"]) -> None:
        self._scales = []
        for planes in _pyramid(picture):
            variance = (blur(planes.square()) - blur(planes).square()).clamp(min=0).mean(1, keepdim=True)
            weights = torch.tensor(CHANNEL_WEIGHTS, device=planes.device)[:, None, None]
            self._scales.append((planes, weights / (variance.sqrt() + MASKING_FLOOR)))

    def distance(self, test: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
        """D of each picture; its gradients are finite everywhere.

        Args:
            test: of the originals' shape.
        """
        total = test.new_zeros(len(test))
        for planes, (reference, mask) in zip(_pyramid(test), self._scales, strict=True):
            energy = blur(((planes - reference) * mask).square().sum(1)) + _EPSILON
            total = total + energy.pow(POWER / 2).mean((1, 2)).pow(1 / POWER)
        return total

    def select(self, rows: Int[Tensor, "kept"]) -> "MaskedContrastReference":
        """The same for some pictures of the batch."""
        chosen = object.__new__(MaskedContrastReference)
        chosen._scales = [(planes[rows], mask[rows]) for planes, mask in self._scales]
        return chosen


def _pyramid(picture: Tensor) -> list[Tensor]:
    linear = linear_light(picture).expand(-1, 3, -1, -1)
    scales = []
    for scale in range(SCALES):
        if scale:
            linear = F.avg_pool2d(linear, 2, ceil_mode=True, count_include_pad=False)
        scales.append(torch.stack(xyb(linear), dim=1))
    return scales
