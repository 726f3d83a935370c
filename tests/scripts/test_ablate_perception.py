"""The ablations of the perceptual distance: their settings, and the table."""

import sys
from pathlib import Path

import pytest
import yaml
from ablate_perception import ABLATIONS, DEFAULT, missing_judgments, parse, table

from imgcompress.config import PerceptionConfig

OVERLAYS = sorted((ABLATIONS / "perception").glob("*.yaml"))


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_ablation_changes_the_default_fit_and_says_how(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# The default fit with")
    (section, changes), *others = yaml.safe_load(text).items()
    default = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    assert not others and section in ("model", "data")
    changes = changes.get("distance", changes)
    before = default[section].get("distance", default[section])
    assert any(before.get(key) != value for key, value in changes.items())


def test_settings_whose_judgments_are_missing_are_left_out(tmp_path: Path) -> None:
    assert missing_judgments(ABLATIONS / "perception" / "masking.yaml") is None
    there, missing = tmp_path / "there.yaml", tmp_path / "missing.yaml"
    (tmp_path / "mine.csv").touch()
    there.write_text(f"data: {{judgments: [{tmp_path / 'mine.csv'}]}}")
    missing.write_text(f"data: {{judgments: [{tmp_path / 'mine.csv'}, none.csv]}}")
    assert missing_judgments(there) is None and missing_judgments(missing) == "none.csv"


def test_folders_are_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ablate_perception.py", "--out", "fits", "--photographs", "photos"])
    options = parse()
    assert (options.out, options.photographs) == (tmp_path / "fits", tmp_path / "photos")


def test_each_layer_is_alone_once() -> None:
    names = [path.stem for path in OVERLAYS if path.stem.endswith("-alone") and path.stem.startswith("conv")]
    layers = [
        yaml.safe_load((ABLATIONS / "perception" / f"{name}.yaml").read_text())["model"] for name in names
    ]
    shares = [layer["distance"]["layers"] for layer in layers]
    assert shares == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert len(PerceptionConfig().layer_weights) == len(shares)


def test_a_table_has_a_column_for_every_figure_of_any_row() -> None:
    lines = table({"default": {"x": "1", "y": "2"}, "no-map": {"z": "+.5"}}).splitlines()
    assert lines == [
        "| | x | y | z |",
        "|---|---|---|---|",
        "| default | 1 | 2 |  |",
        "| no-map |  |  | +.5 |",
    ]
