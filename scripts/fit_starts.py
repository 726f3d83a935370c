"""Prints the constants of imgcompress/backends/start.py: fit_starts.py FOLDER ... [--crop WxH].

For each picture (a large one gives several crops) and format, the scores at a row of nominal scores say how
far from a target the nominal score that hits it is. Least squares on the picture's statistics; what is
printed beside the constants is left by fits without the picture. The two statistics were chosen among eight
(three bands, mean and spread of the blocks' energy, brightness, chroma) by the same figures.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bench_rd import run
from rd.options import size

from imgcompress.backends.start import place_of, statistics_of
from imgcompress.config import AvifConfig, WebpConfig
from imgcompress.formats.avif import AvifCodec
from imgcompress.formats.codec import Codec
from imgcompress.formats.webp import WebpCodec
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture
from imgcompress.perception.ssimulacra2 import ssimulacra2

CODECS: dict[str, Codec] = {"webp": WebpCodec(WebpConfig()), "avif": AvifCodec(AvifConfig())}
NOMINAL = (35.0, 45.0, 55.0, 62.0, 69.0, 75.0, 80.0, 85.0, 89.0, 92.0)
TARGETS = (60.0, 70.0, 75.0, 80.0, 85.0)
CROPS = 4
"""From one large picture at most."""


@dataclass(frozen=True)
class Task:
    """What a worker does: one crop in one format."""

    name: str
    picture: Picture
    form: str

    @property
    def title(self) -> str:
        """For the line of progress."""
        return f"{self.name}, {self.form}"


@dataclass(frozen=True)
class Row:
    """What was found of a crop."""

    name: str
    form: str
    statistics: tuple[float, float]
    shift: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--crop", type=size, default=(768, 512), metavar="WxH")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    options = parser.parse_args()
    tasks = [
        Task(name, picture, form)
        for form in CODECS
        for folder in options.folders
        for name, picture in pictures(folder, *options.crop)
    ]
    rows = run(measure, tasks, options.jobs)
    for form in CODECS:
        own = [row for row in rows if row.form == form and not np.isnan(row.shift)]
        constants, left_out = fit(own)
        before = np.array([row.shift for row in own])
        print(f"{form}: {len(own)} crops; {spread(before - before.mean())} without, {spread(left_out)} with")
        print(f'    "{form}": ({", ".join(f"{value:.2f}" for value in constants)}),', flush=True)


def spread(shifts: np.ndarray) -> str:
    return f"root of mean square {np.sqrt((shifts**2).mean()):.2f}"


def pictures(folder: Path, width: int, height: int) -> Iterator[tuple[str, Picture]]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".png", ".jpg"):
            continue
        whole = read_picture(path.read_bytes())
        across, down = whole.width // width, whole.height // height
        places = [(x, y) for y in range(down) for x in range(across)] or [(0, 0)]
        for x, y in places[:: max(1, len(places) // CROPS)][:CROPS]:
            pixels = whole.pixels[:, y * height : (y + 1) * height, x * width : (x + 1) * width]
            yield path.name, Picture(pixels.contiguous(), "png")


@torch.inference_mode()
def measure(task: Task) -> list[Row]:
    """How far from the targets' places the nominal scores that hit them are; NaN for no target."""
    codec, scores = CODECS[task.form], []
    for nominal in NOMINAL:
        data = codec.encode(task.picture, codec.quality_of_score(nominal), codec.samplings[0], None)
        scores.append(ssimulacra2(task.picture.pixels[None], codec.decode(data).pixels[None]).item())
    rising = np.maximum.accumulate(scores)
    shifts = [
        place_of(float(np.interp(target, rising, NOMINAL))) - place_of(target)
        for target in TARGETS
        if rising[0] < target < rising[-1]
    ]
    shift = float(np.mean(shifts)) if shifts else float("nan")
    return [Row(task.name, task.form, statistics_of(task.picture), shift)]


def fit(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """The constants, and what they leave of the shifts of pictures that they were not fitted on."""
    design = np.array([(1.0, *row.statistics) for row in rows])
    shifts = np.array([row.shift for row in rows])
    of = np.array([row.name for row in rows])
    left_out = np.empty_like(shifts)
    for name in dict.fromkeys(of):
        held = of == name
        left_out[held] = shifts[held] - design[held] @ solve(design[~held], shifts[~held])
    return solve(design, shifts), left_out


def solve(design: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.linalg.lstsq(design, shifts, rcond=None)[0]
    return result


if __name__ == "__main__":
    main()
