"""SSIMULACRA2's 108 numbers before they are weighted and added."""

import torch
from torch import Tensor

from imgcompress.perception.ssimulacra2 import SCALES, WEIGHTS, error_maps
from imgcompress.shapes import Float

COUNT = 3 * SCALES * 6


@torch.no_grad()
def ssimulacra2_terms(
    reference: Float[Tensor, "1 3 height width"], test: Float[Tensor, "1 3 height width"]
) -> Float[Tensor, "108"]:
    """The mean and the fourth-power mean of each error map.

    Args:
        reference: RGB, 0..1, gamma-coded. With a side below 128 some scales are missing; their numbers are 0.
        test: of the same size.

    Returns:
        In the order of ``WEIGHTS``: planes X, Y, B; scales from fine to coarse; structure, ringing, smoothing
        of the mean, then of the root.
    """
    terms = torch.zeros(3, SCALES, 6, device=reference.device)
    for scale, planes in enumerate(error_maps(reference, test)):
        for plane, maps in enumerate(planes):
            errors = torch.cat(maps).flatten(1)
            terms[plane, scale] = torch.cat((errors.mean(1), errors.pow(4).mean(1).pow(0.25)))
    return terms.flatten()


def by_scale(terms: Float[Tensor, "*batch 108"]) -> Float[Tensor, "*batch 6"]:
    """What each scale adds to the distance, with the published weights."""
    weights = torch.tensor(WEIGHTS, device=terms.device).reshape(3, SCALES, 6)
    return (terms.reshape(*terms.shape[:-1], 3, SCALES, 6) * weights).sum((-3, -1))
