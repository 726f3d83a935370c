"""Tar archives, read and written. Witnesses: tarfile in stream mode and the webdataset package."""

import io
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcompress.dataset.shards import Member, ShardWriter
from imgcompress.dataset.tar_shard import TarShard
from imgcompress.errors import PictureError, Reason

ROOT = Path(__file__).resolve().parents[2]
JPEG = b"\xff\xd8\xff\xe0 a picture "
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "folder/" * 20 + "long.png"


def entry(name: str, data: bytes = b"", **values: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode, info.uid, info.gid = len(data), 1234567890, 0o640, 1000, 1001
    info.uname, info.gname = "somebody", "people"
    for key, value in values.items():
        setattr(info, key, value)
    return info, data


def archive(entries: Iterable[tuple[tarfile.TarInfo, bytes]], kind: str = "pax") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=FORMATS[kind]) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def samples(count: int, data: bytes = JPEG) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [
        entry(f"{index:06}{suffix}", content)
        for index in range(count)
        for suffix, content in ((".png", data), (".json", b'{"index": %d}' % index), (".cls", b"%d" % index))
    ]


def put(folder: Path, data: bytes) -> TarShard:
    path = folder / "shard.tar"
    path.write_bytes(data)
    return TarShard(path)


@contextmanager
def opened(shard: TarShard) -> Iterator[ShardWriter]:
    with shard.path.with_name("out.tar").open("wb") as target, shard.rewrite(target) as writer:
        yield writer


def rewritten(
    shard: TarShard, change: Callable[[Member], tuple[bytes | None, str | None]] = lambda member: (None, None)
) -> bytes:
    with opened(shard) as writer:
        for member in shard.members():
            writer.add(member, *change(member))
    return shard.path.with_name("out.tar").read_bytes()


def new(member: Member) -> tuple[bytes | None, str | None]:
    return (None, None) if member.problem else (f"new {member.key}".encode(errors="replace"), ".jpg")


