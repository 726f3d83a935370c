from pathlib import Path

import double_compression
import numpy as np
import pytest
import torch
from double_trials import ALIGNED, Trial
from PIL import Image

from imgcompress.forensics.earlier_steps import StepFit


def trial(evidence: float, first: int | None, quality: int | None = None) -> Trial:
    fit = StepFit(evidence, quality, torch.zeros(8, 8, dtype=torch.int64))
    return Trial(ALIGNED, "made up", first, 90, fit, (0, 0))


def test_the_tables_of_one_tiny_photograph(
    photo: torch.Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ajpegli")
    pytest.importorskip("pyvips")
    Image.fromarray(photo[:, 100:228, 200:328].permute(1, 2, 0).numpy().copy()).save(tmp_path / "a.png")
    double_compression.main([str(tmp_path), "--aligned", "--calibrate"])
    shown = capsys.readouterr().out
    assert "| > 5, all |" in shown and "| aligned | once, jpegli |" in shown
    row = next(line for line in shown.splitlines() if line.startswith("| 20 |"))
    assert row.split("|")[3].strip() == "1.000"


def test_the_area_under_the_curve_counts_ordered_pairs() -> None:
    past, none = [trial(e, 50) for e in (3.0, 5.0)], [trial(e, None) for e in (1.0, 3.0, 4.0)]
    assert double_compression.auc(past, none) == pytest.approx((1 + 0.5 + 3) / 6)


def test_the_confidence_that_is_fitted_is_the_one_that_made_the_labels() -> None:
    generator = np.random.default_rng(1)
    logarithm = generator.uniform(0, 6, 4000)
    labels = generator.random(4000) < 1 / (1 + np.exp(-2 * (logarithm - 3)))
    found = double_compression.calibrate(
        [trial(float(np.expm1(x)), 50 if label else None) for x, label in zip(logarithm, labels, strict=True)]
    )
    assert found.slope == pytest.approx(2, rel=0.15) and found.middle == pytest.approx(3, abs=0.15)
