from pathlib import Path

import pytest
import torch
from PIL import Image

from imgcompress.forensics.features import NAMES, features
from imgcompress.forensics.score import score_from_root
from train import score_features
from train.score_data import Sample
from train.score_features import file_features
from train.score_fit import Data, FitSettings, deal, fit, out_of_fold, residuals
from train.score_table import Judged, figures, table

FAST = FitSettings(networks=2, units=4, epochs=150, folds=3)
FEW = ("blockiness_across", "steps_coarseness", "steps_clarity", "natural_shape_1")


@pytest.fixture
def data() -> Data:
    """A score that falls with the second feature; the fourth only says which of six pictures it is."""
    generator = torch.Generator().manual_seed(1)
    raw = torch.randn(240, 4, generator=generator)
    pictures = torch.arange(240) % 6
    raw[:, 3] = pictures.float()
    scores = 100 - (4 + raw[:, 1]).square() + 0.1 * torch.randn(240, generator=generator)
    return Data(FEW, raw, scores, torch.ones(240), pictures % 3)


def test_a_known_relation_is_found_for_pictures_not_seen(data: Data) -> None:
    found = out_of_fold(data, FAST)
    assert (found - data.scores).abs().mean() < 3
    # What a fit says of its own fold depends on the others' scores alone.
    changed = data.scores.clone()
    changed[data.fold == 0] = 0
    other = out_of_fold(Data(data.names, data.raw, changed, data.weights, data.fold), FAST)
    assert torch.equal(other[data.fold == 0], found[data.fold == 0])
    assert not torch.equal(other[data.fold == 1], found[data.fold == 1])


def test_what_has_no_weight_is_not_learned_from(data: Data) -> None:
    weights = data.weights.clone()
    weights[::2] = 0
    scores = data.scores.clone()
    scores[::2] = -50
    model = fit(Data(data.names, data.raw, scores, weights, data.fold), FAST)
    found = score_from_root(model.roots(model.normalize(data.raw)))
    assert (found - data.scores).abs().mean() < 3


def test_half_of_the_networks_see_the_grid_alone(data: Data) -> None:
    model = fit(data, FAST)
    assert (model.hidden[0, 3] == 0).all()
    assert (model.hidden[1] != 0).all()
    assert (fit(data.with_features(("natural_shape_1",)), FAST).hidden != 0).all()


def test_nine_of_ten_residuals_are_between_the_two(data: Data) -> None:
    found = out_of_fold(data, FAST)
    low, high = residuals(data, found).tolist()
    errors = (100 - data.scores).sqrt() - (100 - found).sqrt()
    assert low < high
    assert ((errors >= low) & (errors <= high)).float().mean().item() == pytest.approx(0.9, abs=0.02)


def test_a_picture_is_in_one_fold() -> None:
    folds = deal(["b", "a", "c", "a", "d"], 2, 1)
    assert sorted(folds) == ["a", "b", "c", "d"]
    assert sorted(folds.values()) == [0, 0, 1, 1]


def test_features_are_computed_once(
    tmp_path: Path, photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(photo[:, :40, :48].permute(1, 2, 0).contiguous().numpy()).save(file)
    first = file_features([file], tmp_path / "cache")
    torch.testing.assert_close(first, features(photo[None, :, :40, :48]))

    def fails(pixels: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    monkeypatch.setattr(score_features, "features", fails)
    assert torch.equal(file_features([file, file], tmp_path / "cache"), first.expand(2, -1))
    monkeypatch.setattr(score_features, "NAMES", NAMES[::-1])
    with pytest.raises(AssertionError):
        file_features([file], tmp_path / "cache")


def test_the_table() -> None:
    samples = [Sample(f"{q}", "a", "ladder", q, float(q), float(q)) for q in (10, 20, 30)]
    samples += [Sample(f"{q}s", "a", "saved_again", q, float(-q), float(q)) for q in (10, 20, 30)]
    found = torch.tensor([1.0, 2, 3, 3, 2, 1])
    study = Judged("people", [1.0, 2.0, 3.0], [3.0, 2.0, 1.0], {"ours": found[:3]})
    text = table(samples, {"ours": found}, [study])
    assert "| qualities of several encoders (3) | SSIMULACRA2 | 1.000 | 1.000 |" in text
    assert "| saved again at quality 95 (3) | SSIMULACRA2 of the first | -1.000 | - |" in text
    assert "| people (3) | people | 1.000 | -1.000 |" in text
    assert figures(samples, found, [study], "ours") == {"ladder": 1, "saved_again": -1, "people": 1}
