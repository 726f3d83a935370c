"""What the closed loop descends: a mixture of distances, so that no metric gains at the cost of others."""

from collections.abc import Iterator

import torch
from torch import Tensor

from imgcompress.config import ObjectiveConfig
from imgcompress.image.color import as_rgb, as_unit
from imgcompress.perception.cvvdp import CvvdpReference
from imgcompress.perception.distance import PerceptualDistance
from imgcompress.perception.masking import MaskedContrastReference
from imgcompress.perception.ssimulacra2 import Ssimulacra2Reference
from imgcompress.shapes import Float, Int, Shaped

_SMALLEST = 1e-6
"""Equal pictures have distance 0; its logarithm is kept finite, its gradient is then 0."""


class MixedObjective:
    """log D = sum of weight_i log D_i against fixed originals.

    A mixture of logarithms: only each distance's relative change counts, so their units do not.

    Args:
        originals: 0..1 or uint8, gamma-coded, RGB or gray.
        weights: of the distances, >= 0; one of weight 0 is not computed.
        vgg: the VGG distance; needed where its weight is not 0.
        tiled: with bounded memory; nothing is prepared, which takes longer the more often it is asked.
    """

    def __init__(
        self,
        originals: Shaped[Tensor, "batch channels height width"],
        weights: ObjectiveConfig,
        vgg: PerceptualDistance | None = None,
        *,
        tiled: bool = False,
    ) -> None:
        assert weights.vgg == 0 or vgg is not None
        self._originals = originals
        self._weights = weights
        self._vgg = vgg
        self._ssimulacra2 = self._masked = self._cvvdp = None
        if weights.ssimulacra2:
            self._ssimulacra2 = Ssimulacra2Reference(originals, tiled=tiled)
        if weights.masked_contrast:
            self._masked = MaskedContrastReference(originals, tiled=tiled)
        if weights.cvvdp:
            self._cvvdp = CvvdpReference(originals, tiled=tiled)

    def terms(self, pixels: Float[Tensor, "batch channels height width"]) -> Iterator[Tensor]:
        """The terms of log D, each computed when it is asked for, so that no two need memory at once.

        Args:
            pixels: of the originals' shape, 0..1.

        Returns:
            Tensors ``[batch]``, any real numbers; finite gradients.
        """
        weights = self._weights
        if self._ssimulacra2 is not None:
            yield weights.ssimulacra2 * _log(self._ssimulacra2.distance(pixels))
        if self._masked is not None:
            yield weights.masked_contrast * _log(self._masked.distance(pixels))
        if self._cvvdp is not None:
            yield weights.cvvdp * _log(self._cvvdp.distance(pixels))
        if weights.vgg and self._vgg is not None:
            originals, results = (as_rgb(as_unit(picture)) for picture in (self._originals, pixels))
            yield weights.vgg * _log(self._vgg(originals, results))

    def __call__(self, pixels: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
        """log D of each picture, the sum of the terms."""
        return torch.stack(list(self.terms(pixels))).sum(0)

    def select(self, rows: Int[Tensor, "kept"]) -> "MixedObjective":
        """The same for some pictures of the batch."""
        chosen = object.__new__(MixedObjective)
        chosen._weights, chosen._vgg = self._weights, self._vgg
        chosen._originals = self._originals[rows]
        chosen._ssimulacra2 = self._ssimulacra2 and self._ssimulacra2.select(rows)
        chosen._masked = self._masked and self._masked.select(rows)
        chosen._cvvdp = self._cvvdp and self._cvvdp.select(rows)
        return chosen


def _log(distance: Tensor) -> Tensor:
    return torch.log(distance.clamp(min=_SMALLEST))
