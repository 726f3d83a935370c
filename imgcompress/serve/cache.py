"""Results on disk: at most so many bytes, what was not asked for longest goes first."""

import hashlib
import logging
import re
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from imgcompress.errors import PictureError, UsageError
from imgcompress.image.write import is_temporary, write_atomically

_log = logging.getLogger("imgcompress.serve")
_NAME = re.compile(r"[0-9a-f]{64}")
_CHECKSUM = 32


class DiskCache:
    """Files in a folder, each behind the SHA-256 of its content. Threads may use it at once.

    What an earlier process has left is taken over; what it was interrupted at is removed.

    Args:
        folder: created where it is missing; files of other names in it are left alone.
        limit: bytes of all files.

    Raises:
        UsageError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self.size = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = []
            for path in folder.glob("*/*"):
                if is_temporary(path):
                    path.unlink(missing_ok=True)
                elif _NAME.fullmatch(path.name) and path.is_file():
                    stat = path.stat()
                    found.append((stat.st_mtime_ns, path.name, stat.st_size))
        except OSError as error:
            raise UsageError(f"cache: {folder}: {error.strerror or error}") from error
        for _, key, size in sorted(found):
            self._sizes[key] = size
            self.size += size
        self._shrink()

    def get(self, key: str) -> bytes | None:
        """What was put; None where it is not there (any more), or is damaged.

        Args:
            key: 64 hexadecimal digits.
        """
        path = self._path(key)
        try:
            stored = path.read_bytes()
            checksum, data = stored[:_CHECKSUM], stored[_CHECKSUM:]
            if hashlib.sha256(data).digest() == checksum:
                path.touch()  # the order outlives the process
                with self._lock:
                    self._count(key, len(stored))
                return data
            _log.warning("%s is damaged and removed from the cache", path)
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.warning("%s cannot be read: %s", path, error)
        with self._lock:
            self._forget(key)
        return None

    def put(self, key: str, data: bytes) -> None:
        """Keeps a result as long as there is room; what cannot be written is logged and not kept.

        Args:
            key: 64 hexadecimal digits.
            data: the result.
        """
        stored = hashlib.sha256(data).digest() + data
        if len(stored) > self._limit:
            return
        try:
            write_atomically(self._path(key), stored)
        except PictureError as error:
            _log.warning("the cache does not take a result: %s", error)
            return
        with self._lock:
            self._count(key, len(stored))
            self._shrink()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _count(self, key: str, size: int) -> None:
        self.size += size - self._sizes.pop(key, 0)
        self._sizes[key] = size

    def _forget(self, key: str) -> None:
        self.size -= self._sizes.pop(key, 0)
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s cannot be removed: %s", self._path(key), error)

    def _shrink(self) -> None:
        while self.size > self._limit:
            self._forget(next(iter(self._sizes)))
