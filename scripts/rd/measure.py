"""One encoder on one picture: enough points within the range of scores, each judged by every metric."""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from rd.cache import Cache, Encoded, digest, key_of
from rd.encoders import JPEGLI_444, EncoderSpec
from rd.pictures import PictureFile, Pixels
from rd.qualities import next_qualities, refine
from rd.scores import SSIMULACRA2, Metric, metrics

MAIN = (60.0, 90.0)
"""SSIMULACRA2 of the points that count, with chroma at half resolution."""
HIGH = (85.0, 95.0)
"""The same for the comparison with jpegli at 4:4:4."""
MIN_POINTS = 6
_MAIN_START, _HIGH_START = (45, 75, 92), (90, 95)
"""First qualities: between them most pictures cover the range, on every encoder's scale."""
_MAIN_TARGETS = (61.0, 66.0, 71.0, 76.0, 81.0, 85.5, 89.3)
_HIGH_TARGETS = (85.7, 88.5, 91.5, 94.3)
_MAX_ROUNDS = 6


@dataclass(frozen=True)
class Task:
    """What a worker does.

    Attributes:
        picture, encoder: which pair.
        qualities: these and no others; None chooses them by SSIMULACRA2.
        vgg: whether the VGG distance is measured too.
        cache: where results are kept.
    """

    picture: PictureFile
    encoder: EncoderSpec
    qualities: tuple[int, ...] | None
    vgg: bool
    cache: Path

    @property
    def title(self) -> str:
        """For the line of progress."""
        return f"{self.picture.name}, {self.encoder.name}"


@dataclass(frozen=True)
class Point:
    """One file.

    Attributes:
        picture, encoder, quality: what it was made from.
        size: bytes.
        megapixels: of the picture.
        seconds: one encode.
        scores: by metric name, as the metric's authors print them; SSIMULACRA2 alone outside the ranges.
    """

    picture: str
    encoder: str
    quality: int
    size: int
    megapixels: float
    seconds: float
    scores: dict[str, float]


def one_thread() -> None:
    """Makes a worker use one core, so that encoders side by side are timed alike."""
    import torch

    torch.set_num_threads(1)


def prepare_workers(threads: int) -> None:
    """Sets the environment of the processes that this one starts, and of libraries not yet loaded here."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VIPS_CONCURRENCY"):
        os.environ[name] = str(threads)
    # glibc hands large arrays back to the system at once; getting them again took a fifth of the time.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 30))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 30))


def measure(task: Task) -> list[Point]:
    """Encodes, decodes and judges; everything found in the cache is taken from there.

    Returns:
        Points in ascending quality.
    """
    judges, _ = metrics(task.vgg)
    points: dict[int, Point] = {}

    def try_qualities(qualities: Sequence[int]) -> None:
        for quality in qualities:
            points[quality] = _point(task, quality, judges)

    if task.qualities is not None:
        try_qualities(task.qualities)
        return [points[quality] for quality in sorted(points)]
    only_high = task.encoder.name == JPEGLI_444
    windows: list[tuple[tuple[float, float], tuple[float, ...]]]
    windows = [(HIGH, _HIGH_TARGETS)] if only_high else [(MAIN, _MAIN_TARGETS)]
    if task.encoder.ours:
        windows.append((HIGH, _HIGH_TARGETS))
    try_qualities(_HIGH_START if only_high else _MAIN_START)
    for (low, high), targets in windows:
        for _ in range(_MAX_ROUNDS):
            new = next_qualities(_ssimulacra2(points), targets, low, high)
            if not new:
                break
            try_qualities(new)
        wanted = min(MIN_POINTS, len(targets))
        while sum(low <= score <= high for score in _ssimulacra2(points).values()) < wanted:
            new = refine(_ssimulacra2(points), low, high)
            if not new:
                break
            try_qualities(new)
    return [points[quality] for quality in sorted(points)]


def _ssimulacra2(points: dict[int, Point]) -> dict[int, float]:
    return {quality: point.scores[SSIMULACRA2] for quality, point in points.items()}


def _point(task: Task, quality: int, judges: Sequence[Metric]) -> Point:
    encoded = encode(task.picture, task.encoder, quality, task.cache)
    scores: dict[str, float] = {}
    for judge in judges:
        if judge.name == SSIMULACRA2 or MAIN[0] <= scores[SSIMULACRA2] <= HIGH[1]:
            scores[judge.name] = score(task.picture, encoded.data, judge, task.cache)
    return Point(
        task.picture.name,
        task.encoder.name,
        quality,
        len(encoded.data),
        task.picture.megapixels,
        encoded.seconds,
        scores,
    )


def score(picture: PictureFile, data: bytes, judge: Metric, cache: Path) -> float:
    """What a metric says of a file as Pillow decodes it, from the cache where it is there."""
    key = key_of(
        {
            "reference": picture.hash,
            "file": digest(data),
            "decoder": version("pillow"),
            "metric": judge.name,
            "version": judge.version,
        }
    )
    return Cache(cache).score(key, lambda: judge.measure(picture.pixels, _decode(data)))


def _decode(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def encode(picture: PictureFile, encoder: EncoderSpec, quality: int, cache: Path) -> Encoded:
    """The file of one quality, from the cache where it is."""
    key = key_of({"picture": picture.hash, "encoder": dict(encoder.identity), "quality": quality})
    return Cache(cache).encoded(key, lambda: _encoder(encoder)(picture.pixels, quality))


_built: dict[str, Callable[[Pixels, int], Encoded]] = {}


def _encoder(spec: EncoderSpec) -> Callable[[Pixels, int], Encoded]:
    """One a worker process."""
    if spec.name not in _built:
        _built[spec.name] = spec.build()
    return _built[spec.name]
