"""Which picture is to be compared with which: by their paths below two folders."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imgcompress.dataset.named_files import why_unreadable
from imgcompress.dataset.names import has_image_suffix
from imgcompress.dataset.sources import Entry, Listing
from imgcompress.errors import UsageError


@dataclass(frozen=True)
class Pair:
    """Two pictures, or one whose other is not there.

    Attributes:
        name: of the reference below its folder (of the test where there is no reference), with slashes.
        reference, test: the files; None for the one that is missing.
        problem: why a file is not to be read, as a sentence.
    """

    name: str
    reference: Path | None
    test: Path | None
    problem: str | None = None


def pairs_of(reference: Path, test: Path) -> list[Pair]:
    """Pairs two files, or the pictures of two folders.

    In folders, equal paths belong together. Of what is left, ``a/x.png`` goes with ``a/x.png.jpg``, as
    ``recompress`` calls it where ``a/x.jpg`` is another picture, and then with ``a/x.jpg`` or the like if no
    other picture on either side is called ``a/x``.

    Args:
        reference: a file or a folder, searched recursively.
        test: the same kind.

    Returns:
        In the order of their names.

    Raises:
        UsageError: one of them is not there, has no pictures, or lies in the other, or only one is a folder.
    """
    for path in (reference, test):
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if reference.is_dir() != test.is_dir():
        raise UsageError(f"{reference} and {test}: one is a folder, the other is not")
    if not reference.is_dir():
        return [Pair(reference.name, reference, test)]
    _check_apart(reference, test)
    return _paired(_pictures(reference), _pictures(test))


def new_pairs(reference: Path, test: Path) -> list[Pair]:
    """The pictures of a folder that has no references yet.

    Args:
        reference: where they are to go.
        test: the folder.

    Raises:
        UsageError: there are none, or one folder lies in the other.
    """
    _check_apart(reference, test)
    return _paired({}, _pictures(test))


def _check_apart(reference: Path, test: Path) -> None:
    """A folder's own pictures must not be taken for the other's."""
    references, tests = reference.resolve(), test.resolve()
    if references == tests:
        raise UsageError(f"{reference} and {test} are one folder")
    if references.is_relative_to(tests) or tests.is_relative_to(references):
        raise UsageError(f"{reference} and {test}: one folder lies in the other")


def _pictures(folder: Path) -> dict[str, Entry]:
    return {entry.key: entry for entry in Listing(folder, None) if not entry.is_shard}


def _paired(references: dict[str, Entry], tests: dict[str, Entry]) -> list[Pair]:
    partners = {name: name for name in references.keys() & tests.keys()}
    for key in (str, _base):
        taken = set(partners.values())
        left = _only((name for name in references if name not in partners), key)
        others = _only((name for name in tests if name not in taken), _base)
        partners |= {left[shared]: others[shared] for shared in left.keys() & others.keys()}
    taken = set(partners.values())
    pairs = [_pair(name, entry, tests.get(partners.get(name, ""))) for name, entry in references.items()]
    pairs += [_pair(name, None, entry) for name, entry in tests.items() if name not in taken]
    return sorted(pairs, key=lambda pair: pair.name)


def _pair(name: str, reference: Entry | None, test: Entry | None) -> Pair:
    entries = [entry for entry in (reference, test) if entry is not None]
    problems = [f"{entry.source}: {why}" for entry in entries if (why := why_unreadable(entry)) is not None]
    files = [None if entry is None else entry.source for entry in (reference, test)]
    return Pair(name, files[0], files[1], next(iter(problems), None))


def _base(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if has_image_suffix(name) else name


def _only(names: Iterable[str], key: Callable[[str], str]) -> dict[str, str]:
    """Names by their keys, but for those that share one."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_key[key(name)].append(name)
    return {value: found[0] for value, found in by_key.items() if len(found) == 1}
