"""Pictures named on the command line: their bytes, read ahead, as many at once as memory has room for."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from imgcompress.config import Config
from imgcompress.dataset.pipeline import map_ahead, windows_of
from imgcompress.dataset.sources import Entry, Listing
from imgcompress.errors import PictureError
from imgcompress.faults import caught
from imgcompress.image.read import probe

_MOST_FILES = 8
"""In a window."""


@dataclass(frozen=True)
class File:
    """A file: its name as the user would type it, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Unread:
    """A file that could not be read, and why."""

    name: str
    error: str


def named_entries(paths: Iterable[Path]) -> Iterator[Entry]:
    """The pictures that pictures, folders and lists stand for, lazily.

    Raises:
        UsageError: at once, where one is missing or without a picture.
    """
    return chain.from_iterable([Listing(path, None) for path in paths])


def why_unreadable(entry: Entry) -> str | None:
    """Why a file is not to be read: a pipe could go on for ever, a shard take all memory.

    None where it may be read; a link is in the way of writing only.
    """
    if entry.problem is not None and not entry.source.is_file():
        return entry.problem
    return "a shard of many pictures, which is not looked into" if entry.is_shard else None


def readable(entry: Entry) -> Path:
    """The file of an entry.

    Raises:
        OSError: it is not to be read.
    """
    problem = why_unreadable(entry)
    if problem is not None:
        raise OSError(problem)
    return entry.source


def reason(error: OSError) -> str:
    """What an error says about a file whose name is known."""
    return error.strerror or str(error)


def read_windows(entries: Iterable[Entry], config: Config, pool: Executor) -> Iterator[list[File | Unread]]:
    """The files in order, in windows whose pictures can be decoded at once.

    Args:
        entries: taken as far ahead as there are threads for.
        config: threads, and how many megapixels are in flight.
        pool: reads.

    Returns:
        Windows of one file or more; a picture that fills one goes alone.
    """
    files = map_ahead(pool, _read, entries, 2 * config.threads)
    yield from windows_of(files, _megapixels, _MOST_FILES, config.limits.in_flight_megapixels / 2)


def _read(entry: Entry) -> File | Unread:
    name = str(entry.source)
    try:
        return File(name, readable(entry).read_bytes())
    except OSError as error:
        return Unread(name, reason(error))


def _megapixels(file: File | Unread) -> float:
    return 0.0 if isinstance(file, Unread) else megapixels_of(file.data)


def megapixels_of(data: bytes) -> float:
    """What a file's header says; 0 where it says nothing, as then nothing is decoded."""
    size = caught(probe, data)
    return 0.0 if isinstance(size, PictureError) else (size.width or 0) * (size.height or 0) / 1e6
