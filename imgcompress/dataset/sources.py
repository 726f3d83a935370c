"""Lists what there is to do, lazily and in a fixed order: a folder tree, the lines of a list, or one file."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from imgcompress.config import Format
from imgcompress.dataset.magic import HEAD_BYTES, begins_as_picture
from imgcompress.dataset.names import (
    SHARD_SUFFIXES,
    SUFFIXES,
    FolderNames,
    formats_of,
    has_image_suffix,
)
from imgcompress.dataset.selection import Selection
from imgcompress.errors import UsageError
from imgcompress.image.write import is_temporary

STATE_FOLDER = ".imgcompress"
"""Below a destination: what a run notes there; never a source."""

LIST_SUFFIXES = frozenset({".txt", ".lst"})
"""A source of one of these names has the path of a picture or shard in each line."""

ABSOLUTE_FOLDER = "_absolute"
"""Below a destination: what a list names by absolute paths elsewhere; no other line may lead there."""


@dataclass(frozen=True)
class Entry:
    """One candidate: a picture, or a shard of many.

    Attributes:
        key: the source's path below the root, with slashes: what the ledger knows it by.
        source: the file.
        copy: where a byte copy of it goes, and a result of its own format; for a shard, the new shard.
        formats: those that its result may have; none for a shard and for what is only to be copied.
        name_for: what a result of a format is called, of this run or of one with other formats.
        map: where its attention map goes; None for nowhere.
        problem: why nothing may be written for it, if so.
        is_other: it is no picture, and only to be copied.
    """

    key: str
    source: Path
    copy: Path
    formats: tuple[str, ...] = ()
    name_for: Callable[[str], str] | None = None
    map: Path | None = None
    problem: str | None = None
    is_other: bool = False

    @property
    def is_shard(self) -> bool:
        """Whether it holds many pictures."""
        return _is_shard_name(self.source.name)

    @property
    def in_place(self) -> bool:
        """Whether its output takes the source's own place."""
        return self.copy == self.source

    def output(self, form: str) -> Path:
        """Where a result of a format goes."""
        return self.copy if self.name_for is None else self.copy.with_name(self.name_for(form))

    @property
    def places(self) -> tuple[Path, ...]:
        """All that this run may write to."""
        return tuple(dict.fromkeys((*map(self.output, self.formats), self.copy)))

    @property
    def former_places(self) -> tuple[Path, ...]:
        """Where runs with other formats may have left a result; in place they were the source since."""
        return () if self.in_place else tuple(map(self.output, SUFFIXES))

    def key_of(self, output: Path) -> str:
        """The key of a file beside the source."""
        return self.key[: len(self.key) - len(self.source.name)] + output.name


