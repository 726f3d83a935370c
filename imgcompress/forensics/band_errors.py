"""The error of every band of a file, as far as its counts and what is known of photographs tell."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from imgcompress.forensics.band_model import MAGNITUDES, SPREADS, THRESHOLDS, BandTables
from imgcompress.forensics.dead_zone import threshold_indices
from imgcompress.forensics.histograms import BANDS, MOST
from imgcompress.image.color import BLUE, GREEN, RED
from imgcompress.image.sampling import Sampling
from imgcompress.shapes import Float, Int

ROUNDING = 1 / 12
"""Variance of what is lost in rounding to whole numbers."""
_SPREAD_ODDS = (0.05, 0.25, 0.4, 0.25, 0.05)
"""Of SPREADS, rounded from what files of Kodak pictures preferred."""
_BLOCKS = 1000.0
"""Counts of larger pictures are scaled down to so many blocks: more would be trusted beyond what the model,
which is only nearly right, can bear."""
_ROUNDS = 10
_LEAST_NEWS = 0.02
"""Share of a band's prior information that its counts add at least: keeps Newton's steps finite."""


class SpectrumPrior(NamedTuple):
    """What log sizes (root mean squares) of a photograph's bands go together: mean + loadings z + noise.

    Attributes:
        mean: of the 64 bands of each component; then, where chroma has fewer samples, that of the error in
            RGB which this alone makes.
        loadings: of the common factors, which are independent, of mean 0 and variance 1.
        residual: variance of each band's own noise.
    """

    mean: Float[Tensor, "sizes"]
    loadings: Float[Tensor, "sizes factors"]
    residual: Float[Tensor, "sizes"]


class FileErrors(NamedTuple):
    """Under each dead zone (DEAD_ZONES), of luma and of RGB; squared values of 0..255.

    Attributes:
        evidence: logarithm of how well the counts are explained.
        error: mean squared error.
        variance: how uncertain that is.
        lost: the part of RGB's error that subsampling chroma made.
        unseen: share of each component's error that lies in bands almost without nonzero values.
        zeros: share of zeros among each component's AC values.
    """

    evidence: Float[Tensor, "files zones"]
    error: Float[Tensor, "files zones 2"]
    variance: Float[Tensor, "files zones 2"]
    lost: Float[Tensor, "files zones"]
    unseen: Float[Tensor, "files components"]
    zeros: Float[Tensor, "files components"]


def magnitude_counts(
    histograms: Int[Tensor, "files components 64 2047"],
) -> Float[Tensor, "files components 64 magnitudes"]:
    """Counts of 0, 1, ... MAGNITUDES - 1, and of all above."""
    counts = histograms[..., MOST:].double()
    counts[..., 1:] += histograms[..., :MOST].flip(-1)
    return torch.cat((counts[..., :MAGNITUDES], counts[..., MAGNITUDES:].sum(-1, keepdim=True)), -1)


def file_errors(
    counts: Float[Tensor, "files components 64 magnitudes"],
    steps: Float[Tensor, "files components 64"],
    sampling: Sampling,
    prior: SpectrumPrior,
    tables: BandTables,
) -> FileErrors:
    """Expected errors by maximum a posteriori factors and, given those, every band's size in full.

    Args:
        counts: of magnitude_counts, float64.
        steps: the quantization tables, float64.
        sampling: of all the files.
        prior: for this sampling.
        tables: of band_tables.
    """
    files, components = counts.shape[:2]
    bands = components * BANDS
    total = counts.sum(-1, keepdim=True)
    scaled = counts * (_BLOCKS / total.clamp_min(1)).clamp_max(1)
    steps = steps.reshape(files, 1, bands, 1)
    likelihood, in_steps, rounding = _by_size(scaled.reshape(files, bands, -1), tables, components)
    band_error = in_steps * steps.square() + rounding
    sizes = tables.log_sizes + steps.log()
    of_bands = SpectrumPrior(*(each[:bands] for each in prior))
    factors, covariance = _factors(likelihood, sizes, of_bands)

    mean = of_bands.mean + factors @ of_bands.loadings.mT
    joint = likelihood - (sizes - mean[..., None]).square() / (2 * of_bands.residual[:, None])
    joint = joint - of_bands.residual.log()[:, None] / 2
    evidence = joint.logsumexp(-1, keepdim=True)
    share = (joint - evidence).exp()
    expected = (share * band_error).sum(-1)
    off = band_error - expected[..., None]
    variance = (share * off.square()).sum(-1)
    size = (share * sizes).sum(-1, keepdim=True)
    slope = (share * off * (sizes - size)).sum(-1) / of_bands.residual

    explained = evidence[..., 0].sum(-1) - factors.square().sum(-1) / 2 + torch.logdet(covariance) / 2
    weights = _parseval(sampling, steps.device)
    error = expected @ weights.mT
    uncertain = variance @ weights.square().mT
    gradient = torch.einsum("wb,fzb,bk->fzwk", weights, slope, of_bands.loadings)
    lost = torch.zeros_like(explained)
    if sampling.chroma_area > 1:
        loading, residual = prior.loadings[-1], prior.residual[-1]
        spread = (covariance @ loading @ loading) + residual
        lost = torch.exp(2 * (prior.mean[-1] + factors @ loading) + 2 * spread.clamp_max(1))
        error = error + torch.stack((torch.zeros_like(lost), lost), -1)
        own = torch.expm1(4 * residual) * lost.square()
        uncertain = uncertain + torch.stack((torch.zeros_like(own), own), -1)
        gradient[..., 1, :] += 2 * lost[..., None] * loading
    uncertain = uncertain + torch.einsum("fzwk,fzkl,fzwl->fzw", gradient, covariance, gradient)

    shares = (scaled[..., 0] + 1e-9) / (scaled.sum(-1) + 1e-9)
    of_each = expected.mean(1).view(files, components, BANDS)
    unseen = (of_each * (shares > 1 - 2 / _BLOCKS)).sum(-1) / of_each.sum(-1)
    zeros = shares[..., 1:].mean(-1)
    return FileErrors(
        explained, error + _decoder_noise(sampling, steps.device), uncertain, lost, unseen, zeros
    )


def _by_size(
    counts: Float[Tensor, "files bands magnitudes"], tables: BandTables, components: int
) -> tuple[
    Float[Tensor, "files zones bands sizes"],
    Float[Tensor, "files zones bands sizes"],
    Float[Tensor, "files zones bands sizes"],
]:
    """The log likelihood of every size under every dead zone, and the error at it.

    The error has two parts: in squared steps, and from the encoder's rounding of samples in squared values.
    That rounding is in the file where a band is finely quantized; where all becomes zero, the error is
    that of the band without it, and the band's size holds it already. Stein's lemma gives what is between.
    """
    zones = threshold_indices(components, counts.device)
    size = tables.log_odds.shape[:3].numel()
    each = counts @ tables.log_odds.reshape(size, -1).mT
    each = each.view(*counts.shape[:2], len(THRESHOLDS), len(SPREADS), -1)
    likelihood = each[:, torch.arange(zones.shape[1], device=zones.device), zones]
    odds = torch.tensor(_SPREAD_ODDS, dtype=counts.dtype, device=counts.device)
    likelihood = likelihood + odds.log()[:, None]
    of_size = likelihood.logsumexp(-2)
    share = (likelihood - of_size[..., None, :]).exp()
    in_steps = (share * tables.error[zones]).sum(-2)
    rounding = (1 + 2 * (share * tables.slope[zones]).sum(-2)) * ROUNDING
    return of_size, in_steps, rounding


def _factors(likelihood: Tensor, sizes: Tensor, prior: SpectrumPrior) -> tuple[Tensor, Tensor]:
    """The most probable factors and their covariance, by Newton's method with a bounded step.

    The curvature is that of the missing-information principle: a band whose size stays as uncertain as the
    prior leaves it tells nothing.
    """
    loadings, residual = prior.loadings, prior.residual
    factors = likelihood.new_zeros(*likelihood.shape[:2], loadings.shape[1])
    identity = torch.eye(loadings.shape[1], dtype=likelihood.dtype, device=likelihood.device)
    covariance = identity
    for _ in range(_ROUNDS):
        mean = prior.mean + factors @ loadings.mT
        distance = sizes - mean[..., None]
        share = (likelihood - distance.square() / (2 * residual[:, None])).softmax(-1)
        offset = (share * distance).sum(-1)
        left = (share * (distance - offset[..., None]).square()).sum(-1)
        news = (1 - left / residual).clamp(_LEAST_NEWS, 1) / residual
        covariance = torch.linalg.inv(identity + torch.einsum("bk,fzb,bl->fzkl", loadings, news, loadings))
        gradient = (offset / residual) @ loadings - factors
        factors = factors + (covariance @ gradient[..., None])[..., 0].clamp(-1, 1)
    return factors, covariance


def color_weights() -> tuple[float, float, float]:
    """How much an error of Y, Cb or Cr adds to the mean squared error of R, G and B."""
    blue, red = 2 * (1 - BLUE), 2 * (1 - RED)
    return 1.0, (blue**2 + (blue * BLUE / GREEN) ** 2) / 3, (red**2 + (red * RED / GREEN) ** 2) / 3


def _parseval(sampling: Sampling, device: torch.device) -> Float[Tensor, "2 bands"]:
    """The share of every band's mean squared error in that of luma and in that of RGB."""
    gains = torch.ones(sampling.components, BANDS, dtype=torch.float64, device=device)
    gains[1:] = (_gain(sampling.vertical, device)[:, None] * _gain(sampling.horizontal, device)).flatten()
    weights = gains / BANDS
    for component, weight in enumerate(color_weights()[: sampling.components]):
        weights[component] *= weight
    rgb = weights.flatten()
    luma = torch.zeros_like(rgb)
    luma[:BANDS] = rgb[:BANDS]
    return torch.stack((luma, rgb))


def _gain(factor: int, device: torch.device) -> Float[Tensor, "8"]:
    """What upsampling leaves of the power of each frequency: libjpeg weighs two neighbors 3 to 1."""
    frequency = torch.arange(8, dtype=torch.float64, device=device) * (math.pi / 8)
    return (10 + 6 * torch.cos(frequency)) / 16 if factor == 2 else torch.ones_like(frequency)


def _decoder_noise(sampling: Sampling, device: torch.device) -> Float[Tensor, "2"]:
    """What a decoder adds by rounding Y, Cb and Cr; rounding of R, G and B is left to the calibration."""
    gain = _gain(sampling.vertical, device).mean() * _gain(sampling.horizontal, device).mean()
    noise = torch.full((2,), ROUNDING, dtype=torch.float64, device=device)
    noise[1] += ROUNDING * gain * sum(color_weights()[1 : sampling.components])
    return noise
