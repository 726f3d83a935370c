"""Which picture is compared with which."""

import os
from pathlib import Path

import pytest
from PIL import Image

from imgcompress.comparison.pairing import new_pairs, pairs_of
from imgcompress.errors import UsageError


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    folder.mkdir(exist_ok=True)
    return folder


def names(reference: Path, test: Path) -> list[tuple[str, str | None, str | None]]:
    def below(path: Path | None, folder: Path) -> str | None:
        return None if path is None else path.relative_to(folder).as_posix()

    return [(p.name, below(p.reference, reference), below(p.test, test)) for p in pairs_of(reference, test)]


def test_equal_paths_first(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", "x.png", "s/x.png"), make(tmp_path / "b", "s/x.png", "x.png", "x.jpg")
    assert names(a, b) == [
        ("s/x.png", "s/x.png", "s/x.png"),
        ("x.jpg", None, "x.jpg"),
        ("x.png", "x.png", "x.png"),
    ]


def test_another_suffix(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", "x.png", "y.v1.png"), make(tmp_path / "b", "x.jpg", "y.v1.webp")
    assert names(a, b) == [("x.png", "x.png", "x.jpg"), ("y.v1.png", "y.v1.png", "y.v1.webp")]


def test_names_that_recompress_gives(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", "x.jpg", "x.png"), make(tmp_path / "b", "x.jpg", "x.png.jpg")
    assert names(a, b) == [("x.jpg", "x.jpg", "x.jpg"), ("x.png", "x.png", "x.png.jpg")]


def test_what_is_ambiguous_has_no_other(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", "x.png"), make(tmp_path / "b", "x.jpg", "x.webp")
    assert names(a, b) == [("x.jpg", None, "x.jpg"), ("x.png", "x.png", None), ("x.webp", None, "x.webp")]


def test_two_files_may_be_called_anything(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.jpg")
    [pair] = pairs_of(tmp_path / "a.png", tmp_path / "b.jpg")
    assert (pair.name, pair.reference, pair.test) == ("a.png", tmp_path / "a.png", tmp_path / "b.jpg")


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", "x.png", "y.png"), make(tmp_path / "b", "y.png")
    os.mkfifo(b / "x.png")
    assert [pair.name for pair in pairs_of(a, b) if pair.test is not None and pair.problem is None] == [
        "y.png"
    ]


def test_new_pairs(tmp_path: Path) -> None:
    [pair] = new_pairs(tmp_path / "a", make(tmp_path / "b", "x.png"))
    assert (pair.reference, pair.test) == (None, tmp_path / "b/x.png")
    with pytest.raises(UsageError, match="lies in the other"):
        new_pairs(tmp_path / "b/references", tmp_path / "b")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("a", "missing", "no such file"),
        ("a", "a/x.png", "one is a folder"),
        ("a", "a", "one folder"),
        ("a", "a/b", "lies in the other"),
        ("a/b", "a", "lies in the other"),
        ("a", "empty", "no pictures found"),
    ],
)
def test_nothing_to_compare(tmp_path: Path, first: str, second: str, message: str) -> None:
    make(tmp_path / "a", "x.png", "b/x.png")
    make(tmp_path / "empty")
    with pytest.raises(UsageError, match=message):
        pairs_of(tmp_path / first, tmp_path / second)
