"""Prints how bad the worst window of honest encodes is: fit_profiles.py FOLDER... [OPTIONS].

Photographs are encoded by libraries that know nothing of windows. Those whose SSIMULACRA2 over the whole
picture is at a profile's bound, or up to --width above it, are what the profile is there to let pass: the
bound of its worst window is the first percentile of theirs. The same table of photographs that it was not
fitted on says how many of such encodes it then refuses.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pillow_avif  # noqa: F401
import torch
from make_pairs import PHOTOS
from PIL import Image
from rd.options import size
from rd.pictures import Pixels

from imgcompress.comparison.profiles import load_profile
from imgcompress.config import Config
from imgcompress.image.picture import Decoded
from imgcompress.measure import Measure

PROFILES = ("visually-lossless", "high", "medium")
SETTINGS = [
    ("JPEG", {"quality": quality, "subsampling": subsampling})
    for quality in (20, 30, 40, 50, 60, 70, 80, 85, 90, 94, 97)
    for subsampling in (0, 2)
]
SETTINGS += [("WEBP", {"quality": quality}) for quality in (20, 40, 60, 75, 85, 92, 97)]
SETTINGS += [("AVIF", {"quality": quality, "speed": 8}) for quality in (30, 45, 60, 70, 80, 90)]


def main(words: Sequence[str] | None = None) -> None:
    options = parse(words)
    torch.set_num_threads(1)
    measure = Measure(["ssimulacra2"], Config(), torch.device("cpu"))
    found: list[tuple[float, float]] = []
    for folder in options.folders:
        for path in sorted(p for p in folder.glob("*") if p.suffix.lower() in PHOTOS)[: options.limit]:
            original = crop(path, options.crop)
            results = list(encoded(original))
            originals = [Decoded(planes(original))] * len(results)
            scores = measure.scores(originals, results)
            maps = measure.windows(["ssimulacra2"], originals, results)
            found += [
                (score["ssimulacra2"], float(windows["ssimulacra2"].values.min()))
                for score, windows in zip(scores, maps, strict=True)
            ]
            print(path.name, file=sys.stderr)
    print(f"    scripts/fit_profiles {' '.join(words or sys.argv[1:])}\n")
    print("\n".join(table(np.array(found), options.width)))


def crop(path: Path, wanted: tuple[int, int] | None) -> Pixels:
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    if wanted is None:
        return pixels
    width, height = wanted
    top, left = max(0, (pixels.shape[0] - height) // 2), max(0, (pixels.shape[1] - width) // 2)
    return pixels[top : top + height, left : left + width]


def planes(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def encoded(pixels: Pixels) -> Iterator[Decoded]:
    for form, settings in SETTINGS:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form, **settings)
        with Image.open(file) as image:
            yield Decoded(planes(np.array(image.convert("RGB"))))


def table(found: np.ndarray, width: float) -> list[str]:
    """One line a profile: its bounds, and of encodes that just pass the first one their worst windows."""
    lines = ["| profile | whole picture | encodes | worst window: 1 % | 5 % | median | its bound | refuses |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in PROFILES:
        whole, local = (criterion.bound for criterion in load_profile(name))
        worst = found[(found[:, 0] >= whole) & (found[:, 0] < whole + width), 1]
        if not len(worst):
            lines.append(f"| {name} | {whole:g} | 0 | | | | {local:g} | |")
            continue
        quantiles = " | ".join(f"{value:.1f}" for value in np.percentile(worst, (1, 5, 50)))
        refused = 100 * float((worst < local).mean())
        lines.append(f"| {name} | {whole:g} | {len(worst)} | {quantiles} | {local:g} | {refused:.1f} % |")
    return lines


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("folders", type=Path, nargs="+", help="lossless photographs")
    parser.add_argument("--crop", type=size, help="WIDTHxHEIGHT from the middle")
    parser.add_argument("--limit", type=int, help="photographs of each folder")
    parser.add_argument("--width", type=float, default=6.0, help="how far above the bound, in points")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
