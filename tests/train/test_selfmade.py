"""Self-made pairs: what the CSVs say is in the files, again and again the same."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from imgcompress.errors import UsageError
from imgcompress.perception.ssimulacra2 import ssimulacra2
from train.judgments import read_judgments
from train.ladders import BLUR, NOISE, Ladder, Pixels, jpeg_ladder
from train.selfmade import LADDER_STUDY, SSIMULACRA2_STUDY, Recipe, write_pairs

RECIPE = Recipe(crop=(96, 64), longest=300, levels=3, threshold=8.0)


def encode(pixels: Pixels, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


LADDERS = (jpeg_ladder("jpeg", encode), BLUR, NOISE)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for name, pixels in (("coffee", data.coffee()), ("cat", data.chelsea()), ("rocket", data.rocket())):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return sorted(folder.glob("*.png"))


@pytest.fixture(scope="module")
def made(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    files = write_pairs(photos, folder, LADDERS, RECIPE)
    assert files == [folder / f"{study}.csv" for study in (LADDER_STUDY, SSIMULACRA2_STUDY)]
    return folder


def rows(folder: Path, study: str) -> list[dict[str, str]]:
    with (folder / f"{study}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def pixels(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_pairs_are_read_as_judgments(made: Path) -> None:
    judgments = read_judgments(sorted(made.glob("*.csv")))
    assert {item.picture for item in judgments.items} == {"cat", "coffee", "rocket"}
    ladder = [item for item in judgments.items if item.study == LADDER_STUDY]
    assert len(ladder) == 3 * len(LADDERS) * RECIPE.levels
    assert (
        sum(judgments.items[p.better].study == LADDER_STUDY for p in judgments.pairs) == 3 * len(LADDERS) * 3
    )


def test_within_a_ladder_the_lighter_step_is_preferred(made: Path) -> None:
    for row in rows(made, LADDER_STUDY):
        better, worse = (row[side] for side in (("a", "b") if row["preferred"] == "a" else ("b", "a")))
        name, lighter = Path(better).stem.rsplit("-", 1)
        other, heavier = Path(worse).stem.rsplit("-", 1)
        assert name == other
        assert (float(lighter) > float(heavier)) == (name == "jpeg")


def test_between_ladders_ssimulacra2_decides_and_is_sure(made: Path) -> None:
    found = rows(made, SSIMULACRA2_STUDY)
    assert found
    for row in found:
        reference, a, b = (pixels(made / row[column]) for column in ("reference", "a", "b"))
        gap = float(ssimulacra2(reference, a) - ssimulacra2(reference, b))
        assert row["preferred"] == ("a" if gap > 0 else "b")
        assert abs(gap) > RECIPE.threshold - 0.01
        assert float(row["weight"]) == pytest.approx(min(1, abs(gap) / (2 * RECIPE.threshold)), abs=2e-3)
        assert Path(row["a"]).stem.rsplit("-", 1)[0] != Path(row["b"]).stem.rsplit("-", 1)[0]


def test_a_pair_is_missing_only_where_ssimulacra2_is_not_sure(made: Path) -> None:
    said = {frozenset((row["a"], row["b"])) for row in rows(made, SSIMULACRA2_STUDY)}
    reference = pixels(made / "cat/reference.png")
    files = [path for path in sorted((made / "cat").iterdir()) if path.stem != "reference"]
    scores = {path: float(ssimulacra2(reference, pixels(path))) for path in files}
    for first in files:
        for second in files:
            apart = first.stem.rsplit("-", 1)[0] != second.stem.rsplit("-", 1)[0]
            if apart and abs(scores[first] - scores[second]) > RECIPE.threshold + 0.01:
                assert frozenset((f"cat/{first.name}", f"cat/{second.name}")) in said


def test_the_same_seed_gives_the_same_files_whatever_the_other_photographs(
    made: Path, photos: list[Path], tmp_path: Path
) -> None:
    write_pairs(photos, tmp_path / "again", LADDERS, RECIPE)
    assert all_bytes(tmp_path / "again") == all_bytes(made)
    write_pairs(photos[:1], tmp_path / "one", LADDERS, RECIPE)
    assert all_bytes(tmp_path / "one" / "cat") == all_bytes(made / "cat")
    write_pairs(photos[:1], tmp_path / "other", LADDERS, replace(RECIPE, seed=2))
    assert all_bytes(tmp_path / "other" / "cat") != all_bytes(made / "cat")


def test_a_large_photograph_is_reduced_before_it_is_cropped(photos: list[Path], tmp_path: Path) -> None:
    recipe = replace(RECIPE, crop=(90, 60), longest=90)
    write_pairs([photos[1]], tmp_path, LADDERS[:1], recipe)
    whole = Image.fromarray(data.coffee()).resize((90, 60), Image.Resampling.LANCZOS)
    with Image.open(tmp_path / "coffee/reference.png") as reference:
        assert np.array_equal(np.array(reference), np.array(whole))


def test_a_study_without_pairs_has_no_file(photos: list[Path], tmp_path: Path) -> None:
    assert write_pairs(photos[:1], tmp_path, LADDERS[:1], RECIPE) == [tmp_path / f"{LADDER_STUDY}.csv"]


def test_files_that_decode_alike_are_no_pair(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80), (90, 120, 60)).save(tmp_path / "flat.png")
    assert write_pairs([tmp_path / "flat.png"], tmp_path / "made", [BLUR], RECIPE) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": (15, 64)}, "crop: expected at least 16 x 16 pixels, got 15 x 64"),
        ({"crop": (400, 64)}, "longest: expected no less than the crop's 400, got 300"),
        ({"levels": 1}, "levels: expected an integer >= 2, got 1"),
        ({"threshold": 0.0}, "threshold: expected a number above 0, got 0"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(RECIPE, **change)  # type: ignore[arg-type]


def no_photo(folder: Path) -> Sequence[Path]:
    (folder / "no.png").write_bytes(b"text")
    return [folder / "no.png"]


def too_small(folder: Path) -> Sequence[Path]:
    Image.new("RGB", (80, 80)).save(folder / "small.png")
    return [folder / "small.png"]


def one_name(folder: Path) -> Sequence[Path]:
    for suffix in ("png", "ppm"):
        Image.fromarray(data.coffee()).save(folder / f"same.{suffix}")
    return [folder / "same.png", folder / "same.ppm"]


@pytest.mark.parametrize(
    ("photographs", "message"),
    [
        (no_photo, "no.png: cannot read the photograph"),
        (too_small, "small.png: 80 x 80 pixels, at most 300 along a side; the crop needs 96 x 64"),
        (one_name, "same.ppm: .*same.png has the same name"),
    ],
)
def test_photographs_that_cannot_be_used_are_named(photographs, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=message):
        write_pairs(photographs(tmp_path), tmp_path / "made", LADDERS[:1], RECIPE)


def test_a_ladder_shorter_than_the_levels_is_taken_whole(photos: list[Path], tmp_path: Path) -> None:
    short = Ladder("short", BLUR.steps[:2], BLUR.damage)
    write_pairs(photos[:1], tmp_path, [short], RECIPE)
    assert len(rows(tmp_path, LADDER_STUDY)) == 1