def streamed(data: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        return [(info, tar.extractfile(info).read() if info.isreg() else b"") for info in tar]


def rich(kind: str) -> bytes:
    """All that an archive may hold beside plain files."""
    entries = [
        entry("folder", type=tarfile.DIRTYPE),
        entry("folder/a.png", JPEG * 99),
        entry("folder/a.json", b"{}"),
        entry("folder/a.soft.png", type=tarfile.SYMTYPE, linkname="a.png"),
        entry("folder/a.hard.png", type=tarfile.LNKTYPE, linkname="folder/a.png"),
        entry("pipe.jpg", type=tarfile.FIFOTYPE),
        entry("plain", JPEG),
        entry("empty.jpg"),
        entry("é.webp", JPEG * 50),
        entry("a\udcffb.png", JPEG),
        entry("block.txt", bytes(512)),
    ]
    if kind != "ustar":
        entries.append(entry(LONG, JPEG))
    if kind == "pax":
        entries.append(entry("fine.png", JPEG, mtime=1234567890.25, pax_headers={"comment": "kept"}))
    return archive(entries, kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_pictures_of_an_archive(kind: str, tmp_path: Path) -> None:
    shard = put(tmp_path, rich(kind))
    members = list(shard.members())
    expected = ["folder/a.png", "plain", "empty.jpg", "é.webp", "a\udcffb.png"]
    expected += {"ustar": [], "gnu": [LONG], "pax": [LONG, "fine.png"]}[kind]
    assert [member.key for member in members] == expected
    with tarfile.open(shard.path) as tar:
        for member in pickle.loads(pickle.dumps(members)):
            file = tar.extractfile(member.key)
            assert file is not None and member.blob.read() == file.read()
            assert member.problem is None and member.blob.size() == tar.getmember(member.key).size


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("again", ["left out", "nothing new", "the same bytes"])
def test_what_does_not_change_is_the_same_bit_for_bit(kind: str, again: str, tmp_path: Path) -> None:
    shard = put(tmp_path, rich(kind) + b"and something after the end")
    with opened(shard) as writer:
        for member in shard.members():
            if again != "left out":
                assert member.blob is not None
                writer.add(member, member.blob.read() if again == "the same bytes" else None, None)
    assert (tmp_path / "out.tar").read_bytes() == shard.path.read_bytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_only_pictures_and_the_ends_of_their_names_change(kind: str, tmp_path: Path) -> None:
    data = rich(kind)
    written = rewritten(put(tmp_path, data), new)
    names = {"é.webp": "é.jpg", "a\udcffb.png": "a\udcffb.jpg", "plain": "plain.jpg", "fine.png": "fine.jpg"}
    names[LONG] = LONG[:-4] + ".jpg"  # folder/a.png keeps its own, as links lead to it
    pictures = {member.key for member in put(tmp_path, data).members()}
    before, after = streamed(data), streamed(written)
    assert len(before) == len(after)
    for (old, content), (info, changed) in zip(before, after, strict=True):
        assert changed == (new(Member(old.name, None))[0] if old.name in pictures else content)
        assert info.name == names.get(old.name, old.name)
        if old.name in names:
            old.pax_headers.pop("path", None), info.pax_headers.pop("path", None)
        for key in ("mode", "mtime", "uid", "gid", "uname", "gname", "type", "linkname", "pax_headers"):
            assert getattr(info, key) == getattr(old, key), (old.name, key)


def test_nothing_in_a_header_changes_but_size_and_checksum(tmp_path: Path) -> None:
    data = bytearray(archive([entry("a.jpg", JPEG)], "gnu"))
    data[345:369] = b"14777776666\x0014777776666\x00"  # times that GNU tar --incremental keeps here
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    shard = put(tmp_path, bytes(data))
    written = rewritten(shard, lambda member: (b"12345", None))
    changed = {index for index in range(512) if written[index] != data[index]}
    assert changed and changed <= {*range(124, 136), *range(148, 156)}
    assert written[512:517] == b"12345" and not any(written[517:1024])


def test_webdataset_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    with webdataset.TarWriter(str(path)) as sink:
        for index in range(5):
            sink.write({"__key__": f"{index:06}", "png": JPEG, "json": {"index": index}, "cls": index})
    shard = TarShard(path)
    assert rewritten(shard) == path.read_bytes()
    (tmp_path / "out.tar").write_bytes(rewritten(shard, new))
    before = list(webdataset.WebDataset(str(path), shardshuffle=False))
    after = list(webdataset.WebDataset(str(tmp_path / "out.tar"), shardshuffle=False))
    assert len(before) == len(after) == 5
    for old, sample in zip(before, after, strict=True):
        assert sample["__key__"] == old["__key__"]
        assert sample["jpg"] == f"new {old['__key__']}.png".encode()
        assert (sample["json"], sample["cls"]) == (old["json"], old["cls"])
        assert "png" not in sample


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "a.json"], ["a.jpg", "a.json"]),
        (["a.png", "a.jpg"], ["a.png.jpg", "a.jpg"]),
        (["a.jpg", "a.json", "a.png"], ["a.jpg", "a.json", "a.png.jpg"]),
        (["a.png", "a.webp"], ["a.png.jpg", "a.webp.jpg"]),
        (["a.png", "a.webp", "a.png.jpg"], ["a.png.jpg.jpg", "a.webp.jpg", "a.png.jpg"]),
        (["A.JPG", "a.png"], ["A.JPG", "a.png.jpg"]),
        (["a.left.png", "a.right.png"], ["a.left.jpg", "a.right.jpg"]),
        (["x/a.png", "y/a.jpg", "./x/a.jpg"], ["x/a.png.jpg", "y/a.jpg", "./x/a.jpg"]),
        (["a.png", "b.json", "c.json", "a.jpg"], ["a.png.jpg", "b.json", "c.json", "a.jpg"]),
        (["../a.png", "/b.png"], ["../a.jpg", "/b.jpg"]),
    ],
)
@pytest.mark.parametrize("kind", FORMATS)
def test_names_do_not_clash(kind: str, names: list[str], expected: list[str], tmp_path: Path) -> None:
    shard = put(tmp_path, archive([entry(name, name.encode()) for name in names], kind))
    assert [info.name for info, _ in streamed(rewritten(shard, new))] == expected


