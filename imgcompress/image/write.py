"""Writing a file whole or not at all."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imgcompress.errors import PictureError, Reason

_PREFIX, _SUFFIX = ".imgcompress-", ".tmp"


@dataclass(frozen=True)
class Like:
    """Another file, whose permissions (and owner, where we may) a new one gets.

    Attributes:
        stat: of the other file.
        times: whether its times are taken over, too.
    """

    stat: os.stat_result
    times: bool


def write_atomically(path: Path, data: bytes, like: Like | None = None) -> None:
    """Writes a file as :func:`atomic_file` does.

    Args:
        path: where to; a file there is replaced.
        data: its content.
        like: whom it takes after; None for any new file's permissions.

    Raises:
        PictureError: WRITE_ERROR. No part of a file is left behind then.
    """
    with atomic_file(path, like) as file:
        file.write(data)


def copy_atomically(source: Path, target: Path, like: Like | None = None) -> None:
    """Copies a file of any size as :func:`atomic_file` writes it.

    Args:
        source: what is copied.
        target: where to; a file there is replaced.
        like: whom it takes after; None for any new file's permissions.

    Raises:
        PictureError: WRITE_ERROR, also where the source cannot be read.
    """
    with atomic_file(target, like) as copy, source.open("rb") as data:
        shutil.copyfileobj(data, copy, 1 << 20)


@contextmanager
def atomic_file(path: Path, like: Like | None = None) -> Iterator[BinaryIO]:
    """Opens a file under a temporary name in its folder; at the end it is forced to disk and renamed.

    Readers see the old file or the new one, also after a power failure. Parent folders are created.

    Args:
        path: where to; a file there is replaced.
        like: whom it takes after; None for any new file's permissions.

    Returns:
        The file, open for writing.

    Raises:
        PictureError: WRITE_ERROR. No part of a file is left behind then, nor after any other error inside.
    """
    if not path.name:
        raise PictureError(Reason.WRITE_ERROR, f"{path} cannot be written: it is a folder")
    # A leading dot and this suffix keep it from being taken for a picture by another run.
    temporary = path.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if like is not None:
                _dress(temporary, like)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _force_folder(path.parent)
    except OSError as error:
        message = f"{path.name} cannot be written: {error.strerror or error}"
        raise PictureError(Reason.WRITE_ERROR, message) from error


def is_temporary(path: Path) -> bool:
    """Whether a file has a name that only an interrupted write leaves behind."""
    return path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX)


def _dress(path: Path, like: Like) -> None:
    stat = like.stat
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(path, stat.st_uid, stat.st_gid)
    path.chmod(stat.st_mode & 0o7777)
    if like.times:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _force_folder(folder: Path) -> None:
    """The new name itself must reach the disk, on systems and file systems that can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
