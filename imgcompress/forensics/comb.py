"""How much likelier a histogram of DCT values is if the values were multiples of an earlier step before.

A band that was quantized by a step ``q1``, decoded to pixels of 8 bits and quantized again by ``q2`` held the
values k q1 plus a small error before the second quantization. Each stored value n then gathers the multiples
that fall into its cell: its count is a smooth envelope times a comb m(n) that q1 and q2 alone decide. Without
an earlier compression the comb is flat. Both envelopes are fitted alike, by the largest likelihood over a few
smooth functions of the magnitude, so that only the comb makes the difference.
"""

import torch
from torch import Tensor

from imgcompress.forensics.histograms import MOST
from imgcompress.shapes import Float, Int

LARGEST_STEP = 128
"""Coarser earlier steps are not looked for: too few values of a band reach their multiples."""
REACH = 256
"""Dequantized magnitudes beyond are left out: they are too few to show a comb."""
MOST_BLOCKS = 16384
"""A histogram of more blocks counts as if it were of this many. No envelope is perfect, and of enough blocks
any misfit would look like evidence."""
_FEWEST_VALUES = 30
_STRAY = 0.03
"""Share of values that no comb holds, as of clipped pixels and blocks at the border; chosen, not fitted. It
keeps a single value in a gap from refuting a step."""
_TORN = 5
"""Multiples on each side of an edge that the error may carry across it: those of a step of 2, the finest that
shows, are 4 times the largest spread away."""
_NEWTON_STEPS = 6
_LONGEST_MOVE = 3.0
"""By how much a step may change a count's logarithm."""


def combs(step: int, spreads: tuple[float, ...], device: torch.device) -> Float[Tensor, "spreads 128 values"]:
    """How many multiples of each earlier step gather in each stored value, relative to the average.

    Args:
        step: the step that the values are stored in, >= 1.
        spreads: standard deviations of the error between the two quantizations, DCT units, in (0, 2.5].
        device: where they are made.

    Returns:
        float64, of the earlier steps 1 to 128 and the stored values from 1 up to REACH, dequantized.
    """
    edges = (torch.arange(max(REACH // step, 1) + 1, dtype=torch.float64, device=device) + 0.5) * step
    earlier = torch.arange(1, LARGEST_STEP + 1, dtype=torch.float64, device=device)[:, None]
    nearest = torch.round(edges / earlier)
    # Only multiples near an edge are torn by the error: those below lie below it, those above do not.
    beside = nearest[..., None] + torch.arange(-_TORN, _TORN + 1, dtype=torch.float64, device=device)
    distance = edges[:, None] - beside * earlier[..., None]
    below = [torch.special.ndtr(distance / spread).sum(-1) + nearest for spread in spreads]
    held = torch.stack(below).diff() * (earlier / step)
    return (1 - _STRAY) * held + _STRAY


def step_evidence(
    histogram: Int[Tensor, "2047"], step: int, candidates: Float[Tensor, "spreads 128 values"]
) -> Float[Tensor, "128"]:
    """Log likelihood ratio of each earlier step of a band against none.

    Zeros are left out: their count depends on the encoder's dead zone most of all.

    Args:
        histogram: how often each stored value occurs in the band, as of ``band_histograms``.
        step: the step that the values are stored in, >= 1.
        candidates: of ``combs`` for this step.

    Returns:
        float64, nats, of the best spread; entry i is for the earlier step i + 1. 0 where nothing speaks for
        or against a step, as for those that divide the present one.
    """
    counts = (histogram[MOST + 1 :] + histogram[:MOST].flip(0))[: candidates.shape[-1]].double()
    counts = counts * (MOST_BLOCKS / histogram.sum().clamp(min=MOST_BLOCKS))
    if counts.sum() < _FEWEST_VALUES:
        return torch.zeros(LARGEST_STEP, dtype=torch.float64, device=counts.device)
    counts = counts[: int(counts.nonzero().max()) + 2]
    envelope = _envelope(len(counts), step, counts.device)
    without = _log_likelihood(counts, envelope, torch.ones_like(counts))
    candidates = candidates[..., : len(counts)]
    fitted = _log_likelihood(counts, envelope, candidates)
    # A sharp peak with sparse tails passes for the error around zero and strays. A step is believed only
    # where most of the values that are nearer to its other multiples lie on them.
    magnitudes = torch.arange(1, len(counts) + 1, device=counts.device) * step
    earlier = torch.arange(1, LARGEST_STEP + 1, device=counts.device)
    beyond = (magnitudes > earlier[:, None] / 2).double()
    held = ((candidates > 0.5) * beyond) @ counts > 0.5 * (beyond @ counts)
    fitted = torch.where(held, fitted, fitted.clamp(max=without)).amax(0)
    # What even the best comb leaves unexplained is the envelope's misfit, which a comb may only seem to mend.
    # Evidence counts for less by how much wider counts scatter than independent ones (quasi-likelihood).
    perfect = torch.special.xlogy(counts, counts / counts.sum()).sum()
    scatter = 2 * (perfect - fitted.max()) / max(len(counts) - envelope.shape[1] - 1, 1)
    ratio: Tensor = (fitted - without) / scatter.clamp(min=1)
    return ratio


def _envelope(values: int, step: int, device: torch.device) -> Tensor:
    """Smooth functions of the magnitude, orthonormal: a sharp peak, heavy tails, Laplacians and between."""
    magnitude = torch.arange(1, values + 1, dtype=torch.float64, device=device) * step
    shapes = torch.stack((1 / magnitude, magnitude.log(), magnitude.sqrt(), magnitude), dim=1)
    basis: Tensor = torch.linalg.qr(shapes - shapes.mean(0)).Q
    return basis


def _log_likelihood(counts: Tensor, envelope: Tensor, comb: Tensor) -> Tensor:
    """The largest multinomial likelihood of each comb over all envelopes, without its constant part."""
    total, offset = counts.sum(), comb.log()
    ridge = 1e-9 * torch.eye(envelope.shape[1], dtype=counts.dtype, device=counts.device)
    products = (envelope[:, :, None] * envelope[:, None, :]).flatten(1)
    weights = envelope.mT @ (counts + 0.1).log()
    weights = weights.expand(*comb.shape[:-1], -1)
    best = torch.full(comb.shape[:-1], -torch.inf, dtype=counts.dtype, device=counts.device)
    for _ in range(_NEWTON_STEPS):
        logarithms = (weights @ envelope.mT + offset).log_softmax(-1)
        best = torch.maximum(best, (counts * logarithms).sum(-1))
        shares = logarithms.exp()
        mean = shares @ envelope
        curvature = (shares @ products).reshape(*mean.shape, -1) - mean[..., None] * mean[..., None, :]
        away = (counts / total - shares) @ envelope
        change = torch.linalg.solve(curvature + ridge, away)
        # Newton's way from a poor start leads astray: no count's logarithm may move further than this.
        move = (change @ envelope.mT).abs().amax(-1, keepdim=True)
        weights = weights + change * (_LONGEST_MOVE / move.clamp(min=_LONGEST_MOVE))
    return best
