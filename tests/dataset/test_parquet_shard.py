"""Parquet files, read and written. The witness is pyarrow's own reader of whole tables."""

import io
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from imgcompress.dataset.parquet_shard import ParquetShard
from imgcompress.dataset.shards import Member, ShardWriter
from imgcompress.errors import PictureError, Reason

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {
    "image": {"_type": "Image"},
    "sound": {"_type": "Audio"},
    "label": {"dtype": "int64", "_type": "Value"},
    "pair": [{"_type": "Image"}],
}
HUGGING_FACE = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode(), b"own": b"kept"}


def cell(index: int) -> dict[str, Any] | None:
    """All that a row may hold."""
    if index % 10 == 3:
        return None
    data = {4: None, 5: b""}.get(index % 10, b"picture %d" % index * 50)
    return {"bytes": data, "path": None if index % 10 == 6 else f"folder/{index}.png"}


def table(rows: int = 50, kind: pa.DataType = PICTURE) -> pa.Table:
    values = [cell(index) for index in range(rows)]
    columns = {
        "label": pa.array(range(rows), pa.int32()),
        "image": pa.array(values, kind),
        "sound": pa.array(values[::-1], kind),
        "words": pa.array([None if index % 7 == 0 else f"é{index}" for index in range(rows)]),
        "kind": pa.array(["a", "b"] * (rows // 2)).dictionary_encode(),
        "lists": pa.array([[index] * (index % 4) for index in range(rows)]),
        "time": pa.array(range(rows), pa.timestamp("ns")),
    }
    return pa.table(columns).replace_schema_metadata(HUGGING_FACE)


def put(folder: Path, content: pa.Table, **options: Any) -> ParquetShard:
    path = folder / "shard.parquet"
    parquet.write_table(content, path, **{"row_group_size": 20} | options)
    return ParquetShard(path)


@contextmanager
def opened(shard: ParquetShard) -> Iterator[ShardWriter]:
    with shard.path.with_name("out.parquet").open("wb") as target, shard.rewrite(target) as writer:
        yield writer


def rewritten(
    shard: ParquetShard,
    change: Callable[[Member], tuple[bytes | None, str | None]] = lambda member: (None, None),
) -> bytes:
    with opened(shard) as writer:
        for member in shard.members():
            writer.add(member, *change(member))
    return shard.path.with_name("out.parquet").read_bytes()


def new(member: Member) -> tuple[bytes | None, str | None]:
    return (None, None) if member.problem else (f"new {member.key}".encode(), ".jpg")


def read(data: bytes) -> pa.Table:
    return parquet.read_table(io.BytesIO(data))


KINDS = [
    PICTURE,
    pa.struct([("path", pa.string()), ("bytes", pa.binary())]),
    pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())]),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_pictures_of_a_file(kind: pa.DataType, tmp_path: Path) -> None:
    members = list(put(tmp_path, table(kind=kind)).members())
    assert [member.key for member in members] == [f"{index}/image" for index in range(50)]
    for index, member in enumerate(pickle.loads(pickle.dumps(members))):
        content = (cell(index) or {}).get("bytes")
        if content is None:
            assert member.blob is None
            assert (
                member.problem is not None and ("null" if index % 10 == 3 else "no bytes") in member.problem
            )
        else:
            assert member.problem is None
            assert (member.blob.read(), member.blob.size()) == (content, len(content))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_only_pictures_and_the_ends_of_their_paths_change(kind: pa.DataType, tmp_path: Path) -> None:
    shard = put(tmp_path, table(kind=kind))
    before, after = parquet.read_table(shard.path), read(rewritten(shard, new))
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.drop(["image"]).equals(before.drop(["image"]))
    for index, (old, value) in enumerate(
        zip(before["image"].to_pylist(), after["image"].to_pylist(), strict=True)
    ):
        if old is None or old["bytes"] is None:
            assert value == old
        else:
            path = None if old["path"] is None else f"folder/{index}.jpg"
            assert value == {"bytes": b"new %d/image" % index, "path": path}


