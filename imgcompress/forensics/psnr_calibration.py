"""From what a model says about a file's error to decibels that hold, and how far they may be off.

Which dead zone an encoder used is a guess from its tables and from how well each explains the counts. What
the model leaves unsaid (clipping, deringing, bands that are all zeros in pictures unlike the prior's) a few
terms correct, linear in what the file shows. Everything was fitted by scripts/fit_psnr.
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from imgcompress.forensics.band_errors import FileErrors, SpectrumPrior
from imgcompress.forensics.dead_zone import TableKind
from imgcompress.image.sampling import SAMPLINGS, Sampling
from imgcompress.shapes import Float, Int

FEATURES, LUMA_FEATURES = 10, 5
_LEAST_DEVIATION = 0.02
_SCALES = (0.02, 6.0)


class Calibration(NamedTuple):
    """The first dimension of all but the range: for the PSNR of luma, and of RGB.

    Attributes:
        zone_logits: of each kind of tables for each dead zone.
        log_temperature: logarithm of how much a unit of evidence for a dead zone counts.
        weights: dB for each feature.
        by_kind: dB for the first three features, of each kind of tables.
        scale: logarithm of the deviation, for each feature and for the logarithm of the model's own.
        scale_by_kind: the same for each kind of tables.
        reach: how many deviations of each kind hold 90 % of errors.
        range: least and largest of each feature in the fit; files beyond are taken to be at the border.
    """

    zone_logits: Float[Tensor, "2 kinds zones"]
    log_temperature: Float[Tensor, "2"]
    weights: Float[Tensor, "2 features"]
    by_kind: Float[Tensor, "2 kinds 3"]
    scale: Float[Tensor, "2 features+1"]
    scale_by_kind: Float[Tensor, "2 kinds"]
    reach: Float[Tensor, "2 kinds"]
    range: Float[Tensor, "2 features"]


def decibels(error: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """PSNR of a mean squared error > 0 of values 0..255, at most 100 dB."""
    return (10 * torch.log10(255**2 / error)).clamp_max(100)


def features(
    errors: FileErrors, steps: Float[Tensor, "files components 64"], sampling: Sampling
) -> Float[Tensor, "files features"]:
    """What corrections depend on: coarseness, zeros, and how much of the error no counts have seen."""
    coarse = steps[..., 1:].log().mean(-1)
    files = len(steps)
    columns = torch.zeros(files, FEATURES, dtype=steps.dtype, device=steps.device)
    columns[:, 0] = 1
    columns[:, 1] = coarse[:, 0] - 2.5
    columns[:, 2] = columns[:, 1].square()
    columns[:, 3] = errors.unseen[:, 0]
    columns[:, 4] = errors.zeros[:, 0]
    if sampling.components > 1:
        columns[:, 5] = errors.unseen[:, 1:].mean(-1)
        columns[:, 6] = coarse[:, 1] - 3
        columns[:, 7] = errors.zeros[:, 1]
        columns[:, 8] = (errors.lost / errors.error[..., 1]).mean(-1)
        columns[:, 9] = float(sampling.chroma_area > 1)
    return columns


def apply_calibration(
    calibration: Calibration,
    errors: FileErrors,
    columns: Float[Tensor, "files features"],
    kinds: Int[Tensor, "files"],
) -> tuple[Float[Tensor, "files 2"], Float[Tensor, "files 2"]]:
    """PSNR of luma and RGB in dB, and the deviation of each.

    Args:
        calibration: differentiable in all but reach and range.
        errors: of file_errors.
        columns: of features, held to the calibration's range by the caller.
        kinds: TableKind of each file.
    """
    evidence = errors.evidence - errors.evidence.amax(1, keepdim=True)
    of_zones = decibels(errors.error)
    own = errors.variance.sqrt() / errors.error * (10 / math.log(10))
    # A product in place of indexing, whose gradient is slow.
    chosen = one_hot(kinds, len(TableKind)).to(evidence.dtype)
    centers, scales = [], []
    for index in range(2):
        logits = chosen @ calibration.zone_logits[index] + calibration.log_temperature[index].exp() * evidence
        share = logits.softmax(1)
        mean = (share * of_zones[..., index]).sum(1)
        apart = (of_zones[..., index] - mean[:, None]).square() + own[..., index].square()
        deviation = (share * apart).sum(1).sqrt().clamp_min(_LEAST_DEVIATION)
        by_kind = (columns[:, :3] * (chosen @ calibration.by_kind[index])).sum(1)
        centers.append(mean + columns @ calibration.weights[index] + by_kind)
        explained = torch.cat((columns, deviation.log()[:, None]), 1) @ calibration.scale[index]
        scales.append((explained + chosen @ calibration.scale_by_kind[index]).exp().clamp(*_SCALES))
    return torch.stack(centers, 1), torch.stack(scales, 1)


def save_fit(path: Path, priors: dict[str, SpectrumPrior], calibration: Calibration) -> None:
    """Writes what load_fit reads: one prior a sampling, and the calibration."""
    from safetensors.torch import save_file

    tensors = {f"calibration.{name}": value.contiguous() for name, value in calibration._asdict().items()}
    for sampling, prior in priors.items():
        tensors |= {f"{sampling}.{name}": value.contiguous() for name, value in prior._asdict().items()}
    save_file(tensors, path)


def load_fit(path: Path, device: torch.device) -> tuple[dict[str, SpectrumPrior], Calibration]:
    """What save_fit wrote, as float64 on the device. "gray" is the luma of "444"."""
    from safetensors.torch import load

    # Not mapped: a file that is cut short while it is mapped ends the process.
    tensors = {name: value.double().to(device) for name, value in load(path.read_bytes()).items()}
    priors = {
        name: SpectrumPrior(*(tensors[f"{name}.{field}"] for field in SpectrumPrior._fields))
        for name in SAMPLINGS
        if name != "gray"
    }
    priors["gray"] = SpectrumPrior(*(each[:64] for each in priors["444"]))
    return priors, Calibration(*(tensors[f"calibration.{field}"] for field in Calibration._fields))
