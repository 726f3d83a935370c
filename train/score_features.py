"""Features of files, computed once."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imgcompress.errors import UsageError
from imgcompress.forensics.features import GROUPS, NAMES, features
from imgcompress.shapes import Float


def file_features(files: Sequence[Path], cache: Path) -> Float[Tensor, "files features"]:
    """The features of every file's pixels, in the order of ``features.NAMES``.

    Args:
        files: 8-bit pictures.
        cache: a folder; what was computed once is kept there until files or features change.

    Raises:
        UsageError: a file can't be read.
    """
    cache.mkdir(parents=True, exist_ok=True)
    code = _code_digest()
    return torch.stack([_features(file, cache, code) for file in files])


def _features(file: Path, cache: Path, code: str) -> Float[Tensor, "features"]:
    try:
        data = file.read_bytes()
        kept = cache / f"{hashlib.sha256(code.encode() + data).hexdigest()[:32]}.npy"
        if kept.exists():
            return torch.from_numpy(np.load(kept))
        with Image.open(file) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    except OSError as error:
        raise UsageError(f"{file}: cannot read the picture: {error}") from error
    with torch.inference_mode():
        found = features(pixels[None])[0]
    unfinished = kept.with_suffix(".part")
    with unfinished.open("wb") as stream:
        np.save(stream, found.numpy())
    unfinished.replace(kept)
    return found


def _code_digest() -> str:
    """Of the source of all groups: features computed by other code are not taken."""
    state = hashlib.sha256(repr(NAMES).encode())
    for _, function in GROUPS:
        path = sys.modules[function.__module__].__file__
        assert path is not None
        state.update(Path(path).read_bytes())
    return state.hexdigest()
