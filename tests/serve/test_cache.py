import hashlib
import os
from pathlib import Path

import pytest

from imgcompress.errors import UsageError
from imgcompress.serve.cache import DiskCache

KEYS = [hashlib.sha256(bytes([index])).hexdigest() for index in range(8)]
OVERHEAD = 32


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_what_is_put_can_be_had_also_by_the_next_process(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "new" / "cache", 1000)
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], b"words")
    cache.put(KEYS[0], b"other words")
    cache.put(KEYS[1], b"")
    for again in (cache, DiskCache(tmp_path / "new" / "cache", 1000)):
        assert (again.get(KEYS[0]), again.get(KEYS[1]), again.get(KEYS[2])) == (b"other words", b"", None)
        assert again.size == len(b"other words") + 2 * OVERHEAD


def test_what_was_not_asked_for_longest_goes_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 3 * (100 + OVERHEAD))
    for key in KEYS[:3]:
        cache.put(key, bytes(100))
    assert cache.get(KEYS[0]) == bytes(100)
    cache.put(KEYS[3], bytes(100))
    assert files_in(tmp_path) == {KEYS[0], KEYS[2], KEYS[3]}
    cache.put(KEYS[4], bytes(200))
    assert files_in(tmp_path) == {KEYS[3], KEYS[4]}
    assert cache.size == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    cache.put(KEYS[5], bytes(1000))  # more than the whole cache
    assert files_in(tmp_path) == {KEYS[3], KEYS[4]}


def test_a_new_process_goes_on_in_the_order(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1000)
    for index, key in enumerate(KEYS[:3]):
        cache.put(key, bytes(100))
        os.utime(tmp_path / key[:2] / key, (index, index))
    assert cache.get(KEYS[0]) is not None
    DiskCache(tmp_path, 2 * (100 + OVERHEAD))
    assert files_in(tmp_path) == {KEYS[0], KEYS[2]}


@pytest.mark.parametrize("damage", [b"", b"short", bytes(200)])
def test_damage_is_a_miss(tmp_path: Path, damage: bytes) -> None:
    cache = DiskCache(tmp_path, 1000)
    cache.put(KEYS[0], b"words")
    (tmp_path / KEYS[0][:2] / KEYS[0]).write_bytes(damage)
    assert cache.get(KEYS[0]) is None
    assert (cache.size, files_in(tmp_path)) == (0, set())
    cache.put(KEYS[0], b"words")
    (tmp_path / KEYS[0][:2] / KEYS[0]).unlink()
    assert cache.get(KEYS[0]) is None and cache.size == 0


def test_what_else_lies_there(tmp_path: Path) -> None:
    (tmp_path / "00").mkdir()
    (tmp_path / "00" / "notes.txt").write_text("mine")
    (tmp_path / "00" / ".imgcompress-0123456789abcdef.tmp").write_text("interrupted")
    DiskCache(tmp_path, 1)
    assert files_in(tmp_path) == {"notes.txt"}


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cache"):
        DiskCache(tmp_path / "file", 100)
    cache = DiskCache(tmp_path / "cache", 1000)
    (tmp_path / "cache" / KEYS[0][:2]).write_text("in the way")
    cache.put(KEYS[0], b"words")
    assert cache.get(KEYS[0]) is None