def test_members_of_one_name_have_keys_of_their_own(tmp_path: Path) -> None:
    shard = put(
        tmp_path, archive([entry("a.png", b"one"), entry("a.png", b"two"), entry("a.png@1024", b"3")])
    )
    keys = [member.key for member in shard.members()]
    assert keys == ["a.png", "a.png@1024"]
    written = streamed(rewritten(shard, lambda member: (member.key.encode(), None)))
    assert [data for _, data in written] == [b"a.png", b"a.png@1024", b"3"]


@pytest.mark.parametrize("length", range(90, 112))
@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_names_that_outgrow_their_field(kind: str, length: int, tmp_path: Path) -> None:
    base = "n" * (length - 10)
    entries = [entry(f"folder/{base}.j2", JPEG), entry(f"folder/{base}.jpg", JPEG), entry("b.png", JPEG)]
    written = streamed(rewritten(put(tmp_path, archive(entries, kind)), new))
    assert [info.name for info, _ in written] == [
        f"folder/{base}.j2.jpg",
        f"folder/{base}.jpg",
        "b.jpg",
    ]
    assert written[0][1] == f"new folder/{base}.j2".encode()


def test_sizes_in_extended_headers_change_too(tmp_path: Path) -> None:
    data = archive(
        [entry("a.png", JPEG, pax_headers={"size": str(len(JPEG)), "comment": "x"}), entry("b.png")]
    )
    assert b"size=" in data
    (info, content), (last, _) = streamed(rewritten(put(tmp_path, data), new))
    assert (info.name, content, info.pax_headers["comment"], last.name) == (
        "a.jpg",
        b"new a.png",
        "x",
        "b.jpg",
    )


def test_a_sparse_picture_is_not_read(tmp_path: Path) -> None:
    info, data = entry("a.png", bytes(512), type=tarfile.GNUTYPE_SPARSE)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (512, 512)
    header[483:495] = b"%011o\0" % 1024
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    shard = put(tmp_path, bytes(header) + data + archive([entry("b.png", JPEG)]))
    sparse, picture = shard.members()
    assert (sparse.key, sparse.blob, picture.key) == ("a.png", None, "b.png")
    assert sparse.problem is not None and "sparse" in sparse.problem
    assert rewritten(shard, new).startswith(header + data)


# An archive that is damaged

SMALL = archive([*samples(2), entry("éa" * 60 + ".jpg", JPEG)])
WHOLE = [(info, data, info.offset_data + len(data)) for info, data in streamed(SMALL)]


# Every byte would take minutes under the shape checker: at, beside and between all edges.
EDGES = {*range(512, len(SMALL) + 1, 512), *(end for *_, end in WHOLE)}
CUTS = sorted({edge + by for edge in EDGES for by in (-1, 0, 99)} & {*range(len(SMALL) + 1)})


def test_cuts_of_an_archive(tmp_path: Path) -> None:
    for length in [1, *CUTS]:
        cut = SMALL[:length]
        shard = put(tmp_path, cut)
        if length < 512:
            with pytest.raises(PictureError, match=r"shard\.tar is no tar archive"):
                list(shard.members())
            continue
        members = {member.key: member for member in shard.members()}
        problems = [member for member in members.values() if member.problem]
        assert rewritten(shard) == cut
        written = rewritten(shard, new)
        for info, data, end in WHOLE:
            is_picture = not info.name.endswith((".json", ".cls"))
            if end > length:
                assert info.name not in members or members[info.name].problem
            elif is_picture:
                assert members[info.name].problem is None and members[info.name].blob.read() == data
                assert f"new {info.name}".encode() in written
            else:
                assert data in written
        ends = [info.offset for info, _, _ in WHOLE] + list(range(WHOLE[-1][2], len(SMALL) + 1))
        paddings = [range(end, end + -end % 512 + 1) for *_, end in WHOLE]
        clean = length in ends or any(length in padding for padding in paddings)
        assert len(problems) == (0 if clean else 1), length


def test_a_picture_that_is_cut_short_is_carried_as_far_as_it_goes(tmp_path: Path) -> None:
    data = archive([entry("a.png", JPEG), entry("b.png", bytes(1000))])[: 1024 + 512 + 300]
    shard = put(tmp_path, data)
    whole, cut = shard.members()
    assert whole.problem is None
    assert cut.problem == "cut short: 300 of 1000 bytes are there"
    assert cut.blob is not None and cut.blob.read() == bytes(300) and cut.blob.size() == 300
    assert rewritten(shard, new).endswith(data[1024:])
    with pytest.raises(PictureError, match=r"no picture b\.png"), opened(shard) as writer:
        writer.add(cut, b"data")


