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
    would claim one name, each one that does not bear the name already gets its full name plus ``.jpg``.

    Args:
        names: of the pictures, in their order.
        others: of folders beside them, and of files that get no output of another name.

    Returns:
        Output by source, no two alike, even where case does not count.
    """
    names = list(names)
    plain = {
        name: name if _suffix(name) in JPEG_SUFFIXES else str(PurePath(name).with_suffix(".jpg"))
        for name in names
    }
    claims = Counter(output.casefold() for output in plain.values())
    taken = {name.casefold() for name in (*names, *others)}
    keeps = {
        name: output == name or (claims[output.casefold()] == 1 and output.casefold() not in taken)
        for name, output in plain.items()
    }
    taken.update(claims)
    return {name: plain[name] if keeps[name] else _free_name(name, taken) for name in names}


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()


def _free_name(name: str, taken: set[str]) -> str:
    output = name + ".jpg"
    while output.casefold() in taken:
        output += ".jpg"
    taken.add(output.casefold())
    return output
