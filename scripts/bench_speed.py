"""Mpx/s of each stage and end to end, beside Pillow's encoder in the same run: bench_speed.py [FOLDER].

Without a folder it takes 768x512 cut from the photographs in scikit-learn's and scikit-image's wheels. Runs
are interleaved: every round times every stage once, and the table shows the median round.
"""

import argparse
import io
import multiprocessing
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from sample_photos import main as copy_sample_photos

from imgcompress.compressor import Compressor, Source
from imgcompress.config import Config, LoopConfig, ObjectiveConfig
from imgcompress.dataset.report import peak_megabytes
from imgcompress.formats.jpeg.encoder import CoefficientBatch, encode_baseline
from imgcompress.formats.jpeg.lossless import pack_progressive
from imgcompress.formats.jpeg.markers import jfif
from imgcompress.image.batch import batch_geometry, stack_pixels
from imgcompress.image.buffers import BufferPool
from imgcompress.image.dct import forward_dct, inverse_dct
from imgcompress.image.planes import planes_from_pixels
from imgcompress.image.read import read_picture
from imgcompress.image.statistics import ac_variance, class_shares, classify, energy_entropy
from imgcompress.layout import choose_layout
from imgcompress.perception.attention import attention_map, qp_from_attention, weight_from_qp
from imgcompress.perception.objective import MixedObjective
from imgcompress.perception.ssimulacra2 import Ssimulacra2Reference, ssimulacra2
from imgcompress.quantization.loop import refine, start
from imgcompress.quantization.quantize import dead_zone_thresholds, quantize
from imgcompress.quantization.scale import score_of_quality, step_of_score
from imgcompress.quantization.shift import quantize_by_shift
from imgcompress.quantization.tables import imgcompress_tables, whole_steps
from imgcompress.quantization.trellis import trellis_quantize
from imgcompress.verify import Verifier, decode_again

QUALITY = 75


def photographs(folder: Path | None) -> list[bytes]:
    """PNG files of 768x512 (or the folder's own pictures, as they are)."""
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]
    samples = Path("out/samples")
    copy_sample_photos(samples)
    files = []
    for path in sorted(samples.iterdir()):
        buffer = io.BytesIO()
        with Image.open(path) as image:
            scale = max(768 / image.width, 512 / image.height)
            size = round(image.width * scale), round(image.height * scale)
            image.convert("RGB").resize(size).crop((0, 0, 768, 512)).save(buffer, "PNG", compress_level=1)
        files.append(buffer.getvalue())
    return files


class Bench:
    """Collects the seconds of named steps, round after round."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def time(self, name: str, step: Callable[[], Any]) -> Any:
        """Runs a step and notes how long it took, the device's work included."""
        self._wait()
        started = time.perf_counter()
        result = step()
        self._wait()
        self.seconds[name].append(time.perf_counter() - started)
        return result

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


