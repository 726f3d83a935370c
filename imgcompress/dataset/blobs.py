"""Where a picture's bytes are: a file, a part of one, or memory; small values that can be pickled."""

import errno
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class FileBlob:
    """A whole file."""

    path: Path

    def read(self) -> bytes:
        """All its bytes.

        Raises:
            OSError: it cannot be read.
        """
        return self.path.read_bytes()

    def size(self) -> int:
        """How many bytes it has.

        Raises:
            OSError: it cannot be looked at.
        """
        return self.path.stat().st_size


@dataclass(frozen=True)
class SliceBlob:
    """A part of a file, such as a member of an uncompressed tar.

    Attributes:
        path: the file, opened anew for each read.
        offset: the first byte.
        length: how many.
    """

    path: Path
    offset: int
    length: int

    def read(self) -> bytes:
        """All its bytes.

        Raises:
            OSError: the file cannot be read, or ends before they do.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.length)
        if len(data) < self.length:
            raise OSError(errno.EIO, "the file became shorter", str(self.path))
        return data

    def size(self) -> int:
        """How many bytes it has."""
        return self.length


@dataclass(frozen=True)
class MemoryBlob:
    """Bytes that had to be read already, such as a cell of a Parquet file."""

    data: bytes = field(repr=False)

    def read(self) -> bytes:
        """All its bytes."""
        return self.data

    def size(self) -> int:
        """How many bytes it has."""
        return len(self.data)


Blob = FileBlob | SliceBlob | MemoryBlob
