"""Writing a file whole or not at all."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

from imgcompress.errors import PictureError, Reason

_PREFIX, _SUFFIX = ".imgcompress-", ".tmp"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in its folder, force it to disk, then rename it.

    Readers see the old file or the new one, also after a power failure. Parent folders are created;
    permissions are those of any new file.

    Args:
        path: where to; a file there is replaced.
        data: its content.

    Raises:
        PictureError: WRITE_ERROR. No part of a file is left behind then.
    """
    # A leading dot and this suffix keep it from being taken for a picture by another run.
    temporary = path.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
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
