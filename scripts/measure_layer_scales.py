"""Prints the constants of imgcompress/perception/normalization.py: measure_layer_scales.py FOLDER.

FOLDER holds tid2013_jpeg.csv (columns name and ref) with the pictures in ref/ and jpeg/. Takes about ten
minutes on one idle core.
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from PIL import Image

from imgcompress.config import Normalization
from imgcompress.perception.distance import prepare
from imgcompress.perception.normalization import channel_means
from imgcompress.perception.vgg import Taps, VggFeatures, load_trunk
from imgcompress.resources import default_trunk


def main(folder: Path) -> None:
    trunk = load_trunk(default_trunk())
    names = sorted({row["ref"] for row in rows(folder)})
    print(
        "energies", numbers(np.mean([energies(trunk(picture(folder / "ref" / name))) for name in names], 0))
    )
    for shrink in (1, 2):
        for form, scales in layer_scales(folder, trunk, names, shrink).items():
            print(form, shrink, numbers(scales))


@torch.inference_mode()
def layer_scales(
    folder: Path, trunk: VggFeatures, references: Iterable[str], shrink: int
) -> dict[Normalization, np.ndarray]:
    """Means over the JPEGs of these references of each layer's summed channel means, by form."""
    measured: dict[Normalization, list[list[float]]] = {form: [] for form in get_args(Normalization)}
    for reference in references:
        before = trunk(prepare(picture(folder / "ref" / reference), shrink))
        for path in jpegs(folder, reference):
            after = trunk(prepare(picture(path), shrink))
            for form, values in measured.items():
                values.append([means.sum().item() for means in channel_means(before, after, form)])
    return {form: np.mean(values, axis=0) for form, values in measured.items()}


def energies(taps: Taps) -> list[float]:
    return [tap.square().sum(1).mean().item() for tap in taps]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "tid2013_jpeg.csv").open(encoding="utf-8") as table:
        return list(csv.DictReader(table))


def jpegs(folder: Path, reference: str) -> Iterator[Path]:
    return (folder / "jpeg" / f"{row['name']}.jpg" for row in rows(folder) if row["ref"] == reference)


def picture(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255


def numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
