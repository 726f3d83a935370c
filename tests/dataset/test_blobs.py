"""Where bytes are: each kind gives the bytes and the size that the file system gives, also elsewhere."""

import pickle
from pathlib import Path

import pytest

from imgcompress.dataset.blobs import Blob, FileBlob, MemoryBlob, SliceBlob

DATA = bytes(range(200))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def blobs(path: Path) -> list[tuple[Blob, bytes]]:
    return [
        (FileBlob(path), DATA),
        (SliceBlob(path, 0, 200), DATA),
        (SliceBlob(path, 50, 7), DATA[50:57]),
        (SliceBlob(path, 200, 0), b""),
        (MemoryBlob(b"abc"), b"abc"),
    ]


@pytest.mark.parametrize("index", range(5))
def test_the_bytes_and_how_many(index: int, file: Path) -> None:
    blob, expected = blobs(file)[index]
    other = pickle.loads(pickle.dumps(blob))
    assert other == blob
    for each in (blob, other):
        assert each.read() == expected
        assert each.size() == len(expected)


@pytest.mark.parametrize(("offset", "length"), [(199, 2), (200, 1), (500, 1), (0, 201)])
def test_a_file_that_became_shorter(offset: int, length: int, file: Path) -> None:
    with pytest.raises(OSError, match=r"shorter.*file"):
        SliceBlob(file, offset, length).read()


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    for blob in (FileBlob(tmp_path / "gone"), SliceBlob(tmp_path / "gone", 0, 1)):
        with pytest.raises(FileNotFoundError, match="gone"):
            blob.read()
    with pytest.raises(FileNotFoundError, match="gone"):
        FileBlob(tmp_path / "gone").size()


def test_bytes_are_not_printed() -> None:
    assert "secret" not in repr(MemoryBlob(b"secret"))