def test_what_does_not_change_is_equal_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    shard = put(tmp_path, table())
    written = rewritten(shard)
    assert read(written).equals(parquet.read_table(shard.path), check_metadata=True)
    assert rewritten(shard) == written
    assert rewritten(shard, new) == rewritten(shard, new)
    with opened(shard):
        pass
    assert (tmp_path / "out.parquet").read_bytes() == written


def test_a_path_stays_where_the_format_does(tmp_path: Path) -> None:
    after = read(rewritten(put(tmp_path, table(2)), lambda member: (b"new", None)))
    assert after["image"].to_pylist()[1] == {"bytes": b"new", "path": "folder/1.png"}


def has_dictionary(column: Any) -> bool:
    return any("DICTIONARY" in encoding for encoding in column.encodings)


def layout(data: bytes) -> Any:
    metadata = parquet.ParquetFile(io.BytesIO(data)).metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    return [
        (
            group.num_rows,
            group.sorting_columns,
            [
                (column.path_in_schema, column.compression, has_dictionary(column), column.has_offset_index)
                for column in map(group.column, range(group.num_columns))
            ],
        )
        for group in groups
    ], sorted(metadata.metadata or {})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row_group_size": 7},
        {"compression": "NONE", "use_dictionary": False, "write_page_index": True},
        {"compression": {"image.bytes": "NONE", "image.path": "ZSTD", "label": "GZIP"}},
        {"compression": "BROTLI", "use_dictionary": ["words"]},
        {"sorting_columns": [parquet.SortingColumn(0)]},
        {"store_schema": False},
        {
            "compression": "LZ4",
            "version": "1.0",
            "coerce_timestamps": "us",
            "allow_truncated_timestamps": True,
        },
    ],
    ids=str,
)
def test_row_groups_codecs_and_dictionaries_stay(options: dict[str, Any], tmp_path: Path) -> None:
    shard = put(tmp_path, table(), **options)
    before, written = shard.path.read_bytes(), rewritten(shard)
    assert layout(written) == layout(before)
    assert read(written).equals(read(before), check_metadata=True)
    replaced = rewritten(shard, new)
    assert [group[0] for group in layout(replaced)[0]] == [group[0] for group in layout(before)[0]]


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17, 33])
def test_any_number_of_rows(rows: int, tmp_path: Path) -> None:
    content = table(34).slice(0, rows)
    shard = put(tmp_path, content)
    assert len(list(shard.members())) == rows
    assert layout(rewritten(shard)) == layout(shard.path.read_bytes())
    assert read(rewritten(shard, new)).num_rows == rows


def test_which_columns_hold_pictures(tmp_path: Path) -> None:
    def found(content: pa.Table) -> list[str]:
        return [member.key for member in put(tmp_path, content).members()]

    content = table(2).add_column(0, "b/c.d", table(2)["image"])
    assert found(content) == ["0/image", "1/image"]
    every = ["0/b/c.d", "0/image", "0/sound", "1/b/c.d", "1/image", "1/sound"]
    for metadata in (None, {b"huggingface": b"no json"}, {b"huggingface": b"[]"}, {b"huggingface": b"{}"}):
        assert found(content.replace_schema_metadata(metadata)) == every
    others = pa.table(
        {
            "more": pa.array([{"bytes": b"", "path": "", "x": 1}]),
            "fewer": pa.array([{"bytes": b""}]),
            "words": pa.array([{"bytes": "", "path": ""}]),
            "plain": pa.array([b""]),
        }
    )
    assert found(others) == []


