"""Mpx/s of every metric of `imgcompress compare`, beside others' programs: bench_compare.py FOLDER [OPTIONS].

The pictures are cut from the middle of the folder's lossless ones to one size, and compared with themselves
after Pillow's JPEG at quality 75. Batches are timed as `compare` measures them: from whole numbers on the CPU
to scores. Others: piq's SSIM of the same pictures, the PyPI package ssimulacra2, and the program dssim where
there is one on PATH. The latter two take one pair at a time, from files: PPM in memory for ssimulacra2, PNG
on disk for dssim, whose start counts, too. Every round times every way once; the table has the medians.
"""

import argparse
import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rd.options import size, words
from rd.pictures import Pixels, list_pictures
from rich.console import Console
from rich.table import Table

from imgcompress.comparison.criteria import HASHES, METRICS
from imgcompress.config import Config
from imgcompress.errors import UsageError
from imgcompress.hashing.perceptual_hash import color_distance, hash_pictures, luma_distance
from imgcompress.image.picture import Decoded
from imgcompress.measure import Measure

BATCHES = (1, 8)
THEIR_SSIMULACRA2, THEIR_SSIM, DSSIM = "PyPI ssimulacra2", "piq ssim", "dssim"
Way = Callable[[], object]
"""Measures all pairs once."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    console = Console(width=110)
    pairs = pictures(options.folder, options.crop)
    devices = [torch.device(name) for name in ("cpu", "cuda")[: 1 + torch.cuda.is_available()]]
    with tempfile.TemporaryDirectory(prefix="bench-compare-") as folder:
        ways = {
            **{way: run for device in devices for way, run in ours(pairs, options.metrics, device).items()},
            **{way: run for device in devices for way, run in piq_ssim(pairs, device).items()},
            (THEIR_SSIMULACRA2, "cpu", 1): their_ssimulacra2(pairs),
        }
        if (program := shutil.which("dssim")) is not None:
            ways[DSSIM, "cpu", 1] = dssim(pairs, program, Path(folder))
        seconds = timed(ways, options.rounds)
    megapixels = sum(reference.shape[0] * reference.shape[1] for reference, _ in pairs) / 1e6
    width, height = options.crop
    console.print(
        f"{len(pairs)} pairs of {width}x{height}, {torch.get_num_threads()} torch threads, "
        f"torch {torch.__version__}, medians of {options.rounds} interleaved rounds",
        highlight=False,
    )
    show(console, seconds, len(pairs), megapixels)
    if program is None:
        console.print(f"{DSSIM}: no such program on PATH", highlight=False)
    for line in ratios(seconds):
        console.print(line, highlight=False)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="lossless pictures; the first 8 are taken")
    parser.add_argument(
        "--crop", type=size, default=(512, 512), metavar="WxH", help="of every picture, from the middle"
    )
    parser.add_argument("--metrics", type=words, default=tuple(METRICS), help="these of ours only")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds (one more warms up)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.metrics if name not in METRICS]:
        parser.error(f"--metrics: {', '.join(unknown)}: unknown; there are {', '.join(METRICS)}")
    if options.rounds < 1:
        parser.error("--rounds: expected a number >= 1")
    return options


def pictures(folder: Path, crop: tuple[int, int]) -> list[tuple[Pixels, Pixels]]:
    """References and what JPEG makes of them, all of one size."""
    found = [picture.pixels for picture in list_pictures(folder, crop, max(BATCHES))]
    if any(pixels.shape != (crop[1], crop[0], 3) for pixels in found):
        raise SystemExit(f"{folder}: a picture is smaller than --crop {crop[0]}x{crop[1]}")
    return [(pixels, as_jpeg(pixels)) for pixels in found]


def as_jpeg(pixels: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75)
    with Image.open(buffer) as image:
        return np.array(image)


def ours(
    pairs: Sequence[tuple[Pixels, Pixels]], names: Sequence[str], device: torch.device
) -> dict[tuple[str, str, int], Way]:
    """Each metric, pair by pair and in batches."""
    references, tests = ([Decoded(channels(pair[side])) for pair in pairs] for side in (0, 1))
    ways: dict[tuple[str, str, int], Way] = {}
    compare: Callable[[list[Decoded], list[Decoded]], object]
    for name in names:
        if name in HASHES:
            title, compare = " + ".join(HASHES), partial(hashed, device=device)
        else:
            title, compare = name, Measure((name,), Config(), device).scores
        for batch in BATCHES:
            ways[title, device.type, batch] = batched(compare, references, tests, batch)
    return ways


def hashed(references: list[Decoded], tests: list[Decoded], device: torch.device) -> list[dict[str, float]]:
    """Both hashes' distances; the pictures of all pairs are hashed together."""
    hashes = hash_pictures([*references, *tests], device)
    pairs = zip(hashes[: len(references)], hashes[len(references) :], strict=True)
    return [{"phash": luma_distance(*pair), "phash_color": color_distance(*pair)} for pair in pairs]


