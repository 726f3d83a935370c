"""A process that goes round the loop (read, compress, decode, compare) once for each line that it is sent.

It runs with the package of one commit or of another on PYTHONPATH, so that two of them can take turns: it
keeps to what older commits have, too. The first line that it gets is the request, the first line that it
gives says where it runs; each line after that has the figures of one round.
"""

import hashlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite, nan
from pathlib import Path
from typing import Any

import torch

import imgcompress
from imgcompress.cli.parser import preset_path
from imgcompress.compressor import Compressor, Source
from imgcompress.config import Config, load_config
from imgcompress.errors import ImgcompressError, PictureError, UsageError
from imgcompress.image.read import read_picture
from imgcompress.measure import Measure

METRICS = ("ssimulacra2", "psnr")
"""What the search aims at, and what nothing here is optimized for."""


def resolve(asked: dict[str, Any], device: str) -> Config:
    """The settings that a request stands for in this version of the package.

    Args:
        asked: any of preset, config (a path), quality, format and target, as the command line has them.
        device: auto, cpu or cuda.

    Raises:
        UsageError: as for the command line.
    """
    words = dict(asked)
    preset, file = words.pop("preset", None), words.pop("config", None)
    path = preset_path(preset) if preset is not None else file
    config = Config() if path is None else load_config(Path(path))
    return replace(config, device=device, **words)


class Meter:
    """Seconds and peak memory of named stages, over all their calls in one round."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures what is done inside, the device's work included."""
        _forget_peak(self._device)
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        if (peak := _peak_megabytes(self._device)) is not None:
            self.peaks[name] = max(peak, self.peaks.get(name, 0.0))

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif (switch := Path("/proc/self/clear_refs")).exists():
        switch.write_text("5")  # proc(5): VmHWM starts again at the present size


def _peak_megabytes(device: torch.device) -> float | None:
    """Since it was forgotten; None where the system cannot say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024 / 1e6


class Side:
    """The loop with one version's code.

    Args:
        config: all settings.
    """

    def __init__(self, config: Config) -> None:
        self._compressor = Compressor(config)
        self._batch = config.batch_size
        self.device = self._compressor.device
        self._measures = {name: Measure((name,), config, self.device) for name in METRICS}

    def round(self, files: Sequence[bytes]) -> dict[str, Any]:
        """Once through all files, a batch at a time.

        Args:
            files: at least one.

        Returns:
            Counts, bytes, ``scores`` (metric to mean and worst) and ``stages`` (name to seconds and peak).
        """
        meter = Meter(self.device)
        totals = {"pictures": 0, "left_out": 0, "failed": 0, "bytes_in": 0, "bytes": 0, "megapixels": 0.0}
        scores: dict[str, list[float]] = {name: [] for name in METRICS}
        with ThreadPoolExecutor(self._compressor.config.threads) as pool:
            for first in range(0, len(files), self._batch):
                self._batch_of(files[first : first + self._batch], pool, meter, totals, scores)
        return {
            **totals,
            "scores": {name: _mean_and_worst(values) for name, values in scores.items()},
            "stages": {
                name: {"seconds": seconds, "peak_megabytes": meter.peaks.get(name)}
                for name, seconds in meter.seconds.items()
            },
        }

    def _batch_of(
        self,
        files: Sequence[bytes],
        pool: ThreadPoolExecutor,
        meter: Meter,
        totals: dict[str, Any],
        scores: dict[str, list[float]],
    ) -> None:
        with meter.stage("read"):
            pictures = list(pool.map(_read, files))
        sources = [
            Source(data, picture)
            for data, picture in zip(files, pictures, strict=True)
            if picture is not None and picture.keep is None
        ]
        with meter.stage("compress"):
            outcomes = self._compressor.compress(sources, pool)
        with meter.stage("decode"):
            results = list(pool.map(_read, [outcome.data for outcome in outcomes]))
        pairs = [
            (source.picture.decoded, result.decoded)
            for source, result in zip(sources, results, strict=True)
            if result is not None
        ]
        for name, measure in self._measures.items():
            with meter.stage(f"compare: {name}"):
                measured = measure.scores(*map(list, zip(*pairs, strict=True))) if pairs else []
            scores[name] += [each.get(name, nan) for each in measured]
        totals["pictures"] += len(sources)
        totals["left_out"] += len(files) - len(sources)
        totals["failed"] += len(sources) - len(pairs)
        totals["bytes_in"] += sum(len(source.data) for source in sources)
        totals["bytes"] += sum(len(outcome.data or b"") for outcome in outcomes)
        totals["megapixels"] += sum(s.picture.height * s.picture.width for s in sources) / 1e6


def _read(data: bytes | None) -> Any:
    """The picture; None where there is none."""
    try:
        return None if data is None else read_picture(data)
    except PictureError:
        return None


def _mean_and_worst(values: Sequence[float]) -> dict[str, float | None]:
    """None, which no limit lets pass, where a value is not a number."""
    if not values or not all(map(isfinite, values)):
        return {"mean": None, "worst": None}
    return {"mean": statistics.fmean(values), "worst": min(values)}


def content_digest(files: Sequence[bytes]) -> str:
    """Names the files' content, whatever they are called."""
    return hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in files)).hexdigest()[:16]


def machine_facts(device: torch.device) -> dict[str, str | int]:
    """What a later reader needs to judge the seconds."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].split(":", 1)[1].strip() if names else processor
    return {
        "device": "cpu" if device.type == "cpu" else torch.cuda.get_device_name(),
        "processor": processor,
        "cores": os.cpu_count() or 1,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }


def main() -> None:
    request = json.loads(sys.stdin.readline())
    try:
        files = [Path(name).read_bytes() for name in request["files"]]
        side = Side(resolve(request["asked"], request["device"]))
        side.round(files[: request["warm_up"]])
    except (ImgcompressError, OSError) as error:
        _say({"error": str(error), "is_usage": isinstance(error, UsageError | OSError)})
        return
    package = str(Path(imgcompress.__file__).resolve().parent)
    _say({"package": package, "content": content_digest(files), "machine": machine_facts(side.device)})
    for _ in sys.stdin:
        _say(side.round(files))


def _say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
