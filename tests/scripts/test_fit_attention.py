"""Fitting the attention map, on tiny crops of sample photographs."""

import sys
from pathlib import Path

import fit_attention
import numpy as np
import pytest
import torch
from fit.block_weights import Blocks, fit, measure_blocks, validate
from PIL import Image
from rd.pictures import list_pictures
from torch import Tensor

from imgcompress.config import Config, LoopConfig
from imgcompress.image.color import rgb_to_gray
from imgcompress.perception.attention import cell_maps

STRENGTHS = np.array([0.0, 0.1, 0.3])


@pytest.fixture(scope="module")
def folder(photo: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    pixels = photo.permute(1, 2, 0).numpy()
    for name, top in (("one", 100), ("two", 250)):
        Image.fromarray(pixels[top : top + 64, 200:296]).save(folder / f"{name}.png")
    return folder


def made(seed: int, noise: float = 0.0, strengths: np.ndarray = STRENGTHS) -> Blocks:
    generator = np.random.default_rng(seed)
    maps = generator.normal(size=(200, 3))
    maps -= maps.mean(axis=0)
    log_weights = maps @ strengths + noise * generator.normal(size=200)
    return Blocks(maps, log_weights - log_weights.mean())


def test_strengths_that_weights_were_made_with_are_found() -> None:
    assert fit([made(1), made(2)]) == pytest.approx(STRENGTHS, abs=1e-9)
    assert made(1).explained(STRENGTHS) == pytest.approx(1)
    assert made(1).explained(np.zeros(3)) == 0
    assert made(1).explained(-STRENGTHS) == pytest.approx(-3)


def test_no_strength_is_below_zero() -> None:
    found = fit([made(1, 0.1, np.array([-0.5, 0.1, 0.3]))])
    assert found[0] == 0
    assert (found[1:] > 0).all()


def test_noise_is_not_explained() -> None:
    signal = float(STRENGTHS @ STRENGTHS)
    result = validate([[made(seed, signal**0.5)] for seed in range(8)])
    assert result.strengths == pytest.approx(STRENGTHS, abs=0.05)
    assert np.mean(result.explained) == pytest.approx(0.5, abs=0.06)


def test_a_picture_left_out_has_no_say_in_its_fit() -> None:
    odd = made(3, 0.0, np.array([0.4, 0.0, 0.0]))
    result = validate([[made(1)], [made(2)], [odd]])
    assert result.explained[2] == pytest.approx(odd.explained(STRENGTHS))
    assert result.explained[0] < 1 - 1e-3


def test_measured_blocks_are_the_pictures(folder: Path) -> None:
    picture = list_pictures(folder, None, None)[0]
    config = Config(subsampling="420", loop=LoopConfig(rounds=2, shift=0.08))
    luma, cb, cr = measure_blocks(picture, config, [4.0, 20.0])
    assert [len(plane) for plane in (luma, cb, cr)] == [2, 2, 2]
    assert [each.log_weights.shape for each in (luma[0], cb[0], cr[1])] == [(96,), (24,), (24,)]
    pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].float()
    maps = cell_maps(rgb_to_gray(pixels), torch.ones(1, 8, 12, dtype=torch.bool))[0].flatten(1).T.double()
    assert luma[0].maps == pytest.approx((maps - maps.mean(0)).numpy(), abs=1e-4)
    for each in (*luma, *cb, *cr):
        assert each.log_weights.mean() == pytest.approx(0, abs=1e-9)
        assert each.log_weights.std() > 0.1
    assert np.abs(luma[0].log_weights - luma[1].log_weights).max() > 0.1


def test_the_table_of_a_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fit_attention.py", str(folder), "--steps", "5,15"])
    fit_attention.main()
    rows = [row.split(" | ") for row in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0], row[1]) for row in rows] == [
        (f"| {plane}", label) for plane in ("luma", "Cb", "Cr") for label in ("5", "15", "all")
    ]
    for row in rows:
        shares, total = [float(cell) for cell in row[2:5]], float(row[5])
        assert sum(shares) == pytest.approx(total, abs=0.002)
        assert min(shares) >= 0


def test_one_picture_cannot_be_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fit_attention.py", str(folder), "--pictures", "one"])
    with pytest.raises(SystemExit, match="two pictures"):
        fit_attention.main()
