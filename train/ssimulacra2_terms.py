"""SSIMULACRA2's 108 numbers before they are weighted and added."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.image.color import pad_to
from imgcompress.perception.ssimulacra2 import (
    SCALES,
    SMALLEST,
    STRUCTURE_FLOOR,
    WEIGHTS,
    blur,
    linear_light,
    xyb,
)
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
    shape = [max(SMALLEST, side) for side in reference.shape[-2:]]
    lights = [linear_light(pad_to(picture, *shape)) for picture in (reference, test)]
    terms = torch.zeros(3, SCALES, 6, device=reference.device)
    for scale in range(SCALES):
        if scale:
            if min(lights[0].shape[-2:]) < SMALLEST:
                break
            lights = [F.avg_pool2d(light, 2, ceil_mode=True, count_include_pad=False) for light in lights]
        for plane, (x, y) in enumerate(zip(*(xyb(light) for light in lights), strict=True)):
            terms[plane, scale] = _terms(x, y)
    return terms.flatten()


def by_scale(terms: Float[Tensor, "*batch 108"]) -> Float[Tensor, "*batch 6"]:
    """What each scale adds to the distance, with the published weights."""
    weights = torch.tensor(WEIGHTS, device=terms.device).reshape(3, SCALES, 6)
    return (terms.reshape(*terms.shape[:-1], 3, SCALES, 6) * weights).sum((-3, -1))


def _terms(x: Tensor, y: Tensor) -> Tensor:
    # Differences from blurred errors: exact where the pictures hardly differ, as in the metric's own module.
    change, mean = y - x, blur(x)
    mean_change = blur(change)
    variance = blur(x.square()) - mean.square()
    gain = blur(change * (2 * x + change)) - mean_change * (2 * mean + mean_change)
    unlike = (blur(change.square()) - mean_change.square()) / (2 * variance + gain + STRUCTURE_FLOOR)
    shift = mean_change.square()
    structure = (shift + (1 - shift) * unlike).relu()
    original = (x - mean).abs()
    growth = ((x - mean + change - mean_change).abs() - original) / (1 + original)
    maps = torch.cat((structure, growth.relu(), (-growth).relu())).flatten(1)
    return torch.cat((maps.mean(1), maps.pow(4).mean(1).pow(0.25)))
