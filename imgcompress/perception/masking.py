"""A p-norm of the error's contrast, masked by what the picture has at the same place.

It stands for metrics that judge by the worst places (butteraugli's higher norms, ColorVideoVDP), of which
SSIMULACRA2's means see little. At scales 0, 1 and 2, in SSIMULACRA2's XYB:

    E = sqrt(blur(sum_c (a_c dXYB_c / (sd + 0.03))^2))      a = 1, 1, 1/4 for X, Y, B
    D = sum over scales of (mean over pixels of E^3)^(1/3)

sd is the square root of the original's local variance (Gaussian, sigma 1.5), averaged over the channels.
"""

from functools import partial

import torch
from torch import Tensor

from imgcompress.perception.ssimulacra2 import RADIUS, blur, halve, linear_planes, xyb
from imgcompress.perception.tiles import Window, level_means
from imgcompress.shapes import Float, Int, Shaped

SCALES = 3
MASKING_FLOOR = 0.03
CHANNEL_WEIGHTS = (1.0, 1.0, 0.25)
POWER = 3.0
# Keeps the gradient finite where nothing differs; 1e-6 of contrast counts for nothing.
_EPSILON = 1e-12
_REACH = 2 * (RADIUS - 1)
"""How far E sees to each side: through its own blur, and the one in the mask."""


class MaskedContrastReference:
    """Originals, prepared once for many comparisons.

    Args:
        picture: RGB or gray, 0..1 or uint8, gamma-coded.
        tiled: with bounded memory, as in :class:`~imgcompress.perception.ssimulacra2.Ssimulacra2Reference`.
    """

    def __init__(
        self, picture: Shaped[Tensor, "batch channels height width"], *, tiled: bool = False
    ) -> None:
        self._picture = picture if tiled else None
        self._scales = [] if tiled else [(planes, _mask(planes)) for planes in _pyramid(picture)]

    def distance(self, test: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
        """D of each picture; its gradients are finite everywhere.

        Args:
            test: of the originals' shape.
        """
        total = test.new_zeros(len(test))
        if self._picture is not None:
            steps = [partial(_step, scale) for scale in range(SCALES)]
            for means in level_means(self._picture, test, steps, _REACH):
                total = total + means[:, 0].pow(1 / POWER)
            return total
        for planes, (reference, mask) in zip(_pyramid(test), self._scales, strict=True):
            total = total + _contrast(planes, reference, mask).mean((1, 2)).pow(1 / POWER)
        return total

    def select(self, rows: Int[Tensor, "kept"]) -> "MaskedContrastReference":
        """The same for some pictures of the batch."""
        chosen = object.__new__(MaskedContrastReference)
        chosen._picture = None if self._picture is None else self._picture[rows]
        chosen._scales = [(planes[rows], mask[rows]) for planes, mask in self._scales]
        return chosen


def _mask(planes: Tensor) -> Tensor:
    variance = (blur(planes.square()) - blur(planes).square()).clamp(min=0).mean(1, keepdim=True)
    weights = torch.tensor(CHANNEL_WEIGHTS, device=planes.device)[:, None, None]
    return weights / (variance.sqrt() + MASKING_FLOOR)


def _contrast(planes: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """E^3 at each pixel."""
    energy = blur(((planes - reference) * mask).square().sum(1)) + _EPSILON
    return energy.pow(POWER / 2)


def _step(scale: int, originals: Tensor, tests: Tensor, own: Window) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of E^3 at one scale, and the linear light of the next one."""
    if scale == 0:
        originals, tests = linear_planes(originals), linear_planes(tests)
    before, after = (torch.stack(xyb(linear), dim=1) for linear in (originals, tests))
    contrast = _contrast(after, before, _mask(before))
    return contrast[own].sum((1, 2))[:, None], halve(originals), halve(tests)


def _pyramid(picture: Tensor) -> list[Tensor]:
    linear = linear_planes(picture)
    scales = []
    for scale in range(SCALES):
        if scale:
            linear = halve(linear)
        scales.append(torch.stack(xyb(linear), dim=1))
    return scales
