"""Uncompressed tar archives: WebDataset's shards, and any other."""

import errno
import os
import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imgcompress.dataset.blobs import SliceBlob
from imgcompress.dataset.magic import HEAD_BYTES, begins_as_picture
from imgcompress.dataset.names import IMAGE_SUFFIXES
from imgcompress.dataset.shards import Member, ShardWriter, compressed, not_found, reading, with_suffix
from imgcompress.dataset.tar_headers import BLOCK, padding, renewed
from imgcompress.errors import PictureError, Reason

_CODED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
_CHUNK = 1 << 20
# What tarfile raises for bytes that are no archive's; the last ones for numbers that cannot be sizes.
_UNREADABLE = (tarfile.TarError, ValueError, RecursionError, OverflowError, MemoryError)


@dataclass(frozen=True)
class TarShard:
    """The pictures among the members of an uncompressed tar.

    Everything else stays bit for bit: other members, all headers but a picture's size, checksum and, where
    its format changes, the end of its name; also what follows the last member, and an archive that is cut
    short stays cut short. Names are never used as paths.
    """

    path: Path

    def members(self) -> Iterator[Member]:
        """The pictures, and what damage there is; only headers are read.

        Raises:
            PictureError: the file cannot be read, is no tar, or a compressed one.
        """
        for part in _parts(self.path):
            if part.is_picture or part.problem is not None:
                blob = SliceBlob(self.path, part.content, part.size) if part.is_picture else None
                yield Member(part.key, blob, part.problem)

    @contextmanager
    def rewrite(self, target: BinaryIO) -> Iterator[ShardWriter]:
        """Writes the archive with other pictures.

        Args:
            target: an empty file.

        Raises:
            PictureError: the source cannot be read.
            OSError: the target cannot be written.
        """
        with reading(self.path):
            source = self.path.open("rb")
        with source:
            writer = _TarWriter(self.path, source, target)
            yield writer
            writer.finish()


@dataclass(frozen=True)
class _Part:
    """A stretch of the archive: a member with its headers, or what cannot be read.

    Attributes:
        key: a member's name; a later one of the same name has its place added.
        name: as it is in the archive.
        start: its first byte, of its headers.
        content: the first byte of its content.
        size: how many bytes of that there are.
        end: the first byte after it and its padding.
        link: the name of the member that it leads to.
    """

    key: str
    name: str
    start: int
    content: int
    size: int
    end: int
    is_picture: bool = False
    link: str | None = None
    problem: str | None = None


def _parts(path: Path) -> Iterator[_Part]:
    """All members in order; where the archive ends too early, a last part with a problem."""
    # Hashes, as a shard may have millions of names.
    seen: set[int] = set()

    def key_of(name: str, start: int) -> str:
        key = name
        while hash(key) in seen:
            key = f"{key}@{start}"
        seen.add(hash(key))
        return key

    with reading(path), path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        tar = _open(path, file)
        end = 0
        while tar is not None and (info := _next(tar, file)) is not None:
            if not end < info.offset_data <= tar.offset:
                break  # a size below zero
            start, end = end, min(tar.offset, length)
            size = min(info.size, length - info.offset_data)
            is_picture = _is_picture(info, file)
            problem = None
            if is_picture and info.issparse():
                is_picture, problem = False, "stored as a sparse file, which is not read"
            elif info.isreg() and size < info.size and tar.offset > length:
                problem = f"cut short: {size} of {info.size} bytes are there"
            link = _leads_to(info)
            key = key_of(info.name, start)
            yield _Part(key, info.name, start, info.offset_data, size, end, is_picture, link, problem)
        file.seek(end)
        if any(file.read(BLOCK)):
            problem = f"no header of a member at byte {end}; the {length - end} bytes from there are not read"
            name = f"byte {end}"
            yield _Part(key_of(name, end), name, end, end, length - end, length, problem=problem)


