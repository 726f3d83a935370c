"""The PSNR of a JPEG file against the original that nobody has, from its coefficients and tables alone.

A band of which 5 of 100 values are not zero tells how large it was: a Gaussian whose deviation varies between
blocks is fitted to the counts, and its quantization error follows. A band that is all zeros tells that it
was small, no more. How small, the other bands say: log sizes of the bands of photographs go together, as a
Gaussian of few factors fitted on photographs describes. The same prior tells what chroma lost when it was
subsampled, which no coefficient shows. Encoders widen the dead zone around zero in their own ways; each is
tried. A calibration fitted on files of known PSNR has the last word, and gives the intervals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from imgcompress.errors import UsageError
from imgcompress.forensics.band_errors import file_errors, magnitude_counts
from imgcompress.forensics.band_model import band_tables
from imgcompress.forensics.dead_zone import table_kind
from imgcompress.forensics.histograms import BANDS, MOST, band_histograms
from imgcompress.forensics.psnr_calibration import apply_calibration, features, load_fit
from imgcompress.image.picture import JpegSource
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.resources import resource_path
from imgcompress.shapes import Int

FIT = "checkpoints/psnr.safetensors"
CEILING = 100.0
"""What imgcompress.measure.psnr gives equal pictures, dB."""
_ONE_BLOCK = 1.645 * 10 / math.log(10)
"""Half of a 90 % interval, dB, where a file has one block, by errors that differ from block to block as much
as their mean: it shrinks with the root of their number. Pictures of the fit are too large to show it."""


@dataclass(frozen=True)
class PsnrEstimate:
    """A PSNR and the interval that holds the true one in 90 of 100 files, dB.

    Attributes:
        psnr: the estimate.
        low: lower end.
        high: upper end.
    """

    psnr: float
    low: float
    high: float

    def __post_init__(self) -> None:
        assert self.low <= self.psnr <= self.high <= CEILING


@dataclass(frozen=True)
class PsnrEstimates:
    """Of one file against what its encoder was given.

    Attributes:
        luma: of Y as BT.601 has it, 0..255.
        rgb: over R, G and B, as imgcompress.measure.psnr; of a gray file the same as luma.
    """

    luma: PsnrEstimate
    rgb: PsnrEstimate


class PsnrEstimator:
    """Estimates files a batch at a time.

    It is the last generation that is judged: what an earlier compression did is in the pixels that the last
    encoder was given, and counts as original. A file that was saved at quality 50 and again at 95 shows the
    PSNR of quality 95, which is then an upper bound of the true one.

    Args:
        device: where.
        fit: a file of scripts/fit_psnr; None for the one that comes with the package.

    Raises:
        UsageError: the package's own is missing.
    """

    def __init__(self, device: torch.device | str = "cpu", fit: Path | None = None) -> None:
        self._device = torch.device(device)
        self._tables = band_tables(self._device)
        self._priors, self._calibration = load_fit(fit or resource_path(FIT), self._device)

    @torch.no_grad()
    def estimate(
        self,
        histograms: Int[Tensor, "files components 64 2047"],
        tables: Int[Tensor, "files components 8 8"],
        subsampling: str,
    ) -> list[PsnrEstimates]:
        """The PSNR of files of one subsampling, decoded as libjpeg does (chroma interpolated).

        Args:
            histograms: of band_histograms for every component.
            tables: steps >= 1, natural order.
            subsampling: "444", "422", "440", "420" or "gray".

        Raises:
            UsageError: the subsampling is another one.
        """
        if subsampling not in SAMPLINGS:
            raise UsageError(f"subsampling: expected one of {', '.join(SAMPLINGS)}, got {subsampling}")
        if len(histograms) == 0:
            return []
        sampling = SAMPLINGS[subsampling]
        counts = magnitude_counts(histograms.to(self._device))
        steps = tables.to(self._device).double().flatten(2)
        errors = file_errors(counts, steps, sampling, self._priors[subsampling], self._tables)
        low, high = self._calibration.range
        columns = features(errors, steps, sampling).clamp(low, high)
        kinds = torch.tensor([table_kind(each) for each in tables.cpu()], device=self._device)
        centers, scales = apply_calibration(self._calibration, errors, columns, kinds)
        half = scales * self._calibration.reach[:, kinds].mT
        blocks = counts[:, 0, 0].sum(-1, keepdim=True).clamp_min(1)
        half = (half.square() + _ONE_BLOCK**2 / blocks).sqrt()
        blank = counts[:, 0, 1:, 1:].sum((1, 2)) == 0
        return [
            self._estimates(center, width, is_blank, is_gray=sampling.components == 1)
            for center, width, is_blank in zip(centers.tolist(), half.tolist(), blank.tolist(), strict=True)
        ]

    def estimate_source(self, source: JpegSource) -> PsnrEstimates | None:
        """The PSNR of one file as ``read_picture`` gives it.

        Args:
            source: its headers and coefficients.

        Returns:
            None where the coefficients could not be read or the layout is none of SAMPLINGS.
        """
        if source.coefficients is None or source.subsampling not in SAMPLINGS:
            return None
        histograms = torch.stack([band_histograms(each.to(self._device)) for each in source.coefficients])
        return self.estimate(histograms[None], source.tables[None], source.subsampling)[0]

    @staticmethod
    def _estimates(
        center: Sequence[float], half: Sequence[float], is_blank: bool, *, is_gray: bool
    ) -> PsnrEstimates:
        found = []
        for psnr, width in zip(center, half, strict=True):
            middle = min(max(psnr, 0.0), CEILING)
            # A luma that is flat within every block bounds its past from below alone: flat it may have been.
            high = CEILING if is_blank else min(psnr + width, CEILING)
            found.append(PsnrEstimate(middle, min(middle, psnr - width), max(middle, high)))
        return PsnrEstimates(found[0], found[0] if is_gray else found[1])


@dataclass(frozen=True)
class DocumentPsnr:
    """What the source document's rule says.

    Attributes:
        psnr: dB.
        spread: the standard deviation it is read from.
        band: above 42 dB, 36.5 to 42, or below.
    """

    psnr: float
    spread: float
    band: Literal["above 42", "36.5 to 42", "below 36.5"]


def document_psnr(luma: Int[Tensor, "64 2047"], table: Int[Tensor, "8 8"]) -> DocumentPsnr:
    """The source document's rule: PSNR from the spread of luma's nonzero AC values, dequantized.

    It is a baseline that the estimate is shown beside: a larger spread is as well a finer table that lets
    more values live, or a picture of more contrast, and the rule knows of neither.

    Args:
        luma: of band_histograms.
        table: luma's steps, natural order.

    Returns:
        44.2 - 2.1 s where the spread s is below 0.8 (there are no nonzero values: 0), else
        40.8 - 3.7 log10 s.

    Source: section 3.2 of the document that this project grew from.
    """
    values = torch.arange(-MOST, MOST + 1, device=luma.device, dtype=torch.float64)
    amounts = values * table.double().reshape(BANDS, 1)[1:].to(luma.device)
    counts = luma[1:].double().clone()
    counts[:, MOST] = 0
    total = counts.sum().clamp_min(1)
    mean = (counts * amounts).sum() / total
    spread = float(((counts * (amounts - mean).square()).sum() / total).sqrt())
    psnr = 44.2 - 2.1 * spread if spread < 0.8 else 40.8 - 3.7 * math.log10(spread)
    band: Literal["above 42", "36.5 to 42", "below 36.5"]
    band = "above 42" if psnr > 42 else "36.5 to 42" if psnr >= 36.5 else "below 36.5"
    return DocumentPsnr(psnr, spread, band)
