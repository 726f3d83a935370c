"""The headers of a tar's member with another size and name, everything else in them bit for bit.

Source: POSIX.1-2017, pax, "pax Header Block" and "pax Extended Header"; GNU tar's header for long names.
"""

import re
import tarfile
from collections.abc import Iterator

BLOCK = tarfile.BLOCKSIZE
_NAME, _SIZE, _CHECKSUM, _TYPE, _PREFIX = (
    slice(0, 100),
    slice(124, 136),
    slice(148, 156),
    slice(156, 157),
    slice(345, 500),
)
_RECORD = re.compile(rb"(\d+) ([^=]+)=")


def padding(size: int) -> int:
    """How many zeros follow content of so many bytes, to fill the last block."""
    return -size % BLOCK


def renewed(headers: bytes, size: int, base: bytes | None) -> bytes:
    """Changes what must change when a member's content does.

    Args:
        headers: all blocks before the content of an ordinary file: extended headers, if any, then its own.
        size: bytes of the new content.
        base: the new name without its folders, which stay; None to keep the name.
    """
    *extensions, header = _entries(headers)
    is_named = base is None
    for index, extension in enumerate(extensions):
        kind, content = extension[_TYPE], _content(extension)
        if kind == tarfile.GNUTYPE_LONGNAME and base is not None:
            extensions[index] = _with_content(extension, _moved(content.rstrip(b"\0"), base) + b"\0")
            is_named = True
        elif kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            records = _records(content)
            if b"size" in records:
                records[b"size"] = b"%d" % size
            if b"path" in records and base is not None:
                records[b"path"] = _moved(records[b"path"], base)
                is_named = True
            if records != _records(content):
                extensions[index] = _with_records(extension, records)
    if not is_named and base is not None:
        name = _moved(_text(header[_NAME]), base)
        if len(name) <= 100:
            header = name.ljust(100, b"\0") + header[100:]
        else:
            folder = _text(header[_PREFIX]) if header[257:263] == tarfile.POSIX_MAGIC[:6] else b""
            _add_path(extensions, folder + b"/" + name if folder else name)
    return b"".join(extensions) + _resized(header, size)


def _entries(headers: bytes) -> Iterator[bytes]:
    """Each header with the content that belongs to it; the last one's is elsewhere."""
    start = 0
    while start + BLOCK < len(headers):
        size = _size(headers[start : start + BLOCK])
        end = start + BLOCK + size + padding(size)
        yield headers[start:end]
        start = end
    yield headers[start:]


def _size(header: bytes) -> int:
    return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").size


def _content(entry: bytes) -> bytes:
    return entry[BLOCK : BLOCK + _size(entry[:BLOCK])]


def _with_content(entry: bytes, content: bytes) -> bytes:
    return _resized(entry[:BLOCK], len(content)) + content + bytes(padding(len(content)))


def _resized(header: bytes, size: int) -> bytes:
    resized = bytearray(header)
    resized[_SIZE] = b"%011o\0" % size
    resized[_CHECKSUM] = b" " * 8
    resized[_CHECKSUM] = b"%06o\0 " % sum(resized)
    return bytes(resized)


def _records(content: bytes) -> dict[bytes, bytes]:
    records, start = {}, 0
    while match := _RECORD.match(content, start):
        start += int(match[1])
        records[match[2]] = content[match.end() : start - 1]
    return records


def _with_records(entry: bytes, records: dict[bytes, bytes]) -> bytes:
    return _with_content(entry, b"".join(_record(b"%s=%s\n" % record) for record in records.items()))


def _record(text: bytes) -> bytes:
    """A record begins with its length, which counts its own digits."""
    length = len(text) + 2
    while len(b"%d " % length) + len(text) != length:
        length += 1
    return b"%d " % length + text


def _add_path(extensions: list[bytes], path: bytes) -> None:
    for index, extension in enumerate(extensions):
        if extension[_TYPE] == tarfile.XHDTYPE:
            extensions[index] = _with_records(extension, _records(_content(extension)) | {b"path": path})
            return
    entry = tarfile.TarInfo("././@PaxHeader")
    entry.type = tarfile.XHDTYPE
    extensions.append(_with_records(entry.tobuf(tarfile.USTAR_FORMAT), {b"path": path}))


def _moved(name: bytes, base: bytes) -> bytes:
    return name[: name.rfind(b"/") + 1] + base


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
