"""A perceptual model's entrance examination, on pictures that are computed here."""

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.perception.model import PerceptualModel
from imgcompress.shapes import Float

HEIGHT, WIDTH = 64, 96
ZERO = 1e-4
"""The distance of equal pictures may be so much."""
MOSAICS = (4, 8, 16)
"""Pixels along the sides of the tiles."""
NOISES = (0.02, 0.06, 0.18)
"""Standard deviations."""


def find_fault(
    model: PerceptualModel, in_use: PerceptualModel | None, band: float, device: torch.device
) -> str | None:
    """Looks for a reason not to use a model.

    Args:
        model: the new one.
        in_use: the one that it would replace; None for the first.
        band: by which factor their distances may differ, above 1.
        device: of both.

    Returns:
        What is wrong: it fails, a distance is not finite, equal pictures differ, stronger damage counts less,
        or the two models differ by more than the band. None if nothing is.
    """
    original, damaged = (pictures.to(device) for pictures in probe())
    try:
        distances = _distances(model, original, damaged)
    except Exception as error:  # of any kind: the model comes from a file
        return f"it fails: {type(error).__name__}: {error}"
    if distances.shape != (len(damaged),) or not bool(distances.isfinite().all()):
        return f"its distances are not one finite number a pair: {distances.tolist()}"
    equal, *rest = distances.tolist()
    if abs(equal) > ZERO:
        return f"equal pictures have the distance {equal:.3g}"
    steps = len(MOSAICS)
    for name, values in (("mosaic", rest[:steps]), ("noise", rest[steps:])):
        if not all(near < far for near, far in pairwise([0.0, *values])):
            listed = ", ".join(f"{value:.3g}" for value in values)
            return f"stronger {name} is not farther away: {listed}"
    if in_use is not None:
        ratios = distances[1:] / _distances(in_use, original, damaged)[1:]
        least, most = float(ratios.min()), float(ratios.max())
        if not 1 / band <= least <= most <= band:
            return f"its distances are {least:.3g} to {most:.3g} times those in use; allowed is {band:g}"
    return None


@torch.no_grad()
def _distances(model: PerceptualModel, original: Tensor, damaged: Tensor) -> Tensor:
    return model(original, damaged).float().cpu()


def probe() -> tuple[Float[Tensor, "pairs 3 height width"], Float[Tensor, "pairs 3 height width"]]:
    """The originals and the same damaged: not at all, then by each ladder, every time more."""
    down, across = torch.meshgrid(torch.linspace(0, 1, HEIGHT), torch.linspace(0, 1, WIDTH), indexing="ij")
    # Smooth color, a grating that gets finer to the right, and a disk with a sharp edge.
    grating = 0.15 * torch.sin(40 * across * (1 + 2 * across))
    disk = 0.3 * ((down - 0.5).square() + (across - 0.4).square() < 0.06)
    original = torch.stack([0.3 + 0.4 * down, 0.4 + 0.2 * across, 0.6 - 0.3 * down])
    original = (original + grating + disk).clamp(0, 1)[None]
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    damaged = [original]
    for side in MOSAICS:
        damaged.append(F.interpolate(F.avg_pool2d(original, side), (HEIGHT, WIDTH), mode="nearest"))
    damaged += [(original + deviation * noise).clamp(0, 1) for deviation in NOISES]
    return original.repeat(len(damaged), 1, 1, 1), torch.cat(damaged)
