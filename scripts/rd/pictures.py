"""The pictures of a benchmark: lossless files of a folder, as RGB arrays with a hash of their pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rd.cache import digest

Pixels = NDArray[np.uint8]
LOSSLESS = frozenset({".png", ".ppm", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class PictureFile:
    """One picture.

    Attributes:
        path: its file.
        crop: width and height cut from the middle; None takes all of it.
    """

    path: Path
    crop: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Short enough for a table."""
        return self.path.stem[:12]

    @cached_property
    def pixels(self) -> Pixels:
        """Height, width, RGB, 0..255."""
        with Image.open(self.path) as image:
            rgb = image.convert("RGB")
        if self.crop is not None:
            width, height = (min(a, b) for a, b in zip(self.crop, rgb.size, strict=True))
            left, top = (rgb.width - width) // 2, (rgb.height - height) // 2
            rgb = rgb.crop((left, top, left + width, top + height))
        return np.array(rgb)

    @cached_property
    def hash(self) -> str:
        """Of size and pixels, so that a copy under another name is the same picture."""
        return digest(repr(self.pixels.shape).encode(), self.pixels.tobytes())

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return float(self.pixels.shape[0] * self.pixels.shape[1] / 1e6)


def list_pictures(folder: Path, crop: tuple[int, int] | None, limit: int | None) -> list[PictureFile]:
    """The lossless pictures directly in a folder, sorted by name.

    Raises:
        SystemExit: there are none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in LOSSLESS)
    if not paths:
        raise SystemExit(f"{folder}: no lossless pictures ({', '.join(sorted(LOSSLESS))})")
    return [PictureFile(path, crop) for path in paths[:limit]]


def named(pictures: Sequence[PictureFile], names: Sequence[str] | None) -> list[PictureFile]:
    """The pictures of these names (their files' without suffix), in this order; None for all.

    Raises:
        SystemExit: there is no such picture.
    """
    if names is None:
        return list(pictures)
    by_name = {picture.path.stem: picture for picture in pictures}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise SystemExit(f"no such picture: {', '.join(unknown)}")
    return [by_name[name] for name in names]
