"""Pictures a second of ``inspect``, stage by stage, on one core: bench_inspect.py [FOLDER].

Every JPEG and PNG of the folder is looked at; without one, JPEGs and PNGs of 768x512 from the photographs in
scikit-learn's and scikit-image's wheels. Rounds are interleaved; the table has the medians.
"""

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from bench_speed import photographs

from imgcompress.config import Config
from imgcompress.forensics.signatures import load_signatures
from imgcompress.inspection.headers import inspect_headers
from imgcompress.inspection.inspector import File, Inspector

HEADER_COPIES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    files = photographs(options.folder)
    jpegs = [_as_jpeg(data) for data in files]
    config = Config(device=options.device, jobs=1)
    signatures = load_signatures()
    inspector = Inspector(config, signatures)
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        paths = [Path(folder, f"{index}.jpg") for index in range(HEADER_COPIES)]
        for index, path in enumerate(paths):
            path.write_bytes(jpegs[index % len(jpegs)])
        for _ in range(options.rounds + 1):
            started = time.perf_counter()
            for path in paths:
                inspect_headers(path, signatures)
            seconds["headers only, JPEG"].append((time.perf_counter() - started) / len(paths))
            for kind, data in (("JPEG", jpegs), ("as they are", files)):
                started = time.perf_counter()
                inspector.inspect([File(kind, each) for each in data], pool)
                seconds[f"all, {kind}"].append((time.perf_counter() - started) / len(data))
    table = Table("stage", "pictures/s", "ms a picture", box=None)
    for name, measured in seconds.items():
        median = statistics.median(measured[1:])  # the first round warms up
        table.add_row(name, f"{1 / median:,.1f}", f"{1e3 * median:.2f}")
    Console().print(table)


def _as_jpeg(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
