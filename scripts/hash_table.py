"""Prints how well perceptual hashes tell copies from other pictures: hash_table.py FOLDER... [OPTIONS].

Of each photograph of the folders, shrunk to --longest, copies are made: recompressed, resized, lightly
filtered, and with hues rotated at constant luma. The tables say how far copies are from their photographs,
how far different photographs (and crops of them, by how much there is in them) are from each other, and which
rotated hues are told by the colors.
"""

import argparse
import io
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import cos, radians, sin
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image, ImageFilter

from imgcompress.dataset.named_files import named_entries
from imgcompress.errors import UsageError
from imgcompress.hashing.perceptual_hash import (
    COLOR_MATCH,
    LEAST_QUALITY,
    LUMA_MATCH,
    PerceptualHash,
    color_distance,
    hash_batch,
    luma_distance,
)
from imgcompress.hashing.thumbnail import thumbnails
from imgcompress.image.color import rgb_to_ycbcr, ycbcr_to_rgb
from imgcompress.image.decoded import planes

ROTATION = 30
FILTERS = ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS")
CROP = 192
EDGES = (0, 1, 2, 5, LEAST_QUALITY, 20, 50, 101)
DISTANCES = (LUMA_MATCH, 40, 60, 80, 90, 100, 110)


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph and what was made of it.

    Attributes:
        name: its file's.
        hash: its own.
        color: root mean square of Cb and Cr over the thumbnail, levels of 0..255.
        copies: kind of copy to hashes.
        rotated: with hues rotated either way.
        crops: of pieces of it.
    """

    name: str
    hash: PerceptualHash
    color: float
    copies: dict[str, list[PerceptualHash]]
    rotated: list[PerceptualHash]
    crops: list[PerceptualHash]


def photo_of(path: Path, longest: int, crops: int) -> Photo:
    with Image.open(path) as file:
        image = file.convert("RGB")
    whole = tensor(image)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    small = thumbnails(tensor(image)[None])
    chroma = rgb_to_ycbcr(small * 255)[:, 1:] - 128
    copies = defaultdict(list)
    for kind, copy in copies_of(image):
        copies[kind].append(hashed(copy))
    rotated = [hashed(with_hues_rotated(image, degrees)) for degrees in (ROTATION, -ROTATION)]
    color = float(chroma.square().sum(1).mean().sqrt())
    return Photo(path.stem, hashed(image), color, copies, rotated, list(crop_hashes(whole, crops)))


def copies_of(image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    for quality in (30, 40, 50, 60, 75, 85, 95):
        yield "JPEG 4:2:0, quality 30..95", coded(image, "JPEG", quality=quality)
    for quality in (30, 75):
        yield "JPEG 4:4:4, quality 30, 75", coded(image, "JPEG", quality=quality, subsampling=0)
    for quality in (30, 60, 90):
        yield "WebP, quality 30..90", coded(image, "WEBP", quality=quality)
    for quality in (30, 60, 85):
        yield "AVIF, quality 30..85", coded(image, "AVIF", quality=quality, speed=8)
    for factor in (0.5, 0.7, 0.9, 1.3, 2.0):
        for name in FILTERS:
            size = (round(image.width * factor), round(image.height * factor))
            kind = f"resized x{factor}, {', '.join(FILTERS).lower()}"
            yield kind, image.resize(size, Image.Resampling[name])
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    yield "half the size, then JPEG 30", coded(half, "JPEG", quality=30)
    for radius in (1, 2):
        yield "blurred, sigma 1, 2", image.filter(ImageFilter.GaussianBlur(radius))
    yield "sharpened, 100 % of radius 2", image.filter(ImageFilter.UnsharpMask(2, 100, 0))
    noise = np.random.default_rng(1).normal(0, 8 / 255, (image.height, image.width, 3))
    yield "noise, sigma 8", changed(image, lambda values: values + noise)
    for change in (0.85, 1.15):
        yield "gamma 0.85, 1.15", changed(image, lambda values, change=change: values**change)
        yield (
            "contrast 0.85, 1.15",
            changed(image, lambda values, change=change: (values - 0.5) * change + 0.5),
        )
        yield "brightness -15, +15", changed(image, lambda values, change=change: values + (change - 1) * 0.4)


def coded(image: Image.Image, form: str, **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return Image.open(buffer).convert("RGB")


def changed(image: Image.Image, change: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    values = change(np.asarray(image) / 255).clip(0, 1)
    return Image.fromarray((values * 255).round().astype(np.uint8))


def with_hues_rotated(image: Image.Image, degrees: float) -> Image.Image:
    """Cb and Cr turned around gray; luma stays but where a color leaves RGB."""
    luma, blue, red = rgb_to_ycbcr(tensor(image)[None].float()).unbind(1)
    cosine, sine = cos(radians(degrees)), sin(radians(degrees))
    blue, red = blue - 128, red - 128
    turned = torch.stack((luma, 128 + cosine * blue - sine * red, 128 + sine * blue + cosine * red), 1)
    pixels = ycbcr_to_rgb(turned)[0].clamp(0, 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def crop_hashes(pixels: torch.Tensor, count: int) -> Iterator[PerceptualHash]:
    generator = np.random.default_rng(3)
    height, width = pixels.shape[1:]
    side = min(CROP, height, width)
    for _ in range(count):
        top, left = generator.integers(height - side + 1), generator.integers(width - side + 1)
        yield from hash_batch(pixels[None, :, top : top + side, left : left + side])


def tensor(image: Image.Image) -> torch.Tensor:
    return planes(np.array(image))


def hashed(image: Image.Image) -> PerceptualHash:
    return hash_batch(tensor(image)[None])[0]


def copies_table(photos: list[Photo]) -> str:
    lines = [
        f"| copies | number | luma at most {LUMA_MATCH} | median | farthest | color at most {COLOR_MATCH} "
        "| median | farthest |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for photo in photos:
        for kind, copies in photo.copies.items():
            found[kind] += [
                (luma_distance(photo.hash, copy), color_distance(photo.hash, copy)) for copy in copies
            ]
    found["all"] = [pair for pairs in list(found.values()) for pair in pairs]
    for kind, pairs in found.items():
        lumas, colors = zip(*pairs, strict=True)
        cells = (kind, len(pairs), *summary(lumas, LUMA_MATCH), *summary(colors, COLOR_MATCH))
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def summary(distances: tuple[int, ...], most: int) -> tuple[str, str, int]:
    share = sum(distance <= most for distance in distances) / len(distances)
    return f"{100 * share:.2f} %", f"{median(distances):g}", max(distances)


def others_table(rows: dict[str, list[int]]) -> str:
    lines = [
        "| pairs of | number | nearest | " + " | ".join(f"<= {each}" for each in DISTANCES) + " |",
        "|---|---:|---:|" + "---:|" * len(DISTANCES),
    ]
    for kind, distances in rows.items():
        if distances:
            counts = [sum(each <= most for each in distances) for most in DISTANCES]
            cells = (kind, f"{len(distances):,}", min(distances), *counts)
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def distances_of_others(photos: list[Photo]) -> dict[str, list[int]]:
    """Luma distances of different photographs, and of crops of different ones by the lower quality."""
    rows = {"photographs": [luma_distance(a.hash, b.hash) for a, b in combinations(photos, 2)]}
    found: dict[int, list[int]] = defaultdict(list)
    for one, other in combinations(photos, 2):
        for first in one.crops:
            for second in other.crops:
                found[min(first.quality, second.quality)].append(luma_distance(first, second))
    for low, high in pairwise(EDGES):
        among = [distance for quality in range(low, high) for distance in found[quality]]
        rows[f"crops, lower quality {low}..{high - 1}"] = among
    return rows


def hue_table(photos: list[Photo]) -> str:
    lumas = [luma_distance(photo.hash, copy) for photo in photos for copy in photo.rotated]
    nearest = {photo: min(color_distance(photo.hash, copy) for copy in photo.rotated) for photo in photos}
    missed = [photo for photo in photos if nearest[photo] <= COLOR_MATCH]
    caught = [nearest[photo] for photo in photos if photo not in missed]
    names = "; ".join(f"{each.name} ({nearest[each]} bits, {each.color:.1f} levels)" for each in missed)
    return "\n".join(
        (
            "| hues rotated | luma, farthest | color, nearest of those caught | median | caught |",
            "|---|---:|---:|---:|---:|",
            f"| {ROTATION} degrees either way | {max(lumas)} | {min(caught, default='')} "
            f"| {median(nearest.values()):g} | {len(caught)} of {len(photos)} |",
            "",
            "Colors too weak to tell (bits; root mean square of Cb and Cr, of all photographs "
            f"{min(each.color for each in photos):.1f} to {max(each.color for each in photos):.1f} levels): "
            f"{names or 'none'}.",
        )
    )


def main(words: list[str] | None = None) -> None:
    options = parse(words)
    paths = [entry.source for entry in named_entries(options.folders)]
    photos = [photo_of(path, options.longest, options.crops) for path in paths]
    weak = [f"{photo.name} ({photo.hash.quality})" for photo in photos if photo.hash.quality < 50]
    print(
        f"    scripts/hash_table {' '.join(sys.argv[1:] if words is None else words)}\n\n"
        f"{len(photos)} photographs. Quality below 50: {', '.join(weak) or 'none'}.\n\n"
        f"{copies_table(photos)}\n\n{others_table(distances_of_others(photos))}\n\n{hue_table(photos)}"
    )


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="photographs")
    parser.add_argument("--longest", type=int, default=768, help="side that photographs are shrunk to (768)")
    parser.add_argument("--crops", type=int, default=60, help="of each photograph (60)")
    return parser.parse_args(words)


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
