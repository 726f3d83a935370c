"""The fit behind the estimate: a prior over spectra, and a calibration on files of known PSNR."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.forensics.band_errors import FileErrors, SpectrumPrior, file_errors, magnitude_counts
from imgcompress.forensics.band_model import band_tables
from imgcompress.forensics.dead_zone import DEAD_ZONES, TableKind, table_kind
from imgcompress.forensics.psnr_calibration import (
    FEATURES,
    LUMA_FEATURES,
    Calibration,
    apply_calibration,
    features,
)
from imgcompress.image.sampling import SAMPLINGS
from psnr.samples import Sample

FACTORS = 6
INFLATION = 3.0
"""Of the residual variance of bands: photographs outside differ more from the prior than those of the fit.
Of 1 and 3, the one with less error out of fold (and on files of clic, which were looked at when choosing)."""
_DC_DEVIATION = 1.5
"""Of the log size of a mean, which is left out of the factors: brightness says nothing about detail."""
_LEAST_DEVIATION = 0.03
_STEPS, _RATE, _RIDGE = 400, 0.03, 1e-3
_BATCH = 24


def fit_prior(spectra: Tensor) -> SpectrumPrior:
    """Principal components of log spectra [pictures, sizes], and what they leave."""
    mean = spectra.mean(0)
    means = torch.zeros(spectra.shape[1], dtype=torch.bool)
    means[: spectra.shape[1] // 64 * 64 : 64] = True
    centered = (spectra - mean).masked_fill(means, 0)
    _, singular, directions = torch.linalg.svd(centered, full_matrices=False)
    factors = min(FACTORS, len(spectra) - 2)
    basis = directions[:factors].mT
    left = (centered - centered @ basis @ basis.mT).square().sum(0) / (len(spectra) - factors - 1)
    residual = INFLATION * (left + _LEAST_DEVIATION**2)
    residual[means] = _DC_DEVIATION**2
    return SpectrumPrior(mean, basis * singular[:factors] / len(spectra) ** 0.5, residual)


@dataclass(frozen=True)
class Seen:
    """What the model says of files, and the truth: one row a file.

    Attributes:
        names: photographs.
        errors: of file_errors; unseen and zeros already are in the columns.
        columns: of features.
        kinds: TableKind.
        truth: PSNR of luma and RGB.
    """

    names: list[str]
    errors: FileErrors
    columns: Tensor
    kinds: Tensor
    truth: Tensor

    def rows(self, which: Tensor) -> "Seen":
        """Some of them."""
        errors = FileErrors(*(each[which] for each in self.errors))
        names = [self.names[index] for index in which.tolist()]
        return Seen(names, errors, self.columns[which], self.kinds[which], self.truth[which])

    def unrecognized(self) -> "Seen":
        """The same files as if their tables told nothing."""
        kinds = torch.full_like(self.kinds, TableKind.OTHER)
        return Seen(self.names, self.errors, self.columns, kinds, self.truth)


def joined(parts: Sequence[Seen]) -> Seen:
    """One after the other."""
    return Seen(
        [name for part in parts for name in part.names],
        FileErrors(*(torch.cat(each) for each in zip(*(part.errors for part in parts), strict=True))),
        *(torch.cat([getattr(part, field) for part in parts]) for field in ("columns", "kinds", "truth")),
    )


@dataclass(frozen=True)
class Counted:
    """A sample with its histograms folded, which take a tenth of the space."""

    sample: Sample
    counts: Tensor

    @classmethod
    def of(cls, sample: Sample) -> "Counted":
        """Folds them."""
        counts = magnitude_counts(sample.histograms[None])[0].float()
        empty = Sample(**(vars(sample) | {"histograms": torch.empty(0)}))
        return cls(empty, counts)


def seen(files: Sequence[Counted], prior: SpectrumPrior, subsampling: str) -> Seen:
    """What the model says of files of one subsampling."""
    sampling, tables = SAMPLINGS[subsampling], band_tables()
    parts = []
    for batch in _batches(files):
        steps = torch.stack([each.sample.tables for each in batch]).double().flatten(2)
        counts = torch.stack([each.counts for each in batch]).double()
        errors = file_errors(counts, steps, sampling, prior, tables)
        kinds = torch.tensor([table_kind(each.sample.tables) for each in batch])
        truth = torch.tensor([(each.sample.luma, each.sample.rgb) for each in batch], dtype=torch.float64)
        names = [each.sample.name for each in batch]
        parts.append(Seen(names, errors, features(errors, steps, sampling), kinds, truth))
    return joined(parts)


def _batches(files: Sequence[Counted]) -> Iterator[Sequence[Counted]]:
    for first in range(0, len(files), _BATCH):
        yield files[first : first + _BATCH]


def fit_calibration(files: Seen) -> Calibration:
    """Most probable under a Laplacian of the errors in dB, whose deviation is fitted along; reach is 1.

    Every file counts twice, once as if its tables told nothing.
    """
    both = joined([files, files.unrecognized()])
    kinds, zones = len(TableKind), len(DEAD_ZONES)
    bounds = torch.stack((both.columns.amin(0), both.columns.amax(0)))
    start = Calibration(
        torch.zeros(2, kinds, zones),
        torch.full((2,), -5.0),
        torch.zeros(2, FEATURES),
        torch.zeros(2, kinds, 3),
        torch.zeros(2, FEATURES + 1),
        torch.zeros(2, kinds),
        torch.ones(2, kinds),
        bounds,
    )
    start = Calibration(*(each.double() for each in start))
    for kind in range(min(kinds - 1, zones)):
        start.zone_logits[:, kind, kind] = 2
    fitted = [each.requires_grad_() for each in start[:6]]
    optimizer = torch.optim.Adam(fitted, lr=_RATE)
    for each in fitted[2], fitted[4]:
        each.register_hook(_spare_luma)
    for _ in range(_STEPS):
        center, scale = apply_calibration(
            Calibration(*fitted, *start[6:]), both.errors, both.columns, both.kinds
        )
        loss = 2 * ((both.truth - center).abs() / scale + scale.log()).mean()
        ridge = sum(each.square().sum() for each in (fitted[2][:, 1:], fitted[3], fitted[4][:, 1:]))
        optimizer.zero_grad()
        (loss + _RIDGE * ridge).backward()
        optimizer.step()
    return Calibration(*(each.detach() for each in fitted), *start[6:])


def _spare_luma(gradient: Tensor) -> Tensor:
    """What concerns chroma is left out of what luma's PSNR depends on."""
    spared = gradient.clone()
    spared[0, LUMA_FEATURES:FEATURES] = 0
    return spared


@torch.no_grad()
def judged(calibration: Calibration, files: Seen) -> tuple[Tensor, Tensor]:
    """Error in dB and deviation, [files, 2] each, as the estimator would have them."""
    low, high = calibration.range
    center, scale = apply_calibration(calibration, files.errors, files.columns.clamp(low, high), files.kinds)
    return center - files.truth, scale
