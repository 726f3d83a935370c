"""Fitting the shape of the starting tables, on tiny crops of sample photographs."""

import sys
from argparse import ArgumentTypeError
from dataclasses import astuple, replace
from pathlib import Path

import fit_tables
import numpy as np
import pytest
import torch
from fit.gradient import Descent, MixedRounding, Scene, descend
from fit.measure import ShapePoint, ShapeTask, markdown, measure, rates
from fit.shapes import NAMES, neighbors, shape_of, written
from PIL import Image
from rd.encoders import EncoderSpec, our_spec
from rd.options import steps
from rd.pictures import PictureFile, list_pictures, named
from rd.scores import Metric
from torch import Tensor

from imgcompress.config import Config
from imgcompress.quantization.quantize import round_half_away
from imgcompress.quantization.soft import SoftRounding
from imgcompress.quantization.tables import SHAPE, TableShape
from imgcompress.resources import resource_path

CONFIG = Config(subsampling="420")
STEPS = (8.0, 20.0)
FLAT = TableShape((0.2, 0.2, 0.2), 0.2, 0.3, (2.0, 2.0))
STEEP = TableShape((2.5, 2.5, 2.5), 2.5, 0.3, (0.2, 0.2))


@pytest.fixture(scope="module")
def folder(photo: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    pixels = photo.permute(1, 2, 0).numpy()
    for name, top in (("one", 100), ("two", 250)):
        Image.fromarray(pixels[top : top + 64, 200:296]).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def scenes(folder: Path) -> list[Scene]:
    return [Scene(picture, CONFIG) for picture in list_pictures(folder, None, None)]


@pytest.fixture(scope="module")
def found(scenes: list[Scene]) -> Descent:
    """From a bad shape."""
    return descend(scenes, FLAT, STEPS, MixedRounding(), iterations=8, rate=0.2)


def test_the_descent_lowers_its_objective_and_the_bits_that_it_predicts(found: Descent) -> None:
    assert found.end < found.start - 0.02
    assert found.saving < -2
    assert found.saving_rounded < -2


def test_the_predicted_saving_is_the_fall_of_the_objective(found: Descent) -> None:
    """To first order: k is a slope, and the bits between the steps are interpolated."""
    assert np.log1p(found.saving / 100) == pytest.approx(found.end - found.start, rel=0.5)


def test_without_iterations_nothing_is_saved(scenes: list[Scene]) -> None:
    stayed = descend(scenes, SHAPE, STEPS, MixedRounding(), iterations=0, rate=0.2)
    assert stayed.shape.numbers == pytest.approx(SHAPE.numbers)
    assert stayed.start == stayed.end
    assert (stayed.saving, stayed.saving_rounded) == pytest.approx((0, 0), abs=1e-3)


def test_a_descent_stays_within_bounds(scenes: list[Scene]) -> None:
    shape = descend(scenes[:1], SHAPE, STEPS, MixedRounding(), iterations=1, rate=50.0).shape
    assert set(shape.numbers) <= {0.0, 3.0, 0.1, 10.0}


def test_a_scale_of_all_steps_gains_nothing(scenes: list[Scene]) -> None:
    """What k is for: bits and damage weigh up along the reference step."""
    numbers = torch.tensor(SHAPE.numbers)
    rounding = MixedRounding()
    for scene in scenes:
        finer, middle, coarser = (
            scene.log_bits_and_damage(numbers, step, rounding).double() for step in (11.2, 14.0, 17.5)
        )
        slope = -np.gradient(*(torch.stack((finer, middle, coarser), dim=1).numpy()))[1]
        costs = [float(both[0] + slope * both[1]) for both in (finer, middle, coarser)]
        alone = float(finer[0] - coarser[0])
        assert alone > 0.2
        assert max(costs) - min(costs) < 0.2 * alone


def test_gradients_are_slopes_of_what_is_rounded(scenes: list[Scene]) -> None:
    """Of all steps together, where many coefficients average out what single ones jump."""
    slopes, differences = torch.zeros(2), torch.zeros(2)
    for scene in scenes:
        for step in (8.0, 14.0, 20.0):
            log_scale = torch.zeros(1, requires_grad=True)
            numbers = torch.tensor(SHAPE.numbers)
            # Chroma steps with their DC move alike under the chroma ratio.
            moved = torch.cat((numbers[:4], numbers[4:5] * log_scale.exp(), numbers[5:]))
            both = scene.log_bits_and_damage(moved, step, MixedRounding(0.3))
            slopes += torch.stack([torch.autograd.grad(v, log_scale, retain_graph=True)[0][0] for v in both])
            far = [
                scene.log_bits_and_damage(
                    torch.cat((numbers[:4], numbers[4:5] * factor, numbers[5:])), step, round_half_away
                )
                for factor in (1 / 1.3, 1.3)
            ]
            differences += ((far[1] - far[0]) / (2 * np.log(1.3))).detach()
    assert slopes[0] < 0 < slopes[1]
    assert slopes.tolist() == pytest.approx(differences.tolist(), rel=0.5)


def test_mixed_rounding_is_annealed_below_two_and_whole_beyond() -> None:
    values = torch.linspace(-4, 4, 801)
    mixed = MixedRounding(0.1)(values)
    small = values.abs() < 2
    assert torch.equal(mixed[small], SoftRounding("annealed", 0.1)(values)[small])
    assert torch.equal(mixed[~small], round_half_away(values)[~small])


def test_a_picture_without_damage_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (128, 128, 128)).save(tmp_path / "flat.png")
    scene = Scene(PictureFile(tmp_path / "flat.png"), CONFIG)
    with pytest.raises(ValueError, match="flat: coarser steps do not damage it"):
        descend([scene], SHAPE, STEPS, MixedRounding(), iterations=1, rate=0.1)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1, 1, 1), "seven numbers"),
        ((-0.1, 1, 1, 1, 1, 1, 1), "smooth tilt: expected 0.0 to 3.0"),
        ((1, 1, 1, 3.1, 1, 1, 1), "chroma tilt"),
        ((1, 1, 1, 1, 0, 1, 1), "chroma ratio: expected 0.1 to 10.0"),
        ((1, 1, 1, 1, 1, float("nan"), 1), "luma DC ratio"),
        ((1, 1, 1, 1, 1, 1, 11), "chroma DC ratio"),
    ],
)
def test_numbers_out_of_bounds_are_refused(numbers: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shape_of(numbers)
    with pytest.raises(ArgumentTypeError, match=message):
        fit_tables._shape(",".join(map(str, numbers)))


def test_a_shape_is_what_its_seven_numbers_say() -> None:
    assert shape_of(SHAPE.numbers) == SHAPE
    assert fit_tables._shape(written(SHAPE)) == SHAPE


def test_neighbors_differ_in_one_number_by_the_share() -> None:
    found = neighbors(SHAPE, 0.1)
    assert len(found) == 2 * len(NAMES)
    for label, shape in found.items():
        ratios = np.array(shape.numbers) / np.array(SHAPE.numbers)
        moved = np.flatnonzero(ratios != 1)
        assert len(moved) == 1 and abs(ratios[moved[0]] - 1) == pytest.approx(0.1)
        assert label.startswith(NAMES[moved[0]])
    with pytest.raises(ValueError, match="chroma ratio"):
        neighbors(replace(SHAPE, chroma_ratio=9.9), 0.1)


def psnr(reference: np.ndarray, result: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((reference.astype(float) - result) ** 2)))