def test_several_pictures_a_row(tmp_path: Path) -> None:
    content = table(40).replace_schema_metadata(None)
    after = read(rewritten(put(tmp_path, content), new))
    for index, (image, sound) in enumerate(
        zip(after["image"].to_pylist(), after["sound"].to_pylist(), strict=True)
    ):
        assert image is None or image["bytes"] in (None, b"new %d/image" % index)
        assert sound is None or sound["bytes"] in (None, b"new %d/sound" % index)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    content = pa.Table.from_arrays([pa.array([cell(0)], PICTURE)] * 2, names=["image", "image"])
    shard = put(tmp_path, content)
    for action in (lambda shard: list(shard.members()), rewritten):
        with pytest.raises(PictureError, match=r"shard\.parquet: several columns are called image") as caught:
            action(shard)
        assert caught.value.reason is Reason.UNSUPPORTED


def test_members_out_of_their_turn_are_refused(tmp_path: Path) -> None:
    shard = put(tmp_path, table())
    members = list(shard.members())
    for wrong in (
        [members[40], members[2]],
        [members[3]],
        [Member("50/image", None)],
        [Member("0/words", None)],
    ):
        with pytest.raises(PictureError, match=f"no picture {wrong[-1].key}"), opened(shard) as writer:
            for member in wrong:
                writer.add(member, b"new")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"some words" * 100, b"PAR1" + bytes(100) + b"PAR1"])
def test_other_files(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    path.write_bytes(data)
    for action in (lambda shard: list(shard.members()), rewritten):
        with pytest.raises(PictureError, match=r"shard\.parquet is damaged or no Parquet file") as caught:
            action(ParquetShard(path))
        assert caught.value.reason is Reason.DECODE_ERROR


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for action in (lambda shard: list(shard.members()), rewritten):
        with pytest.raises(PictureError, match=r"missing\.parquet cannot be read") as caught:
            action(ParquetShard(tmp_path / "missing.parquet"))
        assert caught.value.reason is Reason.READ_ERROR


SMALL = io.BytesIO()
parquet.write_table(table(), SMALL, row_group_size=20, compression="zstd")


@given(st.integers(0, len(SMALL.getvalue()) - 1))
def test_a_file_that_is_cut_short(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "shard.parquet"
    path.write_bytes(SMALL.getvalue()[:length])
    with pytest.raises(PictureError, match="is damaged or no Parquet file"):
        list(ParquetShard(path).members())


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"compression": "none", "write_page_checksum": True}]
)
def test_a_damaged_page(options: dict[str, Any], tmp_path: Path) -> None:
    shard = put(tmp_path, table(), use_dictionary=False, **options)
    column = parquet.ParquetFile(shard.path).metadata.row_group(1).column(1)
    data = bytearray(shard.path.read_bytes())
    place = column.data_page_offset + column.total_compressed_size - 50
    data[place : place + 10] = bytes(10)
    shard.path.write_bytes(data)
    found = []
    with pytest.raises(PictureError, match=r"shard\.parquet is damaged") as caught:
        for member in shard.members():
            found.append(member)  # what came before the error counts
    assert caught.value.reason is Reason.DECODE_ERROR and len(found) == 20
    with pytest.raises(PictureError, match=r"shard\.parquet is damaged"):
        rewritten(shard)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_is_the_systems_error(tmp_path: Path) -> None:
    shard = put(tmp_path, table())
    with (
        Path("/dev/full").open("wb", buffering=0) as target,
        pytest.raises(OSError, match="No space left"),
        shard.rewrite(target),
    ):
        pass


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    pool = pa.default_memory_pool()

    def peak(groups: int) -> int:
        values = [
            {"bytes": bytes([index % 256]) * 5000, "path": f"{index}.png"} for index in range(100 * groups)
        ]
        content = pa.table({"image": pa.array(values, PICTURE)})
        shard = put(tmp_path, content, row_group_size=100, compression="none", use_dictionary=False)
        del content, values
        before, most = pool.bytes_allocated(), 0
        with opened(shard) as writer:
            for member in shard.members():
                writer.add(member, b"new" * 1000, ".jpg")
                most = max(most, pool.bytes_allocated() - before)
        return most

    assert peak(20) < 1.2 * peak(2)