def test_a_side_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    data = archive([entry("a.png", JPEG), entry("a.json", bytes(1000))])[: 1024 + 512 + 300]
    picture, cut = put(tmp_path, data).members()
    assert (picture.problem, cut.key, cut.blob) == (None, "a.json", None)
    assert cut.problem == "cut short: 300 of 1000 bytes are there"


def test_what_follows_a_broken_header_is_carried_and_told(tmp_path: Path) -> None:
    data = bytearray(archive(samples(3)))
    data[3072] ^= 255
    shard = put(tmp_path, bytes(data))
    *pictures, rest = shard.members()
    assert [member.key for member in pictures] == ["000000.png"]
    assert rest.blob is None and rest.problem is not None and "at byte 3072" in rest.problem
    assert rewritten(shard) == data
    assert rewritten(shard, new).endswith(data[3072:])


def test_what_follows_the_end_is_carried(tmp_path: Path) -> None:
    data = archive(samples(1)) + archive(samples(2)) + b"garbage"
    shard = put(tmp_path, data)
    assert [member.key for member in shard.members()] == ["000000.png"]  # as every reader of tars has it
    written = rewritten(shard, new)
    assert written.endswith(archive(samples(2)) + b"garbage")


@pytest.mark.parametrize("start", [0, 1024])
def test_a_size_below_zero_ends_the_archive(start: int, tmp_path: Path) -> None:
    data = bytearray(archive([entry("a.png", JPEG), entry("b.png", JPEG)]))
    header = data[start : start + 512]
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024: a reader that believes it goes in circles
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[start : start + 512] = header
    shard = put(tmp_path, bytes(data))
    *_, last = shard.members()
    assert last.problem is not None and f"at byte {start}" in last.problem
    assert rewritten(shard, new).endswith(data[start:])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=12))
def test_damage_is_never_more_than_a_picture_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(SMALL)
    for place, value in changes:
        data[place] = value
    shard = put(tmp_path_factory.mktemp("damaged"), bytes(data))
    try:
        members = list(shard.members())
    except PictureError:
        return
    assert len({member.key for member in members}) == len(members)
    assert rewritten(shard) == data
    for member in members:
        assert member.blob is None or len(member.blob.read()) == member.blob.size()
    rewritten(shard, new)


NAMES = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "../", "/", "x/", "./", "deep/" * 30]),
        st.text("aB.é\udcfe ", min_size=1, max_size=5).filter(lambda name: not name.strip(".").isspace()),
        st.sampled_from(["", "n" * 90]),
        st.sampled_from([".png", ".jpg", ".JPEG", ".webp", ".json", ".cls", ""]),
    ),
).filter(lambda name: Path(name).name.strip(". ") != "")


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(NAMES, st.integers(0, 1200), st.integers(0, 1200)),
        max_size=8,
        unique_by=lambda item: item[0],
    ),
    st.sampled_from(["gnu", "pax"]),
)
def test_whatever_the_names_and_sizes(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, int, int]], kind: str
) -> None:
    entries = [entry(name, b"o" * size) for name, size, _ in items]
    data = archive(entries, kind)
    shard = put(tmp_path_factory.mktemp("names"), data)
    assert rewritten(shard) == data
    sizes = {info.name: size for (info, _), (*_, size) in zip(streamed(data), items, strict=True)}
    keys = [member.key for member in shard.members()]
    written = streamed(rewritten(shard, lambda member: (b"n" * sizes[member.key], ".jpg")))
    for (old, content), (info, changed) in zip(streamed(data), written, strict=True):
        if old.name in keys:
            assert changed == b"n" * sizes[old.name]
            assert info.name.lower().endswith((".jpg", ".jpeg"))
            assert info.name.startswith(old.name.rpartition("/")[0])
        else:
            assert (info.name, changed) == (old.name, content)
    before, after = ([info.name.casefold() for info, _ in each] for each in (streamed(data), written))
    assert len(set(after)) >= len(set(before))


