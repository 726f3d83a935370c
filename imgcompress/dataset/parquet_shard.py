"""Parquet files as Hugging Face's `datasets` lays them out: a picture is a struct of bytes and path."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from imgcompress.dataset.blobs import MemoryBlob
from imgcompress.dataset.shards import Member, ShardWriter, not_found, reading, with_suffix
from imgcompress.errors import PictureError, Reason, UsageError

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:
    raise UsageError("for Parquet files: pip install 'imgcompress[parquet]'") from error

_CODECS = {"UNCOMPRESSED": "NONE"}
"""Codecs that the writer calls by another name than the metadata do."""
_ROWS_AT_A_TIME = 16
_BUFFER = 1 << 20
"""Bytes of a column's chunk that are read ahead; without it all of the chunk would be."""


@dataclass(frozen=True)
class ParquetShard:
    """The pictures in the rows of a Parquet file.

    Columns of pictures are those that the metadata of `datasets` call Image; without such metadata all that
    are structs of bytes and path. Written again, the file has the same schema, metadata, rows, row groups and
    codecs, and equal values in all other columns. If it is damaged anywhere, it cannot be written again.
    """

    path: Path

    def members(self) -> Iterator[Member]:
        """The pictures row by row, in each row in the order of the columns; few rows are in memory.

        Raises:
            PictureError: the file cannot be read or is damaged; this may show only after some members.
        """
        with _open(self.path) as file:
            columns = _picture_columns(self.path, file)
            row = 0
            for group in range(file.num_row_groups if columns else 0):
                for batch in _batches(self.path, file, group, columns):
                    for index in range(batch.num_rows):
                        for name in columns:
                            yield _member(f"{row}/{name}", batch.column(name)[index])
                        row += 1

    @contextmanager
    def rewrite(self, target: BinaryIO) -> Iterator[ShardWriter]:
        """Writes the file with other pictures; one row group of these is in memory.

        Args:
            target: an empty file.

        Raises:
            PictureError: the source cannot be read or is damaged.
            OSError: the target cannot be written.
        """
        with (
            _open(self.path) as file,
            parquet.ParquetWriter(target, file.schema_arrow, **_layout(file)) as sink,
        ):
            writer = _ParquetWriter(self.path, file, sink)
            yield writer
            writer.finish()


class _ParquetWriter:
    """Keeps what replaces pictures until their rows' turn to be written has come."""

    def __init__(self, path: Path, file: Any, sink: Any) -> None:
        self._path = path
        self._columns = _picture_columns(path, file)
        self._rows = range(0)
        self._cells: dict[tuple[int, str], tuple[bytes, str | None]] = {}
        self._walk = self._write(file, sink)

    def add(self, member: Member, data: bytes | None, suffix: str | None = None) -> None:
        if data is None:
            return
        number, _, name = member.key.partition("/")
        row = int(number)
        while row >= self._rows.stop and next(self._walk, None) is not None:
            pass
        if row not in self._rows or name not in self._columns or member.problem is not None:
            raise not_found(self._path, member)
        self._cells[row - self._rows.start, name] = (data, suffix)

    def finish(self) -> None:
        for _ in self._walk:
            pass

    def _write(self, file: Any, sink: Any) -> Iterator[range]:
        """Stops at each few rows, so that what replaces their pictures can be added."""
        for group in range(file.num_row_groups):
            batches = []
            for batch in _batches(self._path, file, group):
                self._rows = range(self._rows.stop, self._rows.stop + batch.num_rows)
                yield self._rows
                batches.append(self._renewed(batch))
                self._cells.clear()
            table = pa.Table.from_batches(batches, file.schema_arrow)
            sink.write_table(table, row_group_size=max(1, table.num_rows))

    def _renewed(self, batch: Any) -> Any:
        for name in self._columns:
            changes = {row: cell for (row, column), cell in self._cells.items() if column == name}
            if changes:
                index = batch.schema.get_field_index(name)
                with _explained(self._path):
                    column = _with_cells(batch.column(index), changes)
                batch = batch.set_column(index, batch.schema.field(index), column)
        return batch


def _open(path: Path) -> Any:
    with _explained(path):
        return parquet.ParquetFile(
            path, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Within it only the source is read. Arrow's own errors of reading have no number of the system."""
    try:
        with reading(path):
            yield
    except (PictureError, pa.ArrowException, ValueError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.errno is not None:
            raise
        message = f"{path.name} is damaged or no Parquet file: {cause}"
        raise PictureError(Reason.DECODE_ERROR, message) from error


def _batches(path: Path, file: Any, group: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
    with _explained(path):
        yield from file.iter_batches(_ROWS_AT_A_TIME, row_groups=[group], columns=columns)


def _layout(file: Any) -> dict[str, Any]:
    """How the first row group is stored, as the writer's options."""
    metadata = file.metadata
    layout: dict[str, Any] = {"store_schema": b"ARROW:schema" in (metadata.metadata or {})}
    if metadata.num_row_groups == 0:
        return layout
    group = metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    dictionaries = [c.path_in_schema for c in columns if any("DICTIONARY" in way for way in c.encodings)]
    return layout | {
        "compression": {c.path_in_schema: _CODECS.get(c.compression, c.compression) for c in columns},
        "use_dictionary": dictionaries,
        "write_page_index": any(column.has_offset_index for column in columns),
        "sorting_columns": group.sorting_columns or None,
    }


def _picture_columns(path: Path, file: Any) -> list[str]:
    schema = file.schema_arrow
    features = _features(schema)
    names = [
        field.name
        for field in schema
        if _holds_pictures(field.type) and (features is None or features.get(field.name) == "Image")
    ]
    for name in names:
        if schema.names.count(name) > 1:
            message = f"{path.name}: several columns are called {name}"
            raise PictureError(Reason.UNSUPPORTED, message)
    return names


def _features(schema: Any) -> dict[str, Any] | None:
    """Columns and the types that `datasets` has for them; None if it did not make the file."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {name: feature.get("_type") for name, feature in features.items() if isinstance(feature, dict)}
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def _holds_pictures(kind: Any) -> bool:
    if not pa.types.is_struct(kind) or {field.name for field in kind} != {"bytes", "path"}:
        return False
    content, path = kind.field("bytes").type, kind.field("path").type
    return content in (pa.binary(), pa.large_binary()) and path in (pa.string(), pa.large_string())


def _member(key: str, cell: Any) -> Member:
    if not cell.is_valid:
        return Member(key, None, "the row has no picture: it is null")
    content = cell["bytes"]
    if not content.is_valid:
        return Member(key, None, "the row has no bytes, at most a path")
    return Member(key, MemoryBlob(content.as_py()))


def _with_cells(column: Any, changes: dict[int, tuple[bytes, str | None]]) -> Any:
    """The column with other bytes in some rows, and paths that fit them."""
    contents = column.field("bytes").to_pylist()
    paths = column.field("path").to_pylist()
    for row, (data, suffix) in changes.items():
        contents[row] = data
        if suffix is not None and paths[row] is not None:
            paths[row] = with_suffix(paths[row], suffix)
    values = {"bytes": contents, "path": paths}
    children = [pa.array(values[field.name], field.type) for field in column.type]
    return pa.StructArray.from_arrays(children, fields=list(column.type), mask=column.is_null())
