"""What outputs are called: decided folder by folder, from the names that lie there."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
IMAGE_SUFFIXES = JPEG_SUFFIXES | frozenset(
    {".png", ".apng", ".webp", ".avif", ".tif", ".tiff", ".gif", ".bmp", ".heic", ".heif", ".jxl", ".jp2"}
    | {".mpo", ".j2k", ".jxr", ".psd", ".ico", ".qoi", ".ppm", ".pgm", ".exr"}
)
"""Files with these suffixes are candidates whatever they hold."""

SHARD_SUFFIXES = frozenset({".tar", ".parquet"})
"""Files with these suffixes hold many pictures."""


def has_image_suffix(name: str) -> bool:
    """Whether a file is a candidate by its name."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def output_names(names: Iterable[str], others: Iterable[str] = ()) -> dict[str, str]:
    """The names of the JPEG files made from the pictures of one folder.

    An output keeps its source's name with the suffix ``.jpg``; a JPEG's own suffix stays. Where two sources
    would claim one name, each one that does not bear the name already gets its full name plus ``.jpg``; so
    does a JPEG whose name differs from an earlier one's in case only.

    Args:
        names: of the pictures, in their order.
        others: of folders beside them, and of files that get no output of another name.

    Returns:
        Output by source, no two alike, even where case does not count.
    """
    names = list(names)
    plain = {name: name if is_jpeg_name(name) else str(PurePath(name).with_suffix(".jpg")) for name in names}
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
    return {name: plain[name] if keeps[name] else free_name(name, taken) for name in names}


def output_names_in_place(names: Iterable[str], others: Iterable[str] = ()) -> dict[str, str]:
    """The same where the outputs replace their sources; JPEGs keep their names.

    Each name must come out the same when other sources of the folder have been replaced already. So
    ``x.png`` becomes ``x.jpg`` only where no other picture bears the name ``x`` with any number of picture
    suffixes: that is as true of the others' outputs as of the others. All else gets its full name plus
    ``.jpg``.

    Args:
        names: of the pictures, in their order, some of them outputs already.
        others: of folders beside them, and of files that get no output of another name.

    Returns:
        Output by source, no two alike, and none alike with another name but in case.
    """
    names = list(names)
    bearers = Counter(_base(name) for name in names)
    taken = {name.casefold() for name in (*names, *others)}
    outputs = {}
    for name in names:
        plain = str(PurePath(name).with_suffix(".jpg"))
        if is_jpeg_name(name):
            outputs[name] = name
        elif has_image_suffix(name) and bearers[_base(name)] == 1 and plain.casefold() not in taken:
            outputs[name] = plain
        else:
            outputs[name] = free_name(name, taken)
    return outputs


def free_name(name: str, taken: set[str]) -> str:
    """The first of ``name.jpg``, ``name.jpg.jpg``, ... that is not taken; from now on it is.

    Args:
        name: of a picture.
        taken: names with their case folded.
    """
    output = name + ".jpg"
    while output.casefold() in taken:
        output += ".jpg"
    taken.add(output.casefold())
    return output


def is_jpeg_name(name: str) -> bool:
    """Whether a file has a JPEG's suffix."""
    return _suffix(name) in JPEG_SUFFIXES


def _base(name: str) -> str:
    """What a name and all names that its output may have share."""
    while has_image_suffix(name):
        name = PurePath(name).stem
    return name.casefold()


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()
