"""Which files are candidates, and what their outputs are called."""

import os
import random
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from imgcompress.errors import UsageError

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
IMAGE_SUFFIXES = JPEG_SUFFIXES | frozenset(
    {".png", ".apng", ".webp", ".avif", ".tif", ".tiff", ".gif", ".bmp", ".heic", ".heif", ".jxl", ".jp2"}
)
"""Files with these suffixes are candidates whatever they hold."""

STATE_FOLDER = ".imgcompress"
"""Below a destination: what a run notes there; never a source."""

_MAGIC_NUMBERS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
    b"GIF87a",
    b"GIF89a",
)


@dataclass(frozen=True)
class Entry:
    """One candidate.

    Attributes:
        key: the source's path below the root, with slashes: what the ledger knows it by.
        source: the file.
        output: where a JPEG made from it goes.
        copy: where a byte copy of it goes; the same path when the source already has a JPEG's suffix.
        map: where its attention map goes; None for nowhere.
    """

    key: str
    source: Path
    output: Path
    copy: Path
    map: Path | None = None


@dataclass(frozen=True)
class Selection:
    """Which of the pictures found are candidates; outputs are named as if all were.

    Attributes:
        include: globs of paths below the root, in which ``*`` stands for slashes too; one must match.
        exclude: the same; none may match.
        min_bytes: smaller files are left out.
        limit: only so many, the first ones.
        sample: only so many, drawn at random with a fixed seed, in their order.

    Raises:
        UsageError: a number is out of its range.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    min_bytes: int = 0
    limit: int | None = None
    sample: int | None = None

    def __post_init__(self) -> None:
        for key, least in (("min_bytes", 0), ("limit", 1), ("sample", 1)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise UsageError(f"{key}: expected an integer >= {least}, got {value}")

    def choose(self, entries: list[Entry]) -> list[Entry]:
        """The candidates, in their order."""
        chosen = [entry for entry in entries if self._takes(entry)][: self.limit]
        if self.sample is None or self.sample >= len(chosen):
            return chosen
        drawn = sorted(random.Random(0).sample(range(len(chosen)), self.sample))
        return [chosen[index] for index in drawn]

    def _takes(self, entry: Entry) -> bool:
        if not any(fnmatchcase(entry.key, glob) for glob in self.include):
            return False
        if any(fnmatchcase(entry.key, glob) for glob in self.exclude):
            return False
        try:
            return self.min_bytes == 0 or entry.source.stat().st_size >= self.min_bytes
        except OSError:
            return True  # a line of the report says why it cannot be read


def find_entries(
    source: Path, destination: Path, selection: Selection | None = None, maps: Path | None = None
) -> list[Entry]:
    """Lists the candidates below a folder, or the one file, in sorted order, with their outputs.

    Args:
        source: a folder, searched recursively without following links to folders, or a single file.
        destination: the folder that mirrors the tree.
        selection: which of them; None for all.
        maps: a folder that mirrors it with attention maps; None for none.

    Returns:
        At least one entry. An output keeps the source's name with the suffix ``.jpg``; a JPEG's own suffix
        stays. Where two sources would claim one name, each one that does not bear the name already gets its
        full name plus ``.jpg``. A map has the source's full name plus ``.png``.

    Raises:
        UsageError: the source is missing, no picture is left, or the folders lie inside one another in a way
            that would mix sources and outputs.
    """
    try:
        found = source.exists()
        _check_places(source, destination, "destination")
        if maps is not None:
            _check_places(source, maps, "folder of maps")
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    if not found:
        raise UsageError(f"{source}: no such file or folder")
    root = source if source.is_dir() else source.parent
    files = sorted(_candidates(source)) if source.is_dir() else [source]
    if not files:
        raise UsageError(f"{source}: no pictures found")
    relative = [file.relative_to(root) for file in files]
    entries = [
        Entry(name.as_posix(), file, destination / output, destination / name, maps and maps / f"{name}.png")
        for file, name, output in zip(files, relative, _output_names(relative), strict=True)
    ]
    _check_no_file_is_hit(entries)
    chosen = (selection or Selection()).choose(entries)
    if not chosen:
        raise UsageError(f"{source}: the selection leaves none of {len(entries)} pictures")
    return chosen


def _check_places(source: Path, folder: Path, role: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: the {role} is not a folder")
    root = source.resolve() if source.is_dir() else source.resolve().parent
    target = folder.resolve()
    if target == root:
        raise UsageError(f"{folder}: the {role} is the source's own folder")
    if source.is_dir() and target.is_relative_to(root):
        raise UsageError(f"{folder}: the {role} lies inside the source {source}")


def _check_no_file_is_hit(entries: list[Entry]) -> None:
    """A destination around the source, or links within it, may lead back to a source; a map to an output."""
    folders: dict[Path, Path] = {}

    def place(path: Path) -> str:
        # Only the folder: a write replaces a link itself, not what it leads to.
        if path.parent not in folders:
            folders[path.parent] = path.parent.resolve()
        return _folded(folders[path.parent] / path.name)

    sources = {place(entry.source) for entry in entries}
    outputs = {place(path) for entry in entries for path in (entry.output, entry.copy)}
    for entry in entries:
        for path in filter(None, (entry.output, entry.copy, entry.map)):
            if place(path) in sources:
                raise UsageError(f"{path}: the output of {entry.source} would replace a source")
        if entry.map is not None and place(entry.map) in outputs:
            raise UsageError(f"{entry.map}: the map of {entry.source} would replace an output")


def _candidates(root: Path) -> Iterator[Path]:
    unreadable: list[Path] = []
    walk = os.walk(root, onerror=lambda error: unreadable.append(Path(error.filename)))
    for folder, folders, names in walk:
        if STATE_FOLDER in folders:
            folders.remove(STATE_FOLDER)
        for name in names:
            path = Path(folder, name)
            if name.startswith(".") and name.endswith(".tmp"):
                continue  # an interrupted run's temporary file
            if path.suffix.lower() in IMAGE_SUFFIXES:
                if not _is_special(path):
                    yield path
            elif _has_magic_number(path):
                yield path
    # A folder that cannot be listed becomes a line of the report: reading it fails with the reason.
    yield from unreadable


def _is_special(path: Path) -> bool:
    """Reading a pipe or a device may never end. A link to nowhere becomes a line of the report."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _has_magic_number(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    is_riff_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_avif = head[4:12] in (b"ftypavif", b"ftypavis")
    return is_riff_webp or is_avif or head.startswith(_MAGIC_NUMBERS)


def _output_names(names: list[Path]) -> list[Path]:
    plain = [name if name.suffix.lower() in JPEG_SUFFIXES else name.with_suffix(".jpg") for name in names]
    claims = Counter(_folded(path) for path in plain)
    taken = {_folded(path) for name in names for path in (name, *name.parents)}
    keeps = [
        output == name or (claims[_folded(output)] == 1 and _folded(output) not in taken)
        for name, output in zip(names, plain, strict=True)
    ]
    taken.update(claims)
    return [
        output if keep else _free_name(name, taken)
        for name, output, keep in zip(names, plain, keeps, strict=True)
    ]


def _free_name(name: Path, taken: set[str]) -> Path:
    output = name.with_name(name.name + ".jpg")
    while _folded(output) in taken:
        output = output.with_name(output.name + ".jpg")
    taken.add(_folded(output))
    return output


def _folded(path: Path) -> str:
    """Names that differ in case only are one file on some systems."""
    return str(path).casefold()
