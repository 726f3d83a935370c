import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from imgcompress.errors import PictureError, Reason
from imgcompress.image.write import write_atomically


def test_writes_creates_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "picture.jpg"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in path.parent.iterdir()] == ["picture.jpg"]


def test_permissions_are_those_of_a_new_file(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.write_bytes(b"")
    write_atomically(tmp_path / "ours", b"x")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"old")
    seen: list[str] = []

    def fail(*_: object, **__: object) -> None:
        seen.extend(p.name for p in tmp_path.iterdir() if p.name != "picture.jpg")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(PictureError, match=r"picture\.jpg.*No space left on device") as caught:
        write_atomically(path, b"new")
    assert caught.value.reason is Reason.WRITE_ERROR
    (temporary,) = seen
    assert temporary.startswith(".") and temporary.endswith(".tmp")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PictureError) as caught:
        write_atomically(tmp_path / "file" / "picture.jpg", b"x")
    assert caught.value.reason is Reason.WRITE_ERROR


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_a_folder_without_a_name(path: str) -> None:
    with pytest.raises(PictureError) as caught:
        write_atomically(Path(path), b"x")
    assert caught.value.reason is Reason.WRITE_ERROR


def test_very_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".jpg")
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX's")
def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from imgcompress.errors import PictureError
from imgcompress.image.write import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_atomically(Path(sys.argv[1], "small.jpg"), bytes(900))
try:
    write_atomically(Path(sys.argv[1], "large.jpg"), bytes(5000))
except PictureError as error:
    print(error.reason, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("write_error large.jpg cannot be written")
    assert [p.name for p in tmp_path.iterdir()] == ["small.jpg"]
