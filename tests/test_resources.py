import json
from pathlib import Path

import pytest

from imgcompress import resources
from imgcompress.errors import UsageError
from imgcompress.forensics.score import load_score_model
from imgcompress.perception.weights import file_sha256, load_weights


def test_the_repository_holds_the_trunk():
    path = resources.default_trunk()
    assert path.is_file()
    assert path.name == "vgg16_conv4_3.safetensors"


def test_the_weights_that_come_with_the_package_have_a_card():
    path = resources.default_weights()
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert path.stat().st_size < 1_000_000
    assert card["trunk_sha256"] == file_sha256(resources.default_trunk())
    weights = load_weights(path, resources.default_trunk())
    assert weights.layer_weights == pytest.approx(card["layer_weights"])
    assert (weights.scaled_l2, weights.ssimulacra2) == (card["scaled_l2"], card["terms"]["ssimulacra2"])
    assert card["out_of_fold"]["tid2013_jpeg"]["srocc"] >= 0.925
    assert card["out_of_fold"]["mict_jpeg"]["srocc"] >= 0.955
    assert not card["refused_but_forced"]


def test_the_score_that_comes_with_the_package_has_a_card():
    path = resources.default_score_model()
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert path.stat().st_size < 100_000
    assert card["sha256"] == file_sha256(path)
    model = load_score_model()
    assert model.residuals.tolist() == pytest.approx(card["residuals"], abs=1e-4)
    assert len(card["photographs"]) == 30  # Kodak's and the cameras': CLIC's judge the result
    figures = card["out_of_fold_srocc"]
    assert figures["ladder"] >= 0.92
    assert min(figures["saved_again"], figures["cut_and_saved"]) >= 0.93
    assert figures["mict_jpeg"] > 0.864


@pytest.mark.parametrize("inside", [True, False])
def test_both_layouts_are_found(inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "imgcompress"
    home = package if inside else tmp_path
    (home / "configs").mkdir(parents=True)
    package.mkdir(exist_ok=True)
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.resource_path("configs") == home / "configs"


def test_the_wheel_wins_over_a_strangers_folder_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "imgcompress"
    (package / "configs").mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.resource_path("configs") == package / "configs"


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "imgcompress")
    with pytest.raises(UsageError, match="vgg16_conv4_3"):
        resources.default_trunk()
