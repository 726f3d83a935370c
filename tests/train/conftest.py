"""A user's own judgments: small pictures, and a CSV of ten rows."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook
from PIL import Image

install_import_hook("train", "beartype.beartype")

Row = Sequence[object]
WriteCsv = Callable[[Sequence[str], Sequence[Row]], Path]
QUALITIES = (10, 60)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, photo: torch.Tensor) -> Path:
    """Five references of 40x32 pixels and two JPEGs of each: p0.png, p0_10.jpg, ..."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(5):
        crop = photo[:, 60 * number : 60 * number + 32, 90 * number : 90 * number + 40]
        image = Image.fromarray(crop.permute(1, 2, 0).numpy())
        image.save(folder / f"p{number}.png")
        for quality in QUALITIES:
            image.save(folder / f"p{number}_{quality}.jpg", quality=quality)
    return folder


@pytest.fixture
def write_csv(pictures: Path, tmp_path: Path) -> WriteCsv:
    """Writes a CSV whose paths are relative to it: the pictures lie in ``set``."""
    (tmp_path / "set").symlink_to(pictures)

    def write(header: Sequence[str], rows: Sequence[Row]) -> Path:
        path = tmp_path / "mine.csv"
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([header, *rows])
        return path

    return write


@pytest.fixture
def ten_rows() -> list[list[object]]:
    """Reference, test, score: people prefer the finer JPEG, and some pictures to others."""
    return [
        [f"set/p{number}.png", f"set/p{number}_{quality}.jpg", 1 + number / 10 + 2 * (quality == 60)]
        for number in range(5)
        for quality in QUALITIES
    ]
