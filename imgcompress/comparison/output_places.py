"""Where a comparison may write: over no picture, nor where pictures are looked for."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from imgcompress.comparison.pairing import Pair
from imgcompress.errors import UsageError


def check_places(outputs: Mapping[str, Path | None], pairs: Iterable[Pair], sides: tuple[Path, Path]) -> None:
    """Looks whether what is written would replace a picture, or another output.

    Args:
        outputs: options with the places that they name, if any. That of ``--heatmap`` may be a folder.
        pairs: the pictures.
        sides: the two files or folders that are compared.

    Raises:
        UsageError: one does, or drawings would be taken for pictures the next time.
    """
    heatmap = outputs["--heatmap"]
    if heatmap is not None:
        _check_heatmap(heatmap, sides)
    files = (file for pair in pairs for file in (pair.reference, pair.test) if file is not None)
    taken = dict.fromkeys(map(os.path.realpath, files), "one of the pictures")
    for option, path in outputs.items():
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise UsageError(f"{option}: {path} is {taken[place]}")
        taken[place] = f"what {option} names, too"


def _check_heatmap(heatmap: Path, sides: tuple[Path, Path]) -> None:
    place = Path(os.path.realpath(heatmap))  # unlike resolve(), no error where links go in a circle
    for folder in sides:
        if place == folder.resolve() or (folder.is_dir() and place.is_relative_to(folder.resolve())):
            raise UsageError(f"--heatmap: {heatmap} lies in {folder}, where the pictures are")
    if sides[1].is_dir() and heatmap.is_file():
        raise UsageError(f"--heatmap: {heatmap} is a file; of folders a folder of drawings is made")
