"""How well the no-reference score orders pictures: the table of rank correlations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import spearmanr
from torch import Tensor

from imgcompress.shapes import Float
from train.score_data import SECOND_QUALITY, Sample

FEWEST = 3
"""Samples that a rank correlation is given for."""
ROWS = {
    "ladder": "qualities of several encoders",
    "saved_again": f"saved again at quality {SECOND_QUALITY}",
    "cut_and_saved": f"cut off the grid and saved at quality {SECOND_QUALITY}",
    "recompressed": "compressed twice, any qualities",
    "shrunk": "compressed, shrunk, compressed",
    "resized": "shrunk, enlarged, compressed",
    "blurred": "blurred, compressed",
    "noisy": "noise added, compressed",
}
_FIRST = ("saved_again", "cut_and_saved")
"""What is compared with the score before the picture was saved again."""
_ONE_NUMBER = ("ladder", "resized", "blurred", "noisy")
"""Where the file's own quality number is that of the only compression."""


@dataclass(frozen=True)
class Judged:
    """Pictures that people judged.

    Attributes:
        title: of the study.
        opinions: mean scores of people.
        qualities: numbers of the encoder.
        foretold: by name of the fit.
    """

    title: str
    opinions: Sequence[float]
    qualities: Sequence[float]
    foretold: Mapping[str, Float[Tensor, "pictures"]]


def table(
    samples: Sequence[Sample],
    foretold: Mapping[str, Float[Tensor, "samples"]],
    judged: Sequence[Judged],
) -> str:
    """Markdown: one row a kind of damage and a study, one column a fit and the bare quality number.

    Args:
        samples: not seen by what foretold them.
        foretold: scores by name of the fit.
        judged: studies.
    """
    lines = [
        f"| pictures | compared with | {' | '.join(foretold)} | quality number |",
        "|---|---|" + "---|" * (len(foretold) + 1),
    ]
    for kind, title in ROWS.items():
        rows, true = _of_kind(samples, kind)
        if len(rows) < FEWEST:
            continue
        cells = [_cell(values[rows].tolist(), true) for values in foretold.values()]
        numbers = [float(samples[row].quality) for row in rows]
        cells.append(_cell(numbers, true) if kind in _ONE_NUMBER else "-")
        against = "SSIMULACRA2 of the first" if kind in _FIRST else "SSIMULACRA2"
        lines.append(f"| {title} ({len(rows)}) | {against} | {' | '.join(cells)} |")
    for study in judged:
        cells = [_cell(study.foretold[name].tolist(), study.opinions) for name in foretold]
        cells.append(_cell(study.qualities, study.opinions))
        lines.append(f"| {study.title} ({len(study.opinions)}) | people | {' | '.join(cells)} |")
    return "\n".join(lines)


def figures(
    samples: Sequence[Sample], foretold: Float[Tensor, "samples"], judged: Sequence[Judged], name: str
) -> dict[str, float]:
    """One column of the table, by kind of damage and study.

    Args:
        samples, judged: as for ``table``.
        foretold: of the samples.
        name: of the fit among those of the studies.
    """
    found = {}
    for kind in ROWS:
        rows, true = _of_kind(samples, kind)
        if len(rows) >= FEWEST:
            found[kind] = round(srocc(foretold[rows].tolist(), true), 4)
    for study in judged:
        found[study.title] = round(srocc(study.foretold[name].tolist(), study.opinions), 4)
    return found


def _of_kind(samples: Sequence[Sample], kind: str) -> tuple[list[int], list[float]]:
    """Places of its samples, and what they are compared with."""
    rows = [index for index, sample in enumerate(samples) if sample.kind == kind]
    return rows, [samples[row].first_score if kind in _FIRST else samples[row].score for row in rows]


def srocc(values: Sequence[float], true: Sequence[float]) -> float:
    """Spearman's rank correlation."""
    return float(spearmanr(values, true).statistic)


def mean_absolute_error(samples: Sequence[Sample], foretold: Float[Tensor, "samples"], worst: float) -> float:
    """In points of SSIMULACRA2; what is below ``worst`` counts as it."""
    true = torch.tensor([sample.score for sample in samples]).clamp(min=worst)
    return float((foretold - true).abs().mean())


def _cell(values: Sequence[float], true: Sequence[float]) -> str:
    return f"{srocc(values, true):.3f}".replace("0.", ".", 1)