# What cannot be read or written


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        (b"", Reason.DECODE_ERROR, "no tar archive"),
        (b"some words", Reason.DECODE_ERROR, "no tar archive"),
        (JPEG * 100, Reason.DECODE_ERROR, "no tar archive"),
        (b"\x1f\x8b\x08" + bytes(600), Reason.UNSUPPORTED, "decompress"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), Reason.UNSUPPORTED, "decompress"),
    ],
)
def test_other_files(data: bytes, reason: Reason, message: str, tmp_path: Path) -> None:
    shard = put(tmp_path, data)
    with pytest.raises(PictureError, match=f"shard.tar.*{message}") as caught:
        list(shard.members())
    assert caught.value.reason is reason


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.tar").mkdir()
    for name in ("missing.tar", "folder.tar"):
        for action in (lambda shard: list(shard.members()), rewritten):
            with pytest.raises(PictureError, match=f"{name} cannot be read") as caught:
                action(TarShard(tmp_path / name))
            assert caught.value.reason is Reason.READ_ERROR


def test_an_archive_of_nothing(tmp_path: Path) -> None:
    shard = put(tmp_path, bytes(10240))
    assert list(shard.members()) == []
    assert rewritten(shard) == bytes(10240)


def test_a_source_that_became_shorter_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = put(tmp_path, archive(samples(3, JPEG * 2000)))  # more than is read at once
    first, second, _ = shard.members()
    with (
        pytest.raises(PictureError, match=r"no picture 000001.png.*change") as caught,
        opened(shard) as writer,
    ):
        writer.add(first, b"new")
        shard.path.write_bytes(shard.path.read_bytes()[:1500])
        writer.add(second, b"new")
    assert caught.value.reason is Reason.READ_ERROR
    shard = put(tmp_path, archive(samples(3, JPEG * 2000)))
    with pytest.raises(PictureError, match="became shorter") as caught, opened(shard) as writer:
        writer.add(next(shard.members()), None)
        monkeypatch.setattr(os, "fstat", lambda _: os.stat_result([0] * 6 + [10**6] + [0] * 3))
    assert caught.value.reason is Reason.READ_ERROR


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_is_the_systems_error(tmp_path: Path) -> None:
    shard = put(tmp_path, archive(samples(1)))
    with (
        Path("/dev/full").open("wb", buffering=0) as target,
        pytest.raises(OSError, match="No space left") as caught,
        shard.rewrite(target),
    ):
        pass
    assert not isinstance(caught.value, PictureError)


def test_members_out_of_their_turn_are_refused(tmp_path: Path) -> None:
    shard = put(tmp_path, archive(samples(2)))
    first, second = shard.members()
    with (
        pytest.raises(PictureError, match=r"no picture 000000\.png"),
        opened(shard) as writer,
    ):
        writer.add(second, b"new")
        writer.add(first, b"new")


def test_after_an_error_the_target_is_not_completed(tmp_path: Path) -> None:
    shard = put(tmp_path, archive(samples(2)))
    with pytest.raises(KeyError), opened(shard):
        raise KeyError
    assert (tmp_path / "out.tar").read_bytes() == b""


COUNTING = """
import sys, tracemalloc
from pathlib import Path
from imgcompress.dataset.tar_shard import TarShard
for name in sys.argv[1:]:
    shard = TarShard(Path(name))
    tracemalloc.start()
    with Path(name + ".out").open("wb") as target, shard.rewrite(target) as writer:
        for member in shard.members():
            writer.add(member, b"new", ".jpg")
    print(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
"""


def test_memory_does_not_grow_with_the_members(tmp_path: Path) -> None:
    counts = (10, 500, 2_500)
    for count in counts:
        data = archive(entry(f"{index:06}.png", JPEG) for index in range(count))
        (tmp_path / f"{count}.tar").write_bytes(data)
    # In a process of its own, where no shape checker is in the way.
    command = [sys.executable, "-c", COUNTING, *(str(tmp_path / f"{count}.tar") for count in counts)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    _, few, many = map(int, printed.split())
    # Only hashes of the names are kept; members kept by both readers would be two kilobytes and more.
    assert (many - few) / 2_000 < 800
