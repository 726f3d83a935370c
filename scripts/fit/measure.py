"""True files at a few reference steps, with other shapes of the tables, under every judge."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rd.bdrate import Curve, Summary, bd_rate, summarize
from rd.cache import Cache, Encoded, key_of
from rd.comparison import curve_through
from rd.encoders import EncoderSpec
from rd.measure import score
from rd.pictures import PictureFile
from rd.scores import Metric

from imgcompress.encode import Encoder
from imgcompress.formats.jpeg.lossless import pack_progressive
from imgcompress.formats.jpeg.markers import jfif
from imgcompress.image.picture import Picture
from imgcompress.layout import choose_layout
from imgcompress.quantization.tables import TableShape


@dataclass(frozen=True)
class ShapeTask:
    """What a worker does.

    Attributes:
        picture, label, shape: which picture, with which tables.
        spec: settings of our encoder.
        steps: reference steps.
        judges: scores to take.
        cache: where results are kept.
    """

    picture: PictureFile
    label: str
    shape: TableShape
    spec: EncoderSpec
    steps: tuple[float, ...]
    judges: tuple[Metric, ...]
    cache: Path

    @property
    def title(self) -> str:
        """For the line of progress."""
        return f"{self.picture.name}, {self.label}"


@dataclass(frozen=True)
class ShapePoint:
    """One file: its bytes and its scores by metric name."""

    picture: str
    label: str
    size: int
    scores: dict[str, float]


def measure(task: ShapeTask) -> list[ShapePoint]:
    """Encodes and judges; everything found in the cache is taken from there."""
    points = []
    for step in task.steps:
        key = key_of(
            {
                "picture": task.picture.hash,
                "encoder": dict(task.spec.identity),
                "shape": task.shape.numbers,
                "step": step,
            }
        )
        data = Cache(task.cache).encoded(key, partial(_encode, task, step)).data
        scores = {judge.name: score(task.picture, data, judge, task.cache) for judge in task.judges}
        points.append(ShapePoint(task.picture.name, task.label, len(data), scores))
    return points


def _encode(task: ShapeTask, step: float) -> Encoded:
    config = task.spec.config
    assert config is not None
    source = Picture(torch.from_numpy(task.picture.pixels).permute(2, 0, 1).contiguous(), "png")
    encoder = Encoder(config, torch.device("cpu"), task.shape)
    started = time.perf_counter()
    prepared = encoder.prepare([source], choose_layout(source, config.subsampling, 0.0))
    file = encoder.write(prepared, encoder.quantize(prepared, [step]), [jfif(None)])[0]
    data = pack_progressive(file)
    return Encoded(data, time.perf_counter() - started)


def rates(points: Sequence[ShapePoint], label: str, base: str, metric: Metric) -> Summary:
    """BD-rates of one shape against another, over pictures; every file counts."""
    pictures = list(dict.fromkeys(point.picture for point in points))
    pairs = [[_curve(points, picture, which, metric) for which in (label, base)] for picture in pictures]
    return summarize([bd_rate(*pair) for pair in pairs])


def _curve(points: Sequence[ShapePoint], picture: str, label: str, metric: Metric) -> Curve:
    own = (point for point in points if (point.picture, point.label) == (picture, label))
    return curve_through(own, metric)


def markdown(points: Sequence[ShapePoint], base: str, judges: Sequence[Metric]) -> str:
    """A row a shape: BD-rate against the base in percent, its bootstrap interval over pictures."""
    labels = [label for label in dict.fromkeys(point.label for point in points) if label != base]
    lines = [
        f"| against {base} | {' | '.join(judge.title for judge in judges)} |",
        "|---" * (1 + len(judges)) + "|",
    ]
    for label in labels:
        cells = [_cell(rates(points, label, base, judge)) for judge in judges]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(summary: Summary) -> str:
    if summary.count == 0:
        return "-"
    return f"{summary.mean:+.2f} [{summary.low:+.2f}, {summary.high:+.2f}]"
