"""A folder of many pictures, cut from few photographs; the same each time."""

import io
import json
import random
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path

from PIL import Image

KINDS = (
    ("png", {}),
    ("jpg", {"quality": 92}),
    ("webp", {"lossless": True}),
    ("tif", {}),
    ("jpg", {"quality": 60}),
)
PER_FOLDER = 50


def list_photos(folders: Sequence[Path]) -> list[Path]:
    """The photographs below some folders."""
    kinds = {".png", ".jpg", ".jpeg"}
    return sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in kinds)


def make_crops(
    photos: Sequence[Path], folder: Path, pictures: int, sides: tuple[int, int], *, labels: bool = True
) -> None:
    """Writes crops of several formats and sizes, in folders of 50, each with a label in a .json file.

    Args:
        photos: at least one.
        folder: is made.
        pictures: how many.
        sides: least and greatest length of a side in pixels.
        labels: whether there are labels.
    """
    loaded = [Image.open(path).convert("RGB") for path in photos]
    generator = random.Random(5)
    for number in islice(count(), pictures):
        photo = loaded[number % len(loaded)]
        width, height = (min(generator.randint(*sides), side) for side in photo.size)
        left, top = generator.randint(0, photo.width - width), generator.randint(0, photo.height - height)
        suffix, options = KINDS[number % len(KINDS)]
        name = folder / f"{number // PER_FOLDER:03}" / f"{number:06}.{suffix}"
        name.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        crop = photo.crop((left, top, left + width, top + height))
        crop.save(buffer, Image.registered_extensions()[f".{suffix}"], **options)
        name.write_bytes(buffer.getvalue())
        if labels:
            label = {"photo": photos[number % len(photos)].name, "left": left, "top": top}
            name.with_suffix(".json").write_text(json.dumps(label), encoding="utf-8")
