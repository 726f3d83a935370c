"""Prints the constants of imgcompress/backends/start.py: fit_starts.py FOLDER ... [--crop WxH].

For each picture (a large one gives several crops) and format, the scores at a row of nominal scores say how
far off the nominal score that hits a target is. Ridge regression on the picture's statistics; what is printed
beside the constants is left out of the fit picture by picture.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rd.options import size

from imgcompress.backends.start import MIDDLE, SPREAD, statistics_of
from imgcompress.config import AvifConfig, WebpConfig
from imgcompress.formats.avif import AvifCodec
from imgcompress.formats.codec import Codec
from imgcompress.formats.webp import WebpCodec
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture
from imgcompress.perception.ssimulacra2 import ssimulacra2

NOMINAL = (35.0, 45.0, 55.0, 62.0, 69.0, 75.0, 80.0, 85.0, 89.0, 92.0)
TARGETS = (50.0, 60.0, 70.0, 75.0, 80.0, 85.0)
CROPS = 4
"""From one large picture at most."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--crop", type=size, default=(768, 512), metavar="WxH")
    parser.add_argument("--ridge", type=float, default=1.0)
    options = parser.parse_args()
    crops = [crop for folder in options.folders for crop in pictures(folder, *options.crop)]
    names = [name for name, _ in crops]
    statistics = torch.stack([statistics_of(picture) for _, picture in crops]).double().numpy()
    for codec in (WebpCodec(WebpConfig()), AvifCodec(AvifConfig())):
        shifts = np.array([shifts_of(codec, picture) for _, picture in crops])
        constants, left_out = fit(statistics, shifts, names, options.ridge)
        print(f"{codec.format}: {len(crops)} crops, without: {spread(shifts)}, left over: {spread(left_out)}")
        print(f'    "{codec.format}": (')
        for row in constants:
            print(f"        ({', '.join(f'{value:.3f}' for value in row)}),")
        print("    ),", flush=True)


def spread(shifts: np.ndarray) -> str:
    known = shifts[~np.isnan(shifts)]
    return f"mean {known.mean():+.2f}, root of mean square {np.sqrt((known**2).mean()):.2f}"


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
def shifts_of(codec: Codec, picture: Picture) -> list[float]:
    """How far from each target the nominal score that hits it is; NaN where none does."""
    scores = []
    for nominal in NOMINAL:
        data = codec.encode(picture, codec.quality_of_score(nominal), codec.samplings[0], None)
        scores.append(ssimulacra2(picture.pixels[None], codec.decode(data).pixels[None]).item())
    rising = np.maximum.accumulate(scores)
    return [
        float(np.interp(target, rising, NOMINAL)) - target if rising[0] < target < rising[-1] else np.nan
        for target in TARGETS
    ]


def fit(
    statistics: np.ndarray, shifts: np.ndarray, names: list[str], ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """The constants, and what they leave of the shifts of pictures that they were not fitted on."""
    rows, values, groups = [], [], []
    for numbers, of_targets, name in zip(statistics, shifts, names, strict=True):
        for target, shift in zip(TARGETS, of_targets, strict=True):
            if not np.isnan(shift):
                rows.append(np.concatenate([numbers, numbers * (target - MIDDLE) / SPREAD]))
                values.append(shift)
                groups.append(name)
    design, wanted, of = np.array(rows), np.array(values), np.array(groups)
    left_out = np.empty_like(wanted)
    for name in dict.fromkeys(names):
        held = of == name
        left_out[held] = wanted[held] - design[held] @ solve(design[~held], wanted[~held], ridge)
    return solve(design, wanted, ridge).reshape(2, -1), left_out


def solve(design: np.ndarray, wanted: np.ndarray, ridge: float) -> np.ndarray:
    penalty = ridge * np.eye(design.shape[1])
    penalty[0, 0] = 0  # the mean shift is free
    result: np.ndarray = np.linalg.solve(design.T @ design + penalty, design.T @ wanted)
    return result


if __name__ == "__main__":
    main()
