"""Ordered pairs that cost nobody's time, in the layout that ``judgments`` reads.

Of each photograph a crop is damaged along several ladders, each at neighboring steps from a drawn start.
Within a ladder the order is known: study ``selfmade-ladder``. Between ladders SSIMULACRA2 decides where its
scores are far apart: study ``selfmade-ssimulacra2``, apart from the first because it teaches another metric's
opinion.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imgcompress.errors import UsageError
from imgcompress.perception.ssimulacra2 import ssimulacra2
from train.judgments import PAIR_EXTRAS, PAIRS
from train.ladders import Ladder, Pixels

LADDER_STUDY, SSIMULACRA2_STUDY = "selfmade-ladder", "selfmade-ssimulacra2"
_SMALLEST_CROP = 16


@dataclass(frozen=True)
class Recipe:
    """How pairs are made.

    Attributes:
        crop: width and height of the pictures, pixels.
        longest: photographs whose longer side is above it are reduced to it before they are cropped.
        levels: steps of each ladder that a picture gets; a shorter ladder is taken whole.
        threshold: scores of SSIMULACRA2 that differ by less order nothing. A pair's weight is 0.5 there and
            grows with the difference up to 1.
        seed: of crops, steps and noise; each picture's are its own, whatever the other pictures are.
    """

    crop: tuple[int, int] = (384, 256)
    longest: int = 768
    levels: int = 3
    threshold: float = 10.0
    seed: int = 1

    def __post_init__(self) -> None:
        if min(self.crop) < _SMALLEST_CROP:
            raise UsageError(f"crop: expected at least 16 x 16 pixels, got {self.crop[0]} x {self.crop[1]}")
        if max(self.crop) > self.longest:
            raise UsageError(
                f"longest: expected no less than the crop's {max(self.crop)}, got {self.longest}"
            )
        if self.levels < 2:
            raise UsageError(f"levels: expected an integer >= 2, got {self.levels}")
        if not self.threshold > 0:
            raise UsageError(f"threshold: expected a number above 0, got {self.threshold:g}")


@dataclass(frozen=True)
class _Damaged:
    """A file made of a crop.

    Attributes:
        ladder: its place among the ladders.
        name: relative to the folder.
        pixels: as it is decoded.
    """

    ladder: int
    name: str
    pixels: Pixels


_Row = tuple[str, str, str, str, str, str, str]


def write_pairs(
    photos: Iterable[Path], folder: Path, ladders: Sequence[Ladder], recipe: Recipe
) -> list[Path]:
    """Makes pictures and the CSVs that order them; the same arguments give the same files.

    Args:
        photos: a photograph's name without suffix becomes the picture's, by which folds keep it together with
            what people judged of it.
        folder: where everything goes, each picture in a folder of its own; made if it is missing.
        ladders: kinds of damage.
        recipe: the rest.

    Returns:
        The CSVs, one a study; a study without pairs has none.

    Raises:
        UsageError: a photograph can't be read or is smaller than the crop, or two have one name.
    """
    rows: dict[str, list[_Row]] = {LADDER_STUDY: [], SSIMULACRA2_STUDY: []}
    known: dict[str, Path] = {}
    for photo in photos:
        picture = photo.stem
        if known.setdefault(picture, photo) != photo:
            raise UsageError(f"{photo}: {known[picture]} has the same name")
        crop = _crop(photo, recipe)
        (folder / picture).mkdir(parents=True, exist_ok=True)
        reference = f"{picture}/reference.png"
        Image.fromarray(crop).save(folder / reference)
        damaged = _damage(crop, picture, folder, ladders, recipe)
        scores = _scores(crop, damaged)
        for first, second in combinations(range(len(damaged)), 2):
            a, b = damaged[first], damaged[second]
            if np.array_equal(a.pixels, b.pixels):
                continue
            if a.ladder == b.ladder:
                study, preferred, weight = LADDER_STUDY, "a", 1.0
            else:
                gap = scores[first] - scores[second]
                if abs(gap) < recipe.threshold:
                    continue
                study, preferred = SSIMULACRA2_STUDY, "a" if gap > 0 else "b"
                weight = min(1.0, abs(gap) / (2 * recipe.threshold))
            rows[study].append((reference, a.name, b.name, preferred, f"{weight:.3f}", study, picture))
    return [_write(folder / f"{study}.csv", found) for study, found in rows.items() if found]


def _crop(photo: Path, recipe: Recipe) -> Pixels:
    try:
        with Image.open(photo) as opened:
            image = opened.convert("RGB")
    except OSError as error:
        raise UsageError(f"{photo}: cannot read the photograph: {error}") from error
    factor = recipe.longest / max(image.size)
    if factor < 1:
        image = image.resize(
            (round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS
        )
    width, height = recipe.crop
    if image.width < width or image.height < height:
        raise UsageError(
            f"{photo}: {image.width} x {image.height} pixels, at most {recipe.longest} along a side; "
            f"the crop needs {width} x {height}"
        )
    generator = _generator(recipe, photo.stem, "crop")
    left = int(generator.integers(image.width - width + 1))
    top = int(generator.integers(image.height - height + 1))
    return np.array(image.crop((left, top, left + width, top + height)))


def _damage(
    crop: Pixels, picture: str, folder: Path, ladders: Sequence[Ladder], recipe: Recipe
) -> list[_Damaged]:
    """Writes the test pictures; within a ladder the lightest is first."""
    damaged = []
    for number, ladder in enumerate(ladders):
        levels = min(recipe.levels, len(ladder.steps))
        start = int(
            _generator(recipe, picture, ladder.name, "start").integers(len(ladder.steps) - levels + 1)
        )
        for step in ladder.steps[start : start + levels]:
            data = ladder.damage(crop, step, _generator(recipe, picture, ladder.name))
            suffix = "jpg" if data.startswith(b"\xff\xd8") else "png"
            name = f"{picture}/{ladder.name}-{step:g}.{suffix}"
            (folder / name).write_bytes(data)
            with Image.open(io.BytesIO(data)) as image:
                damaged.append(_Damaged(number, name, np.array(image.convert("RGB"))))
    return damaged


def _scores(crop: Pixels, damaged: Sequence[_Damaged]) -> list[float]:
    """SSIMULACRA2 of each."""
    stacked = torch.from_numpy(np.stack([crop, *(file.pixels for file in damaged)]))
    batch = stacked.permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        scores: list[float] = ssimulacra2(batch[:1].expand(len(damaged), -1, -1, -1), batch[1:]).tolist()
    return scores


def _generator(recipe: Recipe, *names: str) -> np.random.Generator:
    return np.random.default_rng([recipe.seed, *"/".join(names).encode()])


def _write(path: Path, rows: Sequence[_Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((*PAIRS, *PAIR_EXTRAS))
        writer.writerows(rows)
    return path