JUDGE = Metric("psnr", "PSNR", "test", psnr, float)


@pytest.fixture(scope="module")
def spec() -> EncoderSpec:
    return our_spec(resource_path("configs/presets/fast.yaml"), "cpu")


def test_an_unchanged_shape_has_rate_zero_and_a_worse_one_a_positive_rate(
    folder: Path, tmp_path: Path, spec: EncoderSpec
) -> None:
    points = []
    for picture in list_pictures(folder, None, None):
        for label, shape in (("base", SHAPE), ("same", shape_of(SHAPE.numbers)), ("steep", STEEP)):
            points += measure(ShapeTask(picture, label, shape, spec, (6.0, 12.0, 20.0), (JUDGE,), tmp_path))
    assert len(points) == 2 * 3 * 3
    assert astuple(rates(points, "same", "base", JUDGE)) == (0, 0, 0, 0, 0, 2)
    worse = rates(points, "steep", "base", JUDGE)
    assert worse.larger == worse.count == 2
    table = markdown(points, "base", [JUDGE]).splitlines()
    assert table[0] == "| against base | PSNR |"
    assert table[2] == "| same | +0.00 [+0.00, +0.00] |"
    assert len(table) == 4


def test_the_cache_knows_shapes_and_steps_apart(folder: Path, tmp_path: Path, spec: EncoderSpec) -> None:
    picture = list_pictures(folder, None, 1)[0]

    def sizes(shape: TableShape) -> list[int]:
        task = ShapeTask(picture, "x", shape, spec, (6.0, 20.0), (JUDGE,), tmp_path)
        return [point.size for point in measure(task)]

    one, other = sizes(SHAPE), sizes(FLAT)
    assert one != other and one[0] > one[1]
    assert sizes(SHAPE) == one


def test_a_score_that_is_not_there_leaves_its_picture_out() -> None:
    points = [
        ShapePoint(picture, label, size, {"psnr": score if picture == "big" else float("nan")})
        for picture in ("big", "small")
        for label, factor in (("a", 1.0), ("b", 0.9))
        for size, score in ((int(1000 * factor), 30.0), (int(2000 * factor), 40.0))
    ]
    summary = rates(points, "b", "a", JUDGE)
    assert summary.count == 1
    assert summary.mean == pytest.approx(-10)


def test_the_command_prints_the_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--pictures two --steps 8,20 --iterations 1 --rounding straight_through --subsampling 444"
    monkeypatch.setattr(sys, "argv", ["fit_tables.py", "gradient", str(folder), *options.split()])
    monkeypatch.setattr(fit_tables, "prepare_workers", lambda threads: None)
    fit_tables.main()
    printed = capsys.readouterr().out
    shape = fit_tables._shape(printed.split("--shape ")[1].strip())
    assert max(abs(a - b) for a, b in zip(shape.numbers, SHAPE.numbers, strict=True)) > 0.01
    assert "| chroma ratio | 0.850 |" in printed


def test_an_unknown_picture_is_named(folder: Path) -> None:
    pictures = list_pictures(folder, None, None)
    with pytest.raises(SystemExit, match="no such picture: three"):
        named(pictures, ["two", "three"])
    assert [picture.name for picture in named(pictures, ["two", "one"])] == ["two", "one"]


@pytest.mark.parametrize("text", ["-0.1", "1", "5"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="not including"):
        fit_tables._share(text)


@pytest.mark.parametrize("text", ["14", "14,14", "0,14", "14,300"])
def test_reference_steps_that_make_no_curve_are_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="at least two"):
        steps(text)
