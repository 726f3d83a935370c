"""What kind of shard a file is, and how names change with formats."""

import sys
from pathlib import Path

import pytest

from imgcompress.dataset.parquet_shard import ParquetShard
from imgcompress.dataset.shards import Shard, open_shard, with_suffix
from imgcompress.dataset.tar_shard import TarShard
from imgcompress.errors import PictureError, Reason, UsageError


@pytest.mark.parametrize(
    ("name", "kind"), [("a.tar", TarShard), ("a.b.TAR", TarShard), ("train-0.parquet", ParquetShard)]
)
def test_by_suffix(name: str, kind: type[Shard]) -> None:
    shard = open_shard(Path(name))
    assert isinstance(shard, kind) and shard.path == Path(name)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".TAR.zst", ".tar.xz", ".tar.bz2"])
def test_compressed_archives_are_refused_with_a_remedy(suffix: str) -> None:
    with pytest.raises(PictureError, match=f"x{suffix}.*decompress") as caught:
        open_shard(Path(f"x{suffix}"))
    assert caught.value.reason is Reason.UNSUPPORTED


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "imgcompress.dataset.parquet_shard")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'imgcompress\[parquet\]'"):
        open_shard(Path("a.parquet"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "a.jpg"),
        ("x.y/a.b.webp", "x.y/a.b.jpg"),
        ("a", "a.jpg"),
        ("x.y/a", "x.y/a.jpg"),
        ("a.jpeg", "a.jpeg"),
        ("a.JPG", "a.JPG"),
        (".png", ".png.jpg"),
        ("../a.png", "../a.jpg"),
        ("", ""),
        ("x/", "x/"),
    ],
)
def test_names_after_a_change_of_format(name: str, expected: str) -> None:
    assert with_suffix(name, ".jpg") == expected