def _open(path: Path, file: BinaryIO) -> tarfile.TarFile | None:
    """None if it is an archive, but already its first member cannot be read."""
    head = file.read(BLOCK)
    if head.startswith(_CODED):
        raise compressed(path)
    file.seek(0)
    try:
        tar = tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape")
    except _UNREADABLE as error:
        try:
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.TarError:
            message = f"{path.name} is no tar archive: {error}"
            raise PictureError(Reason.DECODE_ERROR, message) from error
        return None
    tar.offset = 0  # it looked at the first member
    return tar


def _next(tar: tarfile.TarFile, file: BinaryIO) -> tarfile.TarInfo | None:
    """As TarFile.next does, but without keeping every member."""
    file.seek(tar.offset)
    try:
        return tarfile.TarInfo.fromtarfile(tar)
    except _UNREADABLE:
        return None


def _is_picture(info: tarfile.TarInfo, file: BinaryIO) -> bool:
    if not info.isreg():
        return False
    if posixpath.splitext(info.name)[1].lower() in IMAGE_SUFFIXES:
        return True
    file.seek(info.offset_data)
    return begins_as_picture(file.read(min(info.size, HEAD_BYTES)))


def _leads_to(info: tarfile.TarInfo) -> str | None:
    if info.issym():  # from where it lies; a hard link has the name within the archive
        return posixpath.join(posixpath.dirname(info.name), info.linkname)
    return info.linkname if info.islnk() else None


class _Names:
    """Finds names for pictures whose format changes, so that no two members of the archive share one.

    As in a folder: where two pictures would get one name, each that does not bear it already gets its full
    name and the new suffix. A picture that a link leads to keeps its name.
    """

    def __init__(self, parts: Iterable[_Part], suffix: str) -> None:
        self._suffix = suffix
        self._claims: Counter[int] = Counter()
        self._taken: set[int] = set()
        self._linked: set[int] = set()
        for part in parts:
            self._taken.add(_place(part.name))
            if part.is_picture:
                self._claims[_place(with_suffix(part.name, suffix))] += 1
            if part.link is not None:
                self._linked.add(_place(part.link))

    def name_for(self, part: _Part) -> str:
        name = with_suffix(part.name, self._suffix)
        place = _place(name)
        if name == part.name or _place(part.name) in self._linked:
            return part.name
        if self._claims[place] == 1 and place not in self._taken:
            return name
        name = part.name + self._suffix
        while _place(name) in self._taken or _place(name) in self._claims:
            name += self._suffix
        self._taken.add(_place(name))
        return name


def _place(name: str) -> int:
    """Where a member goes when it is unpacked, on systems to which case does not matter; as a hash."""
    return hash(posixpath.normpath(name).casefold())


class _TarWriter:
    """Copies the source up to each picture that changes, and all that is left of it at the end."""

    def __init__(self, path: Path, source: BinaryIO, target: BinaryIO) -> None:
        self._path = path
        self._source = source
        self._target = target
        self._parts = _parts(path)
        self._position = 0
        self._names: dict[str, _Names] = {}

    def add(self, member: Member, data: bytes | None, suffix: str | None = None) -> None:
        if data is None:
            return
        part = next((part for part in self._parts if part.key == member.key), None)
        if part is None or part.problem is not None:
            raise not_found(self._path, member)
        self._carry(part.start)
        base = None if suffix is None else self._base(part, suffix)
        headers = renewed(self._read(part.content - part.start), len(data), base)
        self._target.write(headers + data + bytes(padding(len(data))))
        self._source.seek(part.end)
        self._position = part.end

    def finish(self) -> None:
        with reading(self._path):
            length = os.fstat(self._source.fileno()).st_size
        self._carry(length)

    def _base(self, part: _Part, suffix: str) -> bytes | None:
        if suffix not in self._names:
            self._names[suffix] = _Names(_parts(self._path), suffix)
        name = self._names[suffix].name_for(part)
        return None if name == part.name else posixpath.basename(name).encode("utf-8", "surrogateescape")

    def _carry(self, end: int) -> None:
        while self._position < end:
            self._target.write(self._read(min(_CHUNK, end - self._position)))

    def _read(self, size: int) -> bytes:
        with reading(self._path):
            data = self._source.read(size)
            if len(data) < size:
                raise OSError(errno.EIO, "the file became shorter", str(self._path))
        self._position += size
        return data