@torch.no_grad()
def one_round(bench: Bench, files: list[bytes], compressor: Compressor, vgg: Verifier | None) -> float:
    """Times every stage once over one batch of equal pictures; returns its megapixels."""
    device = compressor.device
    pictures = bench.time("read (decode)", lambda: [read_picture(data) for data in files])
    layout = choose_layout(pictures[0], "420", score_of_quality(QUALITY))
    geometry = batch_geometry(pictures, layout.sampling)
    real = geometry.real_blocks(0, device)
    buffers = BufferPool()
    pixels = bench.time("to the device", lambda: stack_pixels(pictures, geometry, device, buffers))
    planes = bench.time("color", lambda: planes_from_pixels(pixels, geometry.sampling))
    coefficients = bench.time("DCT", lambda: [forward_dct(plane) for plane in planes])
    bench.time("inverse DCT", lambda: [inverse_dct(values) for values in coefficients])
    shares = bench.time("statistics", lambda: _shares(coefficients[0], real))
    weights = bench.time(
        "attention", lambda: weight_from_qp(qp_from_attention(attention_map(planes[0], real)))
    )
    step = step_of_score(score_of_quality(QUALITY))
    tables = whole_steps(imgcompress_tables(torch.full((len(files),), step, device=device), shares))
    values = bench.time("quantize", lambda: _quantize(coefficients, tables, weights, geometry))
    _closed_loop(bench, pixels, coefficients, tables, values, weights=weights, geometry=geometry)
    _power_of_two(bench, coefficients[0])
    batch = CoefficientBatch(
        values, tables.int(), (0, 1, 1), geometry.heights, geometry.widths, geometry.sampling
    )
    headers = [jfif(None)] * len(files)
    encoded = bench.time("entropy code", lambda: encode_baseline(batch, headers))
    packed = bench.time("progressive scans", lambda: [pack_progressive(data) for data in encoded])
    decoded = bench.time("decode again", lambda: [decode_again(data) for data in packed])
    references = [picture.decoded for picture in pictures]
    verifier = Verifier(Config(verify="ssim"), device)
    bench.time("verify: ssim", lambda: verifier.judge(references, decoded))
    if vgg is not None:
        bench.time("verify: vgg", lambda: vgg.judge(references[:1], decoded[:1]))
    with ThreadPoolExecutor(compressor.config.threads) as pool:

        def end_to_end() -> None:
            compressor.compress(list(map(Source, files, pool.map(read_picture, files))), pool)

        bench.time("END TO END (decode, encode, verify)", end_to_end)
        images = [Image.fromarray(p.pixels.permute(1, 2, 0).numpy()) for p in pictures]
        bench.time("Pillow encode, optimized, one thread", lambda: [_pillow(image) for image in images])
        bench.time("Pillow encode, progressive, one thread", lambda: [_pillow(i, True) for i in images])

        def pillow_end_to_end(data: bytes) -> None:
            with Image.open(io.BytesIO(data)) as image:
                np.asarray(Image.open(io.BytesIO(_pillow(image.convert("RGB"), True))))

        bench.time(
            "Pillow end to end (decode, progressive, decode)",
            lambda: list(pool.map(pillow_end_to_end, files)),
        )
    return sum(picture.height * picture.width for picture in pictures) / 1e6


