"""What outputs are called: decided folder by folder, from the names that lie there."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from threading import Lock

from imgcompress.config import Format

SUFFIXES = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "webp": (".webp",),
    "avif": (".avif",),
    "png": (".png", ".apng"),
}
"""By format of a result: the suffix that it gets, and others that a name may have already."""

IMAGE_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes) | frozenset(
    {".tif", ".tiff", ".gif", ".bmp", ".heic", ".heif", ".jxl", ".jp2"}
    | {".mpo", ".j2k", ".jxr", ".psd", ".ico", ".qoi", ".ppm", ".pgm", ".exr"}
)
"""Files with these suffixes are candidates whatever they hold."""

SHARD_SUFFIXES = frozenset({".tar", ".parquet"})
"""Files with these suffixes hold many pictures."""


def formats_of(form: Format) -> tuple[str, ...]:
    """Which formats the results of a run may have.

    Args:
        form: the run's.
    """
    return ("jpeg", "webp", "avif") if form == "auto" else (form,)


def format_of_name(name: str) -> str | None:
    """The format of results that a file's suffix stands for; None for any other suffix."""
    suffix = _suffix(name)
    return next((form for form, suffixes in SUFFIXES.items() if suffix in suffixes), None)


def has_image_suffix(name: str) -> bool:
    """Whether a file is a candidate by its name."""
    return _suffix(name) in IMAGE_SUFFIXES


class FolderNames:
    """The names in one folder, and what outputs are called there. Threads may share it.

    Args:
        pictures: in their order.
        shards, folders, others: what lies beside them.
        in_place: whether outputs replace their sources.
        problem: why the folder cannot be listed, if so.
    """

    def __init__(
        self,
        pictures: Iterable[str] = (),
        shards: Iterable[str] = (),
        folders: Iterable[str] = (),
        others: Iterable[str] = (),
        *,
        in_place: bool,
        problem: str | None = None,
    ) -> None:
        self._pictures = tuple(pictures)
        self._beside = (*folders, *shards)
        self.candidates = frozenset((*self._pictures, *shards))
        self.folders = tuple(folders)
        self.others = frozenset(others)
        self.problem = problem
        self._name_all = output_names_in_place if in_place else output_names
        self._outputs: dict[str, dict[str, str]] = {}
        self._lock = Lock()

    def output(self, name: str, form: str) -> str:
        """What a result of a format is called, also of a file that is no candidate, but asked for."""
        outputs = self._all(form)
        if name in outputs or format_of_name(name) == form:
            return outputs.get(name, name)
        beside = (*self._pictures, *outputs.values(), *self._beside)
        return free_name(name, form, {other.casefold() for other in beside})

    def copy(self, name: str) -> str:
        """What a byte copy is called: as a result of its own format, where that is one of results."""
        form = format_of_name(name)
        return name if form is None else self.output(name, form)

    def _all(self, form: str) -> dict[str, str]:
        with self._lock:
            if form not in self._outputs:
                self._outputs[form] = self._name_all(self._pictures, form, self._beside)
            return self._outputs[form]


def output_names(names: Iterable[str], form: str, others: Iterable[str] = ()) -> dict[str, str]:
    """The names of the files of one format made from the pictures of one folder.

    An output keeps its source's name with the format's suffix; a suffix that stands for the format stays.
    Where two sources would claim one name, each one that does not bear the name already gets its full name
    plus the suffix; so does one of the format whose name differs from an earlier one's in case only.

    Outputs of different formats end in different suffixes: whichever each picture gets, no two are alike.

    Args:
        names: of the pictures, in their order.
        form: a key of ``SUFFIXES``.
        others: of folders beside them, and of files that get no output of another name.

    Returns:
        Output by source, no two alike, even where case does not count, and none like another source.
    """
    names, suffix = list(names), SUFFIXES[form][0]
    plain = {
        name: name if _suffix(name) in SUFFIXES[form] else str(PurePath(name).with_suffix(suffix))
        for name in names
    }
    claims = Counter(output.casefold() for output in plain.values())
    taken = {name.casefold() for name in (*names, *others)}
    first = {name.casefold(): name for name in reversed(names)}
    keeps = {
        name: first[name.casefold()] == name
        if output == name
        else claims[output.casefold()] == 1 and output.casefold() not in taken
        for name, output in plain.items()
    }
    taken.update(claims)
    return {name: plain[name] if keeps[name] else free_name(name, form, taken) for name in names}


def output_names_in_place(names: Iterable[str], form: str, others: Iterable[str] = ()) -> dict[str, str]:
    """The same where the outputs replace their sources; those of the format keep their names.

    Each name must come out the same when other sources of the folder have been replaced already, by outputs
    of whichever formats. So ``x.png`` becomes ``x.jpg`` only where no other picture bears the name ``x`` with
    any number of picture suffixes: that is as true of the others' outputs as of the others. All else gets
    its full name plus the suffix, once more often than follow it in another's name.

    Args:
        names: of the pictures, in their order, some of them outputs already.
        form: a key of ``SUFFIXES``.
        others: of folders beside them, and of files that get no output of another name.

    Returns:
        Output by source, no two alike, nor like another name. They may be but for case, if what they begin
        with are sources' names that are alike but for case.
    """
    names, suffix = list(names), SUFFIXES[form][0]
    bearers = Counter(_base(name) for name in names)
    taken = {name.casefold() for name in others}
    followers = _followers(names)
    outputs = {}
    for name in names:
        plain = str(PurePath(name).with_suffix(suffix))
        is_alone = has_image_suffix(name) and bearers[_base(name)] == 1
        if _suffix(name) in SUFFIXES[form]:
            outputs[name] = name
        elif is_alone and plain.casefold() not in taken:
            outputs[name] = plain
        else:
            end = suffix
            while (name + end).casefold() in taken or any(f.startswith(end) for f in followers[name]):
                end += suffix
            outputs[name] = name + end
    return outputs


def free_name(name: str, form: str, taken: set[str]) -> str:
    """The first of ``name.jpg``, ``name.jpg.jpg``, ... that is not taken; from now on it is.

    Args:
        name: of a picture.
        form: whose suffix it gets.
        taken: names with their case folded.
    """
    suffix = SUFFIXES[form][0]
    output = name + suffix
    while output.casefold() in taken:
        output += suffix
    taken.add(output.casefold())
    return output


def _base(name: str) -> str:
    """What a name and all names that its output may have share."""
    while has_image_suffix(name):
        name = PurePath(name).stem
    return name.casefold()


def _followers(names: Iterable[str]) -> dict[str, list[str]]:
    """For each name the picture suffixes, their case folded, that follow it in others."""
    known = set(names)
    found: dict[str, list[str]] = defaultdict(list)
    for name in known:
        for begin, end in _cuts(name):
            if begin in known:
                found[begin].append(end)
    return found


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    """A name without its last picture suffix, without its last two ..., and what is cut off."""
    end = ""
    while has_image_suffix(name):
        path = PurePath(name)
        name, end = path.stem, path.suffix.casefold() + end
        yield name, end


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()