def batched(
    compare: Callable[[list[Decoded], list[Decoded]], object],
    references: list[Decoded],
    tests: list[Decoded],
    batch: int,
) -> Way:
    def way() -> None:
        for first in range(0, len(references), batch):
            compare(references[first : first + batch], tests[first : first + batch])

    return way


def piq_ssim(pairs: Sequence[tuple[Pixels, Pixels]], device: torch.device) -> dict[tuple[str, str, int], Way]:
    """piq's own SSIM, shrunk as it does by default."""
    from piq import ssim

    def compare(references: list[Decoded], tests: list[Decoded]) -> object:
        first, second = (
            torch.stack([picture.pixels for picture in batch]).to(device).float() / 255
            for batch in (tests, references)
        )
        return ssim(first, second, data_range=1.0, reduction="none").tolist()

    references, tests = ([Decoded(channels(pair[side])) for pair in pairs] for side in (0, 1))
    return {(THEIR_SSIM, device.type, batch): batched(compare, references, tests, batch) for batch in BATCHES}


def their_ssimulacra2(pairs: Sequence[tuple[Pixels, Pixels]]) -> Way:
    from ssimulacra2 import compute_ssimulacra2

    files = []
    for pair in pairs:
        buffers = (io.BytesIO(), io.BytesIO())
        for buffer, pixels in zip(buffers, pair, strict=True):
            Image.fromarray(pixels).save(buffer, "PPM")
        files.append(buffers)
    return lambda: [compute_ssimulacra2(*buffers) for buffers in files]


def dssim(pairs: Sequence[tuple[Pixels, Pixels]], program: str, folder: Path) -> Way:
    commands = []
    for index, pair in enumerate(pairs):
        paths = [folder / f"{index}-{kind}.png" for kind in ("reference", "test")]
        for path, pixels in zip(paths, pair, strict=True):
            Image.fromarray(pixels).save(path, compress_level=1)
        commands.append([program, *map(str, paths)])
    return lambda: [subprocess.run(command, check=True, capture_output=True) for command in commands]


def channels(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def timed(ways: dict[tuple[str, str, int], Way], rounds: int) -> dict[tuple[str, str, int], list[float]]:
    """Seconds of each way, round by round; every way ends with its scores on the CPU."""
    seconds: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for key, way in ways.items():
            started = time.perf_counter()
            way()
            if number > 0:
                seconds[key].append(time.perf_counter() - started)
    return seconds


def show(
    console: Console, seconds: dict[tuple[str, str, int], list[float]], count: int, megapixels: float
) -> None:
    table = Table("metric", "device", "batch", "ms a pair", "Mpx/s", "min..max ms", box=None)
    for (name, device, batch), taken in seconds.items():
        low, middle, high = (
            1e3 * value / count for value in (min(taken), statistics.median(taken), max(taken))
        )
        rate = megapixels / count * 1e3 / middle
        table.add_row(name, device, str(batch), f"{middle:.2f}", f"{rate:.1f}", f"{low:.2f}..{high:.2f}")
    console.print(table)


def ratios(seconds: dict[tuple[str, str, int], list[float]]) -> list[str]:
    """How many times as fast ours are as the peers' of the same kind: medians of the rounds' ratios."""
    compared = {"ssimulacra2": (THEIR_SSIMULACRA2, DSSIM), "ssim": (THEIR_SSIM,)}
    lines = []
    for (name, device, batch), taken in seconds.items():
        for other in compared.get(name, ()):
            # A peer that knows neither batches nor CUDA is what it is.
            keys = [key for key in ((other, device, batch), (other, "cpu", 1)) if key in seconds]
            if keys:
                each = [theirs / mine for theirs, mine in zip(seconds[keys[0]], taken, strict=True)]
                lines.append(
                    f"{name}, {device}, batch {batch}: {statistics.median(each):.2f} times as fast as "
                    f"{other}, {keys[0][1]}, batch {keys[0][2]} ({min(each):.2f}..{max(each):.2f})"
                )
    return lines


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
