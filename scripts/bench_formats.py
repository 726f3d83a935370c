"""WebP and AVIF at one score, beside Pillow's defaults and aom's best: bench_formats.py FOLDER [OPTIONS].

FOLDER holds lossless pictures. Ours is what the tool's own search ends with. A peer's bytes are those at
exactly our file's score: between the two neighboring qualities that enclose it log bytes are taken to be
linear in the score. The same once more at equal score of a metric that nobody here aims at.
"""

import argparse
import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pillow_avif  # noqa: F401
from bench_rd import run
from PIL import Image
from rd.at_target import bytes_at, judges
from rd.bdrate import summarize
from rd.measure import prepare_workers
from rd.pictures import PictureFile, Pixels, list_pictures
from rd.report import summary_cell
from rd.scores import Metric, metrics

from imgcompress.compressor import Compressor, Source
from imgcompress.config import load_config
from imgcompress.errors import UsageError
from imgcompress.image.read import read_picture
from imgcompress.targets import parse_target

ROOT = Path(__file__).resolve().parents[1]
PEERS: dict[str, tuple[tuple[str, dict[str, object]], ...]] = {
    "webp": (("Pillow's WebP", {}), ("WebP, method 6", {"method": 6})),
    "avif": (("Pillow's AVIF", {}), ("AVIF, aom speed 2", {"speed": 2, "max_threads": 1})),
}


@dataclass(frozen=True)
class Task:
    """What a worker does: one picture in one format."""

    picture: PictureFile
    form: str
    config: Path
    target: str
    has_peers: bool

    @property
    def title(self) -> str:
        """For the line of progress."""
        return f"{self.picture.name}, {self.form}"


@dataclass(frozen=True)
class Peer:
    """What a peer needs for our file's scores: bytes by metric, and seconds of one encode."""

    sizes: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Hit:
    """One of our files."""

    picture: str
    form: str
    size: int
    score: float
    encodes: int
    seconds: float
    peers: dict[str, Peer]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", default="ssimulacra2=80", metavar="ssimulacra2=SCORE")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--no-peers", action="store_true", help="only how our searches end")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    options = parser.parse_args()
    prepare_workers(1)
    config = ROOT / "configs" / "presets" / f"{options.preset}.yaml"
    pictures = list_pictures(options.folder, None, options.limit)
    tasks = [
        Task(picture, form, config, options.target, not options.no_peers)
        for picture in pictures
        for form in PEERS
    ]
    hits = run(measure, tasks, options.jobs)
    print(f"\n`scripts/bench formats {' '.join(sys.argv[1:])}`: {len(pictures)} pictures\n")
    print(searched(hits, options.target))
    for metric in () if options.no_peers else (judges()[1], *independent()):
        print(f"\nBytes of ours against the peer's at equal {metric.title}\n\n{compared(hits, metric)}")
    print()
    print(by_picture(hits))


def independent() -> list[Metric]:
    """Metrics that no search here aims at."""
    return [metric for metric in metrics(vgg=False)[0] if metric.name in ("butteraugli", "cvvdp")][:1]


def measure(task: Task) -> list[Hit]:
    """Our file, and the peers at its scores."""
    config = replace(
        load_config(task.config), format=task.form, target=task.target, device="cpu", verify="decode", jobs=1
    )
    pixels = task.picture.pixels
    png = io.BytesIO()
    # Stored without compression: a source smaller than the result would be kept as it is.
    Image.fromarray(pixels).save(png, "PNG", compress_level=0)
    source = Source(png.getvalue(), read_picture(png.getvalue()))
    compressor = Compressor(config)
    with ThreadPoolExecutor(1) as pool:
        started = time.perf_counter()
        [outcome] = compressor.compress([source], pool)
        seconds = time.perf_counter() - started
    assert outcome.data is not None and outcome.format == task.form, outcome.error
    used = (judges()[1], *(independent() if task.has_peers else ()))
    reached = {metric.name: metric.axis(metric.measure(pixels, shown(outcome.data))) for metric in used}
    peers = {
        name: measure_peer(pixels, task.form, settings, used, reached)
        for name, settings in (PEERS[task.form] if task.has_peers else ())
    }
    score = reached[used[0].name]
    encodes = outcome.settings["encodes"]
    return [Hit(task.picture.name, task.form, len(outcome.data), score, encodes, seconds, peers)]


def measure_peer(
    pixels: Pixels,
    form: str,
    settings: dict[str, object],
    used: Sequence[Metric],
    reached: dict[str, float],
) -> Peer:
    """Bytes where the peer has the scores that ours has."""
    image, taken = Image.fromarray(pixels), []

    @cache
    def encode(quality: int) -> bytes:
        started, buffer = time.perf_counter(), io.BytesIO()
        image.save(buffer, form.upper(), quality=quality, **settings)
        taken.append(time.perf_counter() - started)
        return buffer.getvalue()

    def file(metric: Metric) -> Callable[[int], tuple[int, float]]:
        @cache
        def measured(quality: int) -> tuple[int, float]:
            data = encode(quality)
            return len(data), metric.axis(metric.measure(pixels, shown(data)))

        return measured

    sizes = {metric.name: bytes_at(reached[metric.name], file(metric)) for metric in used}
    return Peer(sizes, statistics.median(taken))


def shown(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def searched(hits: Sequence[Hit], target: str) -> str:
    """How well and how fast our searches hit."""
    wanted = parse_target(target)
    lines = [
        "| format | bytes in all | within 0.5 | largest error | encodes, mean | most | seconds, median |",
        "|---" * 7 + "|",
    ]
    for form in PEERS:
        own = [hit for hit in hits if hit.form == form]
        errors = [abs(hit.score - wanted.value) for hit in own]
        encodes = [hit.encodes for hit in own]
        near = sum(error <= 0.5 for error in errors)
        lines.append(
            f"| {form} | {sum(hit.size for hit in own):,} | {near}/{len(own)} "
            f"| {max(errors):.2f} | {statistics.mean(encodes):.2f} | {max(encodes)} "
            f"| {statistics.median(hit.seconds for hit in own):.2f} |"
        )
    return "\n".join(lines)


def compared(hits: Sequence[Hit], metric: Metric) -> str:
    """Percent of bytes, mean over pictures; negative: ours needs fewer."""
    lines = [
        "| format | peer | mean [95 %] (worse / all; worst) | seconds an encode, median |",
        "|---|---|---|---|",
    ]
    for form, peers in PEERS.items():
        own = [hit for hit in hits if hit.form == form]
        for name, _ in peers:
            rates = [100 * (hit.size / hit.peers[name].sizes[metric.name] - 1) for hit in own]
            cell = summary_cell(summarize([rate for rate in rates if not np.isnan(rate)]))
            seconds = statistics.median(hit.peers[name].seconds for hit in own)
            lines.append(f"| {form} | {name} | {cell} | {seconds:.2f} |")
    return "\n".join(lines)


def by_picture(hits: Sequence[Hit]) -> str:
    lines = ["| picture | " + " | ".join(f"{form}: bytes, score, encodes" for form in PEERS) + " |"]
    lines.append("|---" * (len(PEERS) + 1) + "|")
    for name in dict.fromkeys(hit.picture for hit in hits):
        own = {hit.form: hit for hit in hits if hit.picture == name}
        cells = [f"{own[form].size:,}, {own[form].score:.2f}, {own[form].encodes}" for form in PEERS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
