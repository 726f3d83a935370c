"""Files that hold many pictures: what a run asks of them, whichever their format is.

A shard is read twice: ``members`` lists its pictures lazily, and ``rewrite`` walks along it once more while
the results come in, carrying along whatever is not replaced.
"""

import posixpath
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from imgcompress.dataset.blobs import Blob
from imgcompress.dataset.names import SUFFIXES
from imgcompress.errors import PictureError, Reason

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4")


@dataclass(frozen=True)
class Member:
    """One picture inside a shard.

    Attributes:
        key: its place in the shard, unique there and the same each time: a name, or row and column.
        blob: its bytes; None where there are none.
        problem: why it cannot be used, in words; None if nothing is known to be wrong with it.
    """

    key: str
    blob: Blob | None
    problem: str | None = None


@runtime_checkable
class ShardWriter(Protocol):
    """Takes the results of one shard. For one thread."""

    def add(self, member: Member, data: bytes | None, suffix: str | None = None) -> None:
        """Says what becomes of a picture. Those that are left out stay as they are.

        Args:
            member: one of ``members()``, in that order.
            data: its new bytes; None for those that it had.
            suffix: that of the new format, such as ``.jpg``; None where the format is the same.

        Raises:
            PictureError: the source cannot be read any more.
            OSError: the target cannot be written.
        """
        ...


@runtime_checkable
class Shard(Protocol):
    """A file that holds many pictures."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    def members(self) -> Iterator[Member]:
        """Its pictures, in order, and whatever in it cannot be read: each with its problem.

        Raises:
            PictureError: READ_ERROR, DECODE_ERROR or UNSUPPORTED, of the shard as a whole.
        """
        ...

    def rewrite(self, target: BinaryIO) -> AbstractContextManager[ShardWriter]:
        """Writes the shard with other pictures; all else in it stays the same.

        Left without an error, the context completes the target; after an error the target is worthless.

        Args:
            target: an empty file, which stays open.

        Raises:
            PictureError: as ``members`` does.
            OSError: the target cannot be written.
        """
        ...


def open_shard(path: Path) -> Shard:
    """The shard in a file, told by its suffix. Nothing is read yet.

    Raises:
        PictureError: UNSUPPORTED, if it is a compressed tar.
        UsageError: it is a Parquet file, and the extra for these is not installed.
    """
    # Here, as both build on this module, and one needs a package that may be missing.
    if path.suffix.lower() == ".parquet":
        from imgcompress.dataset.parquet_shard import ParquetShard

        return ParquetShard(path)
    if path.name.lower().endswith(_COMPRESSED):
        raise compressed(path)
    from imgcompress.dataset.tar_shard import TarShard

    return TarShard(path)


def compressed(path: Path) -> PictureError:
    """Says that compressed archives are not read, and what to do."""
    message = f"{path.name}: a compressed tar is not read; decompress it (pictures hardly shrink in it)"
    return PictureError(Reason.UNSUPPORTED, message)


def not_found(path: Path, member: Member) -> PictureError:
    """Says that a picture cannot be replaced, as the file changed meanwhile or it is not its turn."""
    message = f"{path.name} has no picture {member.key} to replace there; did the file change?"
    return PictureError(Reason.READ_ERROR, message)


def with_suffix(name: str, suffix: str) -> str:
    """A picture's name after its format changed; a name that fits already stays."""
    stem, old = posixpath.splitext(name)
    alike = next(suffixes for suffixes in SUFFIXES.values() if suffix in suffixes)
    if old.lower() in alike or not posixpath.basename(name):
        return name
    return stem + suffix


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Within it only a shard is read: an error of the system becomes one that names the shard."""
    try:
        yield
    except OSError as error:
        message = f"{path.name} cannot be read: {error.strerror or error}"
        raise PictureError(Reason.READ_ERROR, message) from error