def _shares(luma: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return class_shares(classify(energy_entropy(luma), ac_variance(luma)), real)


def _quantize(coefficients: Any, tables: torch.Tensor, weights: torch.Tensor, geometry: Any) -> Any:
    planes = []
    for component, values in enumerate(coefficients):
        own = torch.nn.functional.adaptive_avg_pool2d(weights, geometry.padded_grid(component))
        thresholds = dead_zone_thresholds(own, 0.62, 0.09)
        planes.append(quantize(values, tables[:, min(component, 1)], thresholds).to(torch.int16))
    return tuple(planes)


def _closed_loop(
    bench: Bench, pixels: Any, coefficients: Any, tables: Any, values: Any, *, weights: Any, geometry: Any
) -> None:
    """The trellis, a whole round of the loop (gradient and trellis), and the metric alone."""
    count = len(coefficients)
    each = [
        torch.nn.functional.adaptive_avg_pool2d(weights, geometry.padded_grid(component))
        for component in range(count)
    ]
    steps = [tables[:, min(component, 1)] for component in range(count)]
    settings = LoopConfig()
    sizes = {"heights": geometry.heights, "widths": geometry.widths}
    lambdas = (settings.luma_lambda, settings.chroma_lambda)
    bench.time(
        "trellis, one pass",
        lambda: trellis_quantize(
            coefficients, steps, each, geometry.sampling, **sizes, lambdas=lambdas, passes=1, previous=values
        ),
    )
    coded = pixels / 255
    objective = bench.time("objective: originals", lambda: MixedObjective(coded, ObjectiveConfig()))
    bench.time(
        "loop, one round",
        lambda: refine(
            coefficients,
            steps,
            start(values, each),
            geometry,
            objective=objective.terms,
            settings=settings,
            rounds=1,
        ),
    )
    bench.time("SSIMULACRA2: score", lambda: ssimulacra2(coded, coded.flip(0)))
    reference = bench.time("SSIMULACRA2: originals", lambda: Ssimulacra2Reference(coded))
    bench.time("SSIMULACRA2: distance, gradient", lambda: _gradient(reference, coded.flip(0)))


def _gradient(reference: Ssimulacra2Reference, pixels: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        leaf = pixels.detach().requires_grad_()
        return torch.autograd.grad(reference.distance(leaf).sum(), leaf)[0]


def ssimulacra2_memory(device: str) -> dict[str, float | None]:
    """MB a megapixel that a score, and a distance with its gradient, need beside the two pictures.

    Each in a process of its own, as memory that another step has given back would not be seen to grow.
    """
    steps = {"score": False, "distance, gradient": True}
    growth = {}
    for name, with_gradient in steps.items():
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            growth[name] = pool.submit(_peak_growth, device, with_gradient).result()
    return growth


def _peak_growth(device: str, with_gradient: bool, size: tuple[int, int] = (1024, 2048)) -> float | None:
    """MB a megapixel by which the peak grows in one call, the originals' planes included; None if unknown."""

    def step(height: int, width: int) -> Callable[[], object]:
        original, test = torch.rand(2, 1, 3, height, width, device=device)
        if with_gradient:
            return lambda: _gradient(Ssimulacra2Reference(original), test)
        return lambda: ssimulacra2(original, test)

    step(64, 64)()  # what the libraries load and keep on their first call
    measured = step(*size)
    before = _peak_bytes(device)
    measured()
    after = _peak_bytes(device)
    return None if before is None or after is None else (after - before) / (size[0] * size[1])


def _peak_bytes(device: str) -> float | None:
    if device == "cuda":
        return float(torch.cuda.max_memory_allocated())
    # Not getrusage: its ru_maxrss starts with the resident size of the process that started this one.
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return 1024.0 * int(lines["VmHWM"].split()[0])


def _power_of_two(bench: Bench, coefficients: torch.Tensor) -> None:
    """The shift of the source document beside a division and a multiplication by the reciprocal."""
    integers = coefficients.to(torch.int32)
    shifts = torch.full((8, 8), 3, dtype=torch.int32, device=coefficients.device)
    steps = torch.full((8, 8), 8.0, device=coefficients.device)
    bench.time("luma: shift (int32)", lambda: quantize_by_shift(integers, shifts))
    bench.time("luma: shift, from float", lambda: quantize_by_shift(coefficients.to(torch.int32), shifts))
    bench.time("luma: divide, truncate (float)", lambda: torch.trunc(coefficients / steps))
    bench.time("luma: times 1/q, truncate (float)", lambda: torch.trunc(coefficients * (1 / steps)))


def _pillow(image: Image.Image, progressive: bool = False) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0", optimize=True, progressive=progressive)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="pictures of one size")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds (one more warms up)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--vgg", action="store_true", help="time the VGG distance too (seconds a picture on a CPU)"
    )
    options = parser.parse_args()
    files = photographs(options.folder)
    compressor = Compressor(
        Config(quality=QUALITY, device=options.device, verify="ssim", batch_size=len(files))
    )
    vgg = Verifier(Config(verify="vgg"), compressor.device) if options.vgg else None
    megapixels = one_round(Bench(compressor.device), files, compressor, vgg)
    first = compressor.buffers.allocations
    bench = Bench(compressor.device)
    for _ in range(options.rounds):
        one_round(bench, files, compressor, vgg)

    console = Console(width=110)
    threads = f"{torch.get_num_threads()} torch threads, {compressor.config.threads} jobs"
    console.print(
        f"{len(files)} pictures, {megapixels:.2f} Mpx, {compressor.device}, {threads}, "
        f"torch {torch.__version__}"
    )
    table = Table("stage", "median ms a picture", "Mpx/s", "min..max ms", box=None)
    for name, seconds in bench.seconds.items():
        count = 1 if name == "verify: vgg" else len(files)
        low, middle, high = (
            1000 * v / count for v in (min(seconds), statistics.median(seconds), max(seconds))
        )
        rate = megapixels / len(files) * 1000 / middle
        table.add_row(name, f"{middle:.1f}", f"{rate:.1f}", f"{low:.1f}..{high:.1f}")
    console.print(table)
    later = compressor.buffers.allocations - first
    pictures = options.rounds * len(files)
    console.print(
        f"batch buffers allocated a picture: {first / len(files):.2f} in the first batch, "
        f"{later / pictures:.2f} after it"
    )
    if compressor.device.type == "cuda":
        stats = torch.cuda.memory_stats()
        console.print(
            f"device allocations in all: {stats['num_device_alloc']}, "
            f"peak {stats['allocated_bytes.all.peak'] / 1e6:.0f} MB"
        )
    console.print(f"peak memory of the process: {peak_megabytes():,.0f} MB")
    counted = "device memory" if compressor.device.type == "cuda" else "resident memory, a fresh process each"
    for name, growth in ssimulacra2_memory(compressor.device.type).items():
        said = "an unknown amount" if growth is None else f"about {growth:,.0f} MB/Mpx"
        console.print(f"SSIMULACRA2: {name}: peak grows by {said} ({counted}, one picture of 2.1 Mpx)")


if __name__ == "__main__":
    main()
