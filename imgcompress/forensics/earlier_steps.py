"""Whether a picture was JPEG-compressed before on the grid it has now, and by which steps."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.forensics.comb import LARGEST_STEP, combs, step_evidence
from imgcompress.image.zigzag import ZIGZAG
from imgcompress.quantization.tables import ijg_tables
from imgcompress.shapes import Float, Int

SPREADS = (0.4, 0.8)
"""Standard deviations of the error that rounding to 8 bits leaves in luma on the same grid. RGB and luma both
rounded leave (1 + .299^2 + .587^2 + .114^2) / 12 = .35^2; clipping and averaged chroma add to it."""
BANDS = ZIGZAG[1:28]
"""AC bands that are looked at: beyond them hardly a value is not zero."""
SURE = 8.0
"""Nats from which a band's step counts as seen: log 128 for the choice among as many steps, and 3 more."""


@dataclass(frozen=True)
class Confidence:
    """How evidence becomes the probability of an earlier compression, by logistic regression.

    Where as many pictures have a past as have none: a probability is of no other kind.

    Attributes:
        slope: on the logarithm of 1 + evidence.
        middle: logarithm of 1 + evidence at a probability of 1/2.
    """

    slope: float
    middle: float

    def of(self, evidence: float) -> float:
        """0 to 1.

        Args:
            evidence: log likelihood ratio, nats, >= 0.
        """
        return 1 / (1 + math.exp(-self.slope * (math.log1p(evidence) - self.middle)))


ALIGNED_CONFIDENCE = Confidence(2.58, 2.12)
"""Fitted on crops of Kodak and camera photographs by ``scripts/double_compression PHOTOS/kodak PHOTOS/camera
--crop 384x256 --limit 4 --calibrate``."""


@dataclass(frozen=True, eq=False)
class EarlierCompression:
    """An earlier JPEG compression that shows in a picture.

    Attributes:
        offset: row and column, 0 to 7 each, of the earlier grid's first corner in the present picture.
        quality: of the IJG luma table nearest to the steps, 1 to 100; None where too few steps show.
        steps: earlier luma steps, natural order, 1 to 128; 0 where unknown, as DC's always is.
        confidence: that there was an earlier compression, 0 to 1.
    """

    offset: tuple[int, int]
    quality: int | None
    steps: Int[Tensor, "8 8"]
    confidence: float


@dataclass(frozen=True, eq=False)
class StepFit:
    """How well the best earlier steps explain a component's histograms.

    Attributes:
        evidence: log likelihood ratio to no earlier compression, nats, >= 0.
        quality: as of ``EarlierCompression``.
        steps: as of ``EarlierCompression``.
    """

    evidence: float
    quality: int | None
    steps: Int[Tensor, "8 8"]


def aligned_earlier(
    histograms: Int[Tensor, "64 2047"], table: Int[Tensor, "8 8"]
) -> EarlierCompression | None:
    """Look for an earlier compression on the same grid in what a JPEG file stores of luma.

    An earlier step that divides the present one leaves no trace, so a second compression by the same or by
    doubled steps is not found.

    Args:
        histograms: of luma, as of ``band_histograms``.
        table: luma's steps in the file, natural order, >= 1.

    Returns:
        The earlier compression; None where it is less likely than none.
    """
    fit = fit_steps(histograms, table, SPREADS)
    confidence = ALIGNED_CONFIDENCE.of(fit.evidence)
    if confidence < 0.5:
        return None
    return EarlierCompression((0, 0), fit.quality, fit.steps, confidence)


def fit_steps(
    histograms: Int[Tensor, "64 2047"], table: Int[Tensor, "8 8"], spreads: tuple[float, ...]
) -> StepFit:
    """Fit earlier steps to histograms: an IJG table to all bands, and each band's own step.

    Args:
        histograms: of luma, as of ``band_histograms``.
        table: the steps in which the values are stored, natural order, >= 1.
        spreads: as of ``combs``.
    """
    steps = table.flatten().tolist()
    candidates = {step: combs(step, spreads, histograms.device) for step in {steps[band] for band in BANDS}}
    evidence = torch.stack(
        [step_evidence(histograms[band], steps[band], candidates[steps[band]]) for band in BANDS]
    ).cpu()
    strongest, likeliest = evidence.max(1)
    seen = strongest > SURE
    found = torch.where(seen, likeliest + 1, 0)
    tables = _ijg_steps()
    by_table = _of_tables(evidence, tables)
    together, best = by_table.sum(1).max(0)
    apart = (strongest - SURE)[seen].sum()
    if apart <= 2 * together:
        # The others outvote a band that prefers another step somewhat; one that does strongly stays unknown.
        agrees = seen & (by_table[best] > torch.minimum(strongest - SURE, strongest / 2))
        found = torch.where(agrees, tables[best], 0)
        quality: int | None = int(best) + 1
    else:
        quality = _nearest_quality(found, tables)
    placed = torch.zeros(64, dtype=torch.int64)
    placed[list(BANDS)] = found
    return StepFit(max(float(together), float(apart), 0.0), quality, placed.view(8, 8))


def _ijg_steps() -> Int[Tensor, "100 bands"]:
    tables = torch.stack([ijg_tables(quality)[0] for quality in range(1, 101)])
    return tables.flatten(1)[:, list(BANDS)].long()


def _of_tables(
    evidence: Float[Tensor, "bands 128"], tables: Int[Tensor, "100 bands"]
) -> Float[Tensor, "100 bands"]:
    """The evidence of each band for each table's step; none for a step that is not looked for."""
    each = evidence.gather(1, (tables.mT - 1).clamp(max=LARGEST_STEP - 1)).mT
    return torch.where(tables <= LARGEST_STEP, each, 0.0)


def _nearest_quality(steps: Int[Tensor, "bands"], tables: Int[Tensor, "100 bands"]) -> int | None:
    """The quality whose steps differ least in their logarithms from those that are seen."""
    seen = steps > 0
    if not seen.any():
        return None
    apart = (tables[:, seen].double().log() - steps[seen].double().log()).abs().sum(1)
    return int(apart.argmin()) + 1
