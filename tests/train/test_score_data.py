import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.errors import UsageError
from train.score_data import Recipe, make_samples

TINY = Recipe(crop=(72, 64), halved=2, full=1, others=1, twice=1, again=1, before=1)


def _encode(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, qtables="web_high")
    return buffer.getvalue()


@pytest.fixture
def picture(tmp_path: Path, photo: torch.Tensor) -> Path:
    path = tmp_path / "cup.png"
    Image.fromarray(photo[:, 100:300, 200:450].permute(1, 2, 0).contiguous().numpy()).save(path)
    return path


def test_samples_of_every_kind_with_their_scores(picture: Path, tmp_path: Path) -> None:
    samples = make_samples(picture, tmp_path / "out", {"other": _encode}, TINY)
    of_scene = [sample for sample in samples if "/upperleft-" in sample.file]
    assert len(samples) == 5 * len(of_scene) == 5 * 12
    assert {sample.picture for sample in samples} == {"cup"}
    kinds = [sample.kind for sample in of_scene]
    assert kinds.count("ladder") == 4
    for sample in of_scene:
        with Image.open(tmp_path / "out" / sample.file) as image:
            assert image.format == ("PNG" if sample.kind == "untouched" else "JPEG")
        if sample.kind in ("untouched", "ladder", "blurred", "noisy", "resized"):
            assert sample.score == sample.first_score
    assert all(sample.score == 100 for sample in samples if sample.kind == "untouched")
    # A second compression at 95 costs little after one of at most 92, and does not help.
    for sample in samples:
        if sample.kind == "saved_again":
            assert sample.first_score - 6 < sample.score < sample.first_score + 2


def test_what_was_cut_has_another_grid(picture: Path, tmp_path: Path) -> None:
    samples = make_samples(picture, tmp_path / "out", {}, TINY)
    for sample in samples:
        if sample.kind == "cut_and_saved":
            down, right = (int(part) for part in Path(sample.file).stem.split("-")[-2:])
            assert (down, right) != (0, 0)
            whole = next(Image.open(tmp_path / "out" / s.file) for s in samples if s.kind == "untouched"
                         and s.file.split("-")[0] == sample.file.split("-")[0])  # fmt: skip
            with Image.open(tmp_path / "out" / sample.file) as image:
                assert image.size == (whole.width - right, whole.height - down)


def test_the_same_call_finds_what_is_there(picture: Path, tmp_path: Path) -> None:
    first = make_samples(picture, tmp_path / "out", {}, TINY)
    file = tmp_path / "out" / first[0].file
    written = file.stat().st_mtime_ns
    assert make_samples(picture, tmp_path / "out", {}, TINY) == first
    assert file.stat().st_mtime_ns == written
    assert make_samples(picture, tmp_path / "again", {}, TINY) == first


def test_a_photograph_that_is_a_jpeg_is_reduced_first(picture: Path, tmp_path: Path) -> None:
    with Image.open(picture) as image:
        image.save(tmp_path / "cup.jpg", quality=30)
    samples = make_samples(tmp_path / "cup.jpg", tmp_path / "out", {}, TINY)
    with Image.open(tmp_path / "out" / samples[0].file) as image:
        assert image.size == (round(250 / 3) // 2, round(200 / 3) // 2)


def test_an_unreadable_photograph_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"bad\.png: cannot read"):
        make_samples(tmp_path / "bad.png", tmp_path / "out", {}, TINY)
