"""Pictures a second and memory of whole runs: bench_dataset.py FOLDER... [OPTIONS].

Crops of the photographs in the FOLDERs go through the command line, preset `instant` and `--verify decode`:
decoding, encoding and writing are what a plain loop over Pillow does, too. All ways take turns.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from datasets.crops import list_photos, make_crops
from PIL import Image

INSTANT = ("--preset=instant", "--verify=decode", "--device=cpu")


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        seconds: from start to end, with the start of the processes.
        cpu_seconds: of all its processes.
        megabytes: the greatest sum of its processes' resident sizes.
        parent_megabytes: the greatest resident size of the process that lists and writes.
    """

    seconds: float
    cpu_seconds: float
    megabytes: float
    parent_megabytes: float


def main() -> None:
    options = parse()
    photos = list_photos(options.folders)
    with tempfile.TemporaryDirectory(prefix="bench-dataset-") as name:
        root = Path(name)
        show_speed(photos, root, options)
        show_memory(photos, root, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="of photographs")
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes of each way"
    )
    parser.add_argument("--pictures", type=int, default=400, help="for speed")
    parser.add_argument(
        "--sides", type=int, nargs=2, default=(256, 512), metavar="PX", help="of these pictures"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--memory", type=int, nargs="*", default=(1000, 10000), help="pictures of up to 96 px"
    )
    return parser.parse_args()


def show_speed(photos: list[Path], root: Path, options: argparse.Namespace) -> None:
    """Pillow, one worker, all workers."""
    pictures = root / "pictures"
    make_crops(photos, pictures, options.pictures, tuple(options.sides), labels=False)
    count = options.workers
    ways = {
        f"Pillow, {count} processes": [sys.executable, __file__, "--pillow", str(count), str(pictures)],
        "imgcompress, 1 worker": recompress(pictures, 1),
        f"imgcompress, {count} workers": recompress(pictures, count),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for turn in range(options.repeats):
        for number, (name, command) in enumerate(ways.items()):
            costs[name].append(measure([*command, str(root / f"out-{turn}-{number}")]))
    least, most = options.sides
    print(f"{options.pictures} pictures of {least} to {most} px, medians of {options.repeats}")
    print(f"{'':26} {'pictures/s':>10} {'seconds':>8} {'cores busy':>10} {'peak MB':>8}")
    rates = {}
    for name, runs in costs.items():
        seconds = statistics.median(run.seconds for run in runs)
        busy = statistics.median(run.cpu_seconds / run.seconds for run in runs)
        peak = max(run.megabytes for run in runs)
        rates[name] = options.pictures / seconds
        print(f"{name:26} {rates[name]:10.1f} {seconds:8.1f} {busy:10.2f} {peak:8.0f}")
    pillow, one, many = rates.values()
    print(f"{count} workers are {many / one:.2f} times as fast as one, {many / pillow:.2f} times as Pillow")


def show_memory(photos: list[Path], root: Path, options: argparse.Namespace) -> None:
    """Runs of few and of many pictures."""
    for count in options.memory:
        pictures = root / f"small-{count}"
        make_crops(photos, pictures, count, (32, 96), labels=False)
        cost = measure([*recompress(pictures, options.workers), str(root / f"out-{count}")])
        print(
            f"{count:6} small pictures: {cost.seconds:.0f} s, peak of all processes {cost.megabytes:.0f} MB, "
            f"of the one that lists and writes {cost.parent_megabytes:.0f} MB"
        )


def recompress(pictures: Path, workers: int) -> list[str]:
    """The command without its destination."""
    command = [sys.executable, "-m", "imgcompress", "recompress", *INSTANT]
    return [*command, f"--workers={workers}", f"--jobs={workers}", str(pictures)]


def measure(command: list[str]) -> Cost:
    """Runs a command and watches its processes."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = parent = 0.0
    while not (ended := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
        sizes = [resident_megabytes(pid) for pid in (process.pid, *children(process.pid))]
        peak, parent = max(peak, sum(sizes)), max(parent, sizes[0])
        time.sleep(0.1)
    assert ended is not None
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if os.waitstatus_to_exitcode(status) != 0:
        assert process.stderr is not None
        sys.exit(f"{' '.join(command)}\n{process.stderr.read().decode()}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak, parent)


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def resident_megabytes(pid: int) -> float:
    """Of one process; 0 where it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def pillow_loop(workers: int, pictures: Path, out: Path) -> None:
    """The plain way: a pool of processes, each of which opens, encodes and saves."""
    files = sorted(path for path in pictures.rglob("*") if path.is_file())
    targets = [(out / path.relative_to(pictures)).with_suffix(".jpg") for path in files]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for _ in pool.map(pillow_one, files, targets, chunksize=4):
            pass


def pillow_one(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with Image.open(source) as image:
        image.save(buffer, "JPEG", quality=75, optimize=True, progressive=True)
    target.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--pillow"]:
        pillow_loop(int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
