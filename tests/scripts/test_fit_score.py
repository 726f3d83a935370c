"""The command on two tiny photographs: a score that the package reads, a card, and the table."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import fit_score
import pytest
import torch
from PIL import Image

from imgcompress.errors import UsageError
from imgcompress.forensics.score import load_score_model
from train.score_data import Recipe
from train.score_fit import FitSettings


@pytest.fixture
def folder(tmp_path: Path, photo: torch.Tensor) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, left in (("one", 0), ("two", 150), ("three", 300)):
        crop = photo[:, :160, left : left + 200].permute(1, 2, 0).contiguous()
        Image.fromarray(crop.numpy()).save(photos / f"{name}.png")
    return photos


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(crop=(64, 48), halved=1, full=1, twice=1, again=1, before=1)
    settings = FitSettings(networks=2, units=2, epochs=10, folds=2)
    monkeypatch.setattr(fit_score, "Recipe", lambda: replace(recipe))
    monkeypatch.setattr(fit_score, "FitSettings", lambda: replace(settings))
    monkeypatch.setattr(fit_score, "other_encoders", dict)


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["fit_score.py", *map(str, arguments)])
    fit_score.main()


def test_a_fit_is_saved_and_shown(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "score.safetensors"
    _run(monkeypatch, folder, "--cache", tmp_path / "cache", "--output", output, "--unseen", folder)
    printed = capsys.readouterr().out
    assert "| saved again at quality 95 (15) |" in printed
    assert "photos, the saved score" in printed
    model = load_score_model(output)
    card = json.loads(output.with_suffix(".json").read_text())
    assert card["photographs"] == ["one", "three", "two"]
    assert card["residuals"] == pytest.approx(model.residuals.tolist(), abs=1e-3)
    assert f"| {card['out_of_fold_srocc']['ladder']:.3f}".replace("0.", ".") in printed
    before = output.read_bytes()
    _run(monkeypatch, folder, "--cache", tmp_path / "cache", "--output", output)
    assert output.read_bytes() == before


def test_evaluating_saves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "score.safetensors"
    _run(monkeypatch, folder, "--cache", tmp_path / "cache", "--output", output, "--evaluate-only")
    assert "BRISQUE's alone" in capsys.readouterr().out
    assert not output.exists()


def test_one_photograph_is_too_few(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("two", "three"):
        (folder / f"{name}.png").unlink()
    with pytest.raises(UsageError, match="at least two photographs"):
        _run(monkeypatch, folder, "--cache", tmp_path / "cache")
