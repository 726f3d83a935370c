"""What the no-reference score learns from: photographs damaged in known ways, and SSIMULACRA2 of each.

Every sample is a JPEG file (or the undamaged crop) that was made of a crop whose original is at hand:

    ladder          one compression: libjpeg-turbo at 4:2:0 and 4:4:4, and other encoders
    saved_again     compressed, decoded and saved at quality 95 on the same grid
    cut_and_saved   the same, but a few rows and columns were cut off before, which shifts the grid
    recompressed    compressed, possibly cut, compressed again at another quality
    shrunk          compressed, shrunk, compressed; its original is shrunk alike
    resized         shrunk and enlarged again, then compressed
    blurred, noisy  then compressed
    untouched       nothing at all
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imgcompress.errors import UsageError
from imgcompress.perception.ssimulacra2 import ssimulacra2
from train.ladders import BLUR, NOISE, RESIZE, Pixels

Encode = Callable[[Pixels, int], bytes]
SECOND_QUALITY = 95
_COARSEST, _FINEST = 8, 98
_JPEG = {".jpg", ".jpeg"}


@dataclass(frozen=True)
class Recipe:
    """How many samples are made of each scene; every photograph gives five, of its quarters and at half size.

    Attributes:
        crop: greatest width and height of a scene, pixels.
        shrink: photographs that are JPEGs are reduced by it first: nothing of their compression is left then.
        halved, full, others, twice, again, before: how many qualities are drawn for libjpeg-turbo 4:2:0,
            4:4:4, each other encoder, what is saved a second time at 95, what is recompressed or shrunk, and
            each of resized, blurred and noisy. The qualities of a kind are spread over its range.
        seed: of everything that is drawn; each picture's draws are its own.
    """

    crop: tuple[int, int] = (384, 256)
    shrink: int = 3
    halved: int = 5
    full: int = 3
    others: int = 2
    twice: int = 3
    again: int = 2
    before: int = 2
    seed: int = 1


@dataclass(frozen=True)
class Sample:
    """A damaged picture.

    Attributes:
        file: relative to the folder of samples.
        picture: name of its photograph; folds never share one.
        kind: of damage, as above.
        quality: number of the first compression; 100 for none.
        score: SSIMULACRA2 against the original.
        first_score: the same before the picture was compressed again.
    """

    file: str
    picture: str
    kind: str
    quality: int
    score: float
    first_score: float


@dataclass(frozen=True)
class _Damaged:
    kind: str
    name: str
    quality: int
    data: bytes
    original: Pixels
    first: tuple[Pixels, Pixels] | None = None
    """The first compression and its original, where there is a second one."""


def make_samples(photo: Path, folder: Path, encoders: Mapping[str, Encode], recipe: Recipe) -> list[Sample]:
    """Makes a photograph's samples, or finds those that an earlier call with the same arguments has made.

    Args:
        photo: its name without suffix becomes the picture's.
        folder: gets a folder a picture.
        encoders: beside libjpeg-turbo, by name: RGB pixels and a quality to a JPEG file.
        recipe: how many of what.

    Raises:
        UsageError: the photograph can't be read.
    """
    recipe_name = hashlib.sha256(repr((recipe, sorted(encoders))).encode()).hexdigest()[:12]
    own = folder / photo.stem
    ledger = own / f"samples-{recipe_name}.csv"
    if ledger.exists():
        with ledger.open(newline="", encoding="utf-8") as stream:
            return [_from_row(row) for row in csv.DictReader(stream)]
    own.mkdir(parents=True, exist_ok=True)
    samples = []
    for scene, original in _scenes(photo, recipe):
        for damaged in _damage(original, encoders, recipe, _generator(recipe, photo.stem, scene)):
            suffix = "jpg" if damaged.data.startswith(b"\xff\xd8") else "png"
            file = own / f"{scene}-{damaged.kind}-{damaged.name}.{suffix}"
            file.write_bytes(damaged.data)
            score = _score(damaged.original, _decoded(damaged.data))
            first_score = score if damaged.first is None else _score(*reversed(damaged.first))
            samples.append(
                Sample(
                    f"{photo.stem}/{file.name}",
                    photo.stem,
                    damaged.kind,
                    damaged.quality,
                    round(score, 3),
                    round(first_score, 3),
                )
            )
    unfinished = ledger.with_suffix(".part")
    with unfinished.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(Sample.__annotations__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(sample) for sample in samples)
    unfinished.replace(ledger)
    return samples


def _from_row(row: dict[str, str]) -> Sample:
    return Sample(
        row["file"],
        row["picture"],
        row["kind"],
        int(row["quality"]),
        float(row["score"]),
        float(row["first_score"]),
    )


def _scenes(photo: Path, recipe: Recipe) -> Iterator[tuple[str, Pixels]]:
    """A crop of each quarter of the photograph, and one of the whole at half size."""
    try:
        with Image.open(photo) as opened:
            image = opened.convert("RGB")
    except OSError as error:
        raise UsageError(f"{photo}: cannot read the photograph: {error}") from error
    if photo.suffix.lower() in _JPEG:
        image = _resized(image, 1 / recipe.shrink)
    width, height = image.size
    parts = [
        (f"{row}{column}", image.crop((left, top, left + width // 2, top + height // 2)))
        for row, top in (("upper", 0), ("lower", height // 2))
        for column, left in (("left", 0), ("right", width // 2))
    ]
    for scene, part in (*parts, ("half", _resized(image, 0.5))):
        generator = _generator(recipe, photo.stem, scene, "crop")
        size = [min(wanted, there) for wanted, there in zip(recipe.crop, part.size, strict=True)]
        left, top = (
            int(generator.integers(there - taken + 1)) for taken, there in zip(size, part.size, strict=True)
        )
        yield scene, np.array(part.crop((left, top, left + size[0], top + size[1])))


def _damage(
    original: Pixels, encoders: Mapping[str, Encode], recipe: Recipe, generator: np.random.Generator
) -> Iterator[_Damaged]:
    yield _Damaged("untouched", "0", 100, _png(original), original)
    for name, encode, count in (
        ("420", _libjpeg_halved, recipe.halved),
        ("444", _libjpeg_full, recipe.full),
        *((name, encode, recipe.others) for name, encode in encoders.items()),
    ):
        for quality in _drawn(generator, count):
            yield _Damaged("ladder", f"{name}-{quality}", quality, encode(original, quality), original)
    for quality in _drawn(generator, recipe.twice, finest=92):
        encode = _either(generator)
        first = _decoded(encode(original, quality))
        for kind, shift in (("saved_again", (0, 0)), ("cut_and_saved", _shift(generator))):
            yield _twice(kind, (first, original), (quality, SECOND_QUALITY), encode, shift)
    for quality in _drawn(generator, recipe.again):
        encode, second = _either(generator), int(generator.integers(40, 99))
        shift = _shift(generator) if generator.random() < 0.5 else (0, 0)
        first = _decoded(encode(original, quality))
        yield _twice("recompressed", (first, original), (quality, second), encode, shift)
    for quality in _drawn(generator, recipe.again):
        factor, second = generator.uniform(0.4, 0.9), int(generator.integers(40, 99))
        encode = _either(generator)
        first = _decoded(encode(original, quality))
        small_first, small = (
            np.array(_resized(Image.fromarray(pixels), factor)) for pixels in (first, original)
        )
        data = encode(small_first, second)
        yield _Damaged("shrunk", f"{quality}-{second}", quality, data, small, (first, original))
    for kind, ladder in (("resized", RESIZE), ("blurred", BLUR), ("noisy", NOISE)):
        for quality in _drawn(generator, recipe.before):
            step = float(generator.choice(ladder.steps))
            worse = _decoded(ladder.damage(original, step, generator))
            yield _Damaged(kind, f"{step:g}-{quality}", quality, _either(generator)(worse, quality), original)


def _twice(
    kind: str,
    first: tuple[Pixels, Pixels],
    qualities: tuple[int, int],
    encode: Encode,
    shift: tuple[int, int],
) -> _Damaged:
    compressed, original = (pixels[shift[0] :, shift[1] :] for pixels in first)
    name = "-".join(map(str, (*qualities, *shift)))
    return _Damaged(kind, name, qualities[0], encode(compressed, qualities[1]), original, first)


def _drawn(generator: np.random.Generator, count: int, finest: int = _FINEST) -> list[int]:
    """One quality of each of so many equal parts of the range."""
    edges = np.linspace(_COARSEST, finest, count + 1)
    return [round(float(value)) for value in generator.uniform(edges[:-1], edges[1:])]


def _shift(generator: np.random.Generator) -> tuple[int, int]:
    """Rows and columns to cut off: any of the 63 other grids."""
    place = int(generator.integers(1, 64))
    return place // 8, place % 8


def _either(generator: np.random.Generator) -> Encode:
    return _libjpeg_halved if generator.random() < 0.5 else _libjpeg_full


def _libjpeg_halved(pixels: Pixels, quality: int) -> bytes:
    return _libjpeg(pixels, quality, "4:2:0")


def _libjpeg_full(pixels: Pixels, quality: int) -> bytes:
    return _libjpeg(pixels, quality, "4:4:4")


def _libjpeg(pixels: Pixels, quality: int, subsampling: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def _png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _decoded(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def _resized(image: Image.Image, factor: float) -> Image.Image:
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS)


def _score(original: Pixels, damaged: Pixels) -> float:
    pair = torch.from_numpy(np.stack((original, damaged))).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return float(ssimulacra2(pair[:1], pair[1:]))


def _generator(recipe: Recipe, *names: str) -> np.random.Generator:
    return np.random.default_rng([recipe.seed, *"/".join(names).encode()])
