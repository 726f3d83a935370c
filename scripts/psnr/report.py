"""The table of errors by encoder and quality."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Judged:
    """One file's estimates against the truth, dB.

    Attributes:
        encoder: its name.
        quality: its number.
        luma: the estimate of luma's PSNR less the true one.
        luma_low: lower end of the interval less the true PSNR; luma_high, rgb_low, rgb_high likewise.
        luma_high: as above.
        rgb: the estimate of RGB's PSNR less the true one.
        rgb_low: as above.
        rgb_high: as above.
        document: what the source document's rule says less the true PSNR of luma.
    """

    encoder: str
    quality: int
    luma: float
    luma_low: float
    luma_high: float
    rgb: float
    rgb_low: float
    rgb_high: float
    document: float


_HEAD = (
    "| encoder | quality | files | luma: error | bias | held | width | RGB: error | bias | held | width | "
    "document: error | bias |\n|" + "---|" * 13
)


def error_table(files: Sequence[Judged]) -> str:
    """Mean absolute error and bias in dB, percent of intervals that hold the truth, and their mean width."""
    rows = []
    for encoder in dict.fromkeys(each.encoder for each in files):
        of_encoder = [each for each in files if each.encoder == encoder]
        rows += [
            _row(encoder, str(quality), [each for each in of_encoder if each.quality == quality])
            for quality in sorted({each.quality for each in of_encoder})
        ]
        rows.append(_row(f"**{encoder}**", "all", of_encoder))
    rows.append(_row("**all**", "all", files))
    return "\n".join([_HEAD, *rows])


def _row(encoder: str, quality: str, files: Sequence[Judged]) -> str:
    cells = [encoder, quality, str(len(files))]
    for name in ("luma", "rgb"):
        low, high = (np.array([getattr(each, f"{name}_{end}") for each in files]) for end in ("low", "high"))
        cells += _error([getattr(each, name) for each in files])
        cells += [f"{100 * np.mean((low <= 0) & (high >= 0)):.0f} %", f"{np.mean(high - low):.1f}"]
    cells += _error([each.document for each in files])
    return f"| {' | '.join(cells)} |"


def _error(errors: Sequence[float]) -> list[str]:
    return [f"{np.abs(errors).mean():.2f}", f"{np.mean(errors):+.2f}"]