@dataclass(frozen=True)
class Listing:
    """The candidates of a run. It may be gone through any number of times; nothing is remembered.

    Attributes:
        source: a folder, searched recursively without following links to folders; a list, one path a line
            (relative ones are below the list's folder; a line that comes again is skipped); or a file.
        destination: the folder that mirrors the tree; None for the source's own places.
        selection: which of the files; ``limit`` and ``sample`` count pictures, and are the run's business.
        maps: a folder that mirrors the tree with attention maps; None for none.
        others: whether all other files below a folder are listed, too, to be copied.
        format: of the run's results.

    Raises:
        UsageError: the source is missing, no picture is left, or the folders lie inside one another in a way
            that would mix sources and outputs.
    """

    source: Path
    destination: Path | None
    selection: Selection = Selection()  # noqa: RUF009  # frozen
    maps: Path | None = None
    others: bool = False
    format: Format = "jpeg"

    def __post_init__(self) -> None:
        try:
            found = self.source.exists()
            for folder, role in ((self.destination, "destination"), (self.maps, "folder of maps")):
                if folder is not None:
                    self._check_place(folder, role)
        except OSError as error:
            raise UsageError(f"{error.filename}: {error.strerror}") from error
        if not found:
            raise UsageError(f"{self.source}: no such file or folder")
        self._check_maps()
        if next(iter(self), None) is None:
            if next(self._all(), None) is None:
                raise UsageError(f"{self.source}: no pictures found")
            raise UsageError(f"{self.source}: the selection leaves none of the pictures found")

    def __iter__(self) -> Iterator[Entry]:
        """The candidates in sorted order, those of a list in its own."""
        return (entry for entry in self._all() if self.selection.takes(entry.key, entry.source))

    @property
    def is_list(self) -> bool:
        """Whether the source names the files instead of holding them."""
        return self.source.suffix.lower() in LIST_SUFFIXES and self.source.is_file()

    @property
    def root(self) -> Path:
        """The folder below which the keys are."""
        return self.source if self.source.is_dir() else self.source.parent

    def _all(self) -> Iterator[Entry]:
        if self.source.is_dir():
            return self._below(self.source, Path())
        if self.is_list:
            return self._listed()
        names = self._names(self.source.parent)
        return iter([self._named(self.source, Path(self.source.name), names)])

    def _below(self, folder: Path, relative: Path) -> Iterator[Entry]:
        names = self._names(folder)
        if names.problem is not None:
            # It becomes a line of the report: reading it fails with the reason.
            place = folder if self.destination is None else self.destination / relative
            yield Entry(relative.as_posix(), folder, place, problem=names.problem)
        others = names.others if self.others and self.destination is not None else ()
        for name in sorted((*names.candidates, *names.folders, *others)):
            if name in names.candidates or name in others:
                yield self._entry(folder / name, relative / name, names, is_other=name in others)
            elif name != STATE_FOLDER:
                yield from self._below(folder / name, relative / name)

    def _listed(self) -> Iterator[Entry]:
        names_in = lru_cache(maxsize=16)(self._names)  # of this pass: a later one finds other files
        seen: set[int] = set()
        with self.source.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                if not (text := line.rstrip("\r\n")).strip():
                    continue
                path = Path(text.replace("\0", "\\0"))
                relative = self._below_root(path)
                source = path if relative is None else self.root / relative
                place = Path(ABSOLUTE_FOLDER, *path.parts[1:]) if relative is None else relative
                problem = None
                if "\0" in text:
                    problem = "a path with a NUL byte"
                elif relative is not None and relative.as_posix().casefold().split("/")[0] == ABSOLUTE_FOLDER:
                    problem = f"a path that begins with {ABSOLUTE_FOLDER!r}, the place of absolute ones"
                # Two of one key would be in flight at once; in place, two ways to one file.
                same = place if self.destination is not None else _resolved(source.parent) / source.name
                if (number := hash(os.fspath(same))) in seen:
                    continue
                seen.add(number)
                yield self._named(source, place, names_in(source.parent), problem)

    def _below_root(self, path: Path) -> Path | None:
        """A listed path as one below the list's folder; None where it leads elsewhere."""
        if not path.is_absolute():
            return path
        for root in (self.root.absolute(), _resolved(self.root)):
            if path.is_relative_to(root):
                return path.relative_to(root)
        return None

    def _names(self, folder: Path) -> FolderNames:
        return _list_folder(folder, in_place=self.destination is None)

    def _named(self, source: Path, relative: Path, names: FolderNames, problem: str | None = None) -> Entry:
        """A file that is named: it may be of any kind. Its output is called as in a run over its folder."""
        if problem is None and _is_special(source):
            problem = "not a regular file"
        if problem is None:
            return self._entry(source, relative, names)
        copy = source if self.destination is None else self.destination / relative
        return Entry(relative.as_posix(), source, copy, problem=problem)

    def _entry(self, source: Path, relative: Path, names: FolderNames, *, is_other: bool = False) -> Entry:
        copy = source
        if self.destination is not None:
            copy = (self.destination / relative).with_name(names.copy(source.name))
        is_picture = not is_other and not _is_shard_name(source.name)
        drawn = None if self.maps is None or is_other else self.maps / f"{relative}.png"
        outputs = [path for path in (None if self.destination is None else copy, drawn) if path]
        problem = next(filter(None, (self._problem(source, path) for path in outputs)), None)
        if ".." in relative.parts:
            problem = "a path with '..' has no place below the destination"
        elif self.destination is None and _is_link(source):
            problem = "a link is not replaced"
        formats = formats_of(self.format) if is_picture else ()
        name_for = partial(names.output, source.name) if is_picture else None
        return Entry(relative.as_posix(), source, copy, formats, name_for, drawn, problem, is_other)

    def _problem(self, source: Path, output: Path) -> str | None:
        """A destination around the source, or links, may lead back to where sources are."""
        folder = _resolved(output.parent)
        if self.source.is_dir() and folder.is_relative_to(_resolved(self.source)):
            return f"{output} lies inside the source {self.source}"
        return f"{output} lies beside its source" if folder == _resolved(source.parent) else None

    def _check_place(self, folder: Path, role: str) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder}: the {role} is not a folder")
        root, target = self.root.resolve(), folder.resolve()
        if target == root:
            raise UsageError(f"{folder}: the {role} is the source's own folder")
        if self.source.is_dir() and target.is_relative_to(root):
            raise UsageError(f"{folder}: the {role} lies inside the source {self.source}")

    def _check_maps(self) -> None:
        """Where the tree of maps and the tree of outputs share a folder, one may hit the other."""
        if self.maps is None or self.destination is None:
            return
        maps, outputs = self.maps.resolve(), self.destination.resolve()
        for upper, lower in ((maps, outputs), (outputs, maps)):
            if lower.is_relative_to(upper) and (self.root / lower.relative_to(upper)).exists():
                raise UsageError(f"{self.maps}: maps there could replace outputs in {self.destination}")


def _list_folder(folder: Path, *, in_place: bool) -> FolderNames:
    files, folders, others = [], [], []
    try:
        with os.scandir(folder) as found:
            for item in found:
                path = Path(item.path)
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.name)
                elif _is_candidate(path):
                    files.append(item.name)
                elif path.is_file() and not is_temporary(path):
                    others.append(item.name)
    except OSError as error:
        return FolderNames(in_place=in_place, problem=f"{folder}: {error.strerror}")
    shards = [name for name in files if _is_shard_name(name)]
    pictures = sorted(name for name in files if not _is_shard_name(name))
    return FolderNames(pictures, shards, folders, others, in_place=in_place)


@lru_cache(maxsize=256)
def _resolved(folder: Path) -> Path:
    """Without links; unlike ``Path.resolve``, no error where they go in a circle."""
    return Path(os.path.realpath(folder))


def _is_shard_name(name: str) -> bool:
    return Path(name).suffix.lower() in SHARD_SUFFIXES


def _is_candidate(path: Path) -> bool:
    if is_temporary(path):
        return False
    if has_image_suffix(path.name) or _is_shard_name(path.name):
        return not _is_special(path)
    return _has_magic_number(path)


def _is_special(path: Path) -> bool:
    """Reading a pipe or a device may never end. A link to nowhere becomes a line of the report."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:
        return False


def _has_magic_number(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return begins_as_picture(file.read(HEAD_BYTES))
    except OSError:
        return False
