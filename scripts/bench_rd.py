"""Bytes at equal quality beside libjpeg-turbo, mozjpeg and jpegli: bench_rd.py FOLDER [OPTIONS].

FOLDER holds lossless pictures; the word ``text`` stands for pages that the benchmark draws itself. Results
are in --out: points.csv, rates.csv, report.md, rd.png and a plot a picture. Every encode and score is kept
in the cache, so that an interrupted run goes on where it stopped. With --target they are target.csv and
target_report.md: one file of ours a picture, and the bytes of the others at its score.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol, TypeVar

from rd import at_target, report
from rd.encoders import EncoderSpec, our_spec, peer_specs
from rd.measure import Point, Task, measure, one_thread, prepare_workers
from rd.options import integers, size, words
from rd.pictures import PictureFile, list_pictures
from rd.scores import Metric

from imgcompress.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]


class Job(Protocol):
    """What a worker process is given."""

    @property
    def title(self) -> str:
        """For the line of progress."""


J = TypeVar("J", bound=Job)
T = TypeVar("T")


def main() -> None:
    options = parse()
    threads = 2 if options.time else 1
    prepare_workers(threads)
    folder = options.folder
    if str(folder) == "text":
        from rd.text_pages import draw_text_pages

        folder = options.out / "text"
        draw_text_pages(folder)
    pictures = list_pictures(folder, options.crop, options.limit)
    presets = [ROOT / "configs" / "presets" / f"{name}.yaml" for name in options.preset]
    if options.target is not None:
        at_target.parse(options.target)
    ours = [our_spec(path, options.device, options.target) for path in (*presets, *options.config)]
    specs = [*ours, *([] if options.no_peers else peer_specs())]
    if len({spec.name for spec in specs}) < len(specs):
        sys.exit("two settings files have the same name; the tables could not tell them apart")
    options.out.mkdir(parents=True, exist_ok=True)
    cache = options.cache or ROOT / "out" / "rd" / "cache"
    if options.time:
        from rd.timing import time_encoders, timing_table

        table = timing_table(time_encoders(pictures, specs, options.rounds, threads), options.rounds, threads)
        (options.out / "timing.md").write_text(table, encoding="utf-8")
        print(table)
    elif options.target is not None:
        write_at_target(options, pictures, specs, cache)
    else:
        tasks = [
            Task(picture, spec, options.qualities, options.vgg, cache)
            for picture in pictures
            for spec in specs
        ]
        write(options, pictures, run(measure, tasks, options.jobs), specs)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="lossless pictures, or the word text")
    parser.add_argument(
        "--preset", type=words, default=[], metavar="NAMES", help="of configs/presets, separated by commas"
    )
    parser.add_argument("--config", type=Path, action="append", default=[], help="settings of our encoder")
    parser.add_argument(
        "--qualities", type=integers, help="these only, e.g. 50,70,90 (default: chosen by SSIMULACRA2)"
    )
    parser.add_argument(
        "--target",
        metavar="ssimulacra2=SCORE",
        help="instead: bytes of the tool's own search for this score, and of the others at what it reached",
    )
    parser.add_argument("--no-peers", action="store_true", help="ours alone, against the first of them")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "rd")
    parser.add_argument("--cache", type=Path, help="default: out/rd/cache")
    parser.add_argument("--limit", type=int, help="only the first N pictures")
    parser.add_argument("--crop", type=size, metavar="WxH", help="cut from the middle")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of our encoder")
    parser.add_argument("--vgg", action="store_true", help="measure the VGG distance too (slow)")
    parser.add_argument("--fitted-on", type=Path, help="folder of pictures the constants were fitted on")
    parser.add_argument("--time", action="store_true", help="time the encoders alone instead, 2 threads")
    parser.add_argument("--rounds", type=int, default=3, help="of --time")
    options = parser.parse_args()
    if options.target is not None and (options.time or options.vgg or options.qualities):
        parser.error("--target goes with none of --time, --vgg and --qualities")
    if options.no_peers and not (options.preset or options.config):
        parser.error("--no-peers: nothing is left; name a --preset or a --config")
    if options.target is not None and not (options.preset or options.config):
        parser.error("--target: whose search? Name a --preset or a --config")
    return options


def run(work: Callable[[J], list[T]], tasks: Sequence[J], jobs: int) -> list[T]:
    """All results, in the order of the tasks; a line on stderr as each task ends."""
    started = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=one_thread) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        numbers = {future: number for number, future in enumerate(futures)}
        for done, future in enumerate(as_completed(futures), 1):
            elapsed = time.perf_counter() - started
            print(
                f"{done}/{len(tasks)} after {elapsed:.0f} s: {tasks[numbers[future]].title}, "
                f"{len(future.result())} results",
                file=sys.stderr,
                flush=True,
            )
        return [result for future in futures for result in future.result()]


def setting(
    options: argparse.Namespace,
    judges: Sequence[Metric],
    specs: Sequence[EncoderSpec],
    identities: str,
    missing: Sequence[str] = (),
) -> report.Setting:
    """What a report says about this run; what identifies its encoders goes into a file of that name."""
    report.write_encoders(options.out / identities, specs)
    named = ", ".join(f"{judge.title} {judge.version[:12]}" for judge in judges)
    versions = ", ".join(
        f"{spec.name} {spec.identity.get('version') or spec.identity['source'][:12]}" for spec in specs
    )
    return report.Setting(
        command="scripts/bench rd " + " ".join(sys.argv[1:]),
        workers=options.jobs,
        versions=f"Judges: {named}. Encoders: {versions} ({identities}).",
        missing=missing,
        fitted_on=list_pictures(options.fitted_on, None, None) if options.fitted_on else None,
    )


def write(
    options: argparse.Namespace, pictures: list[PictureFile], points: list[Point], specs: list[EncoderSpec]
) -> None:
    from rd.comparison import compare, compare_ours, ours
    from rd.plots import plot_all
    from rd.scores import metrics

    found, missing = metrics(options.vgg)
    rates = [] if options.no_peers else compare(points, found)
    rates += compare_ours(points, found) if ours(points) else []
    report.write_points(options.out / "points.csv", points, found)
    report.write_rates(options.out / "rates.csv", rates)
    about = setting(options, found, specs, "encoders.json", missing)
    text = report.markdown(pictures, points, rates, found, about)
    (options.out / "report.md").write_text(text, encoding="utf-8")
    plot_all(options.out, points, found)
    print(text)


def write_at_target(
    options: argparse.Namespace, pictures: list[PictureFile], specs: list[EncoderSpec], cache: Path
) -> None:
    tasks = [at_target.TargetTask(picture, tuple(specs), cache) for picture in pictures]
    hits = run(at_target.measure, tasks, options.jobs)
    at_target.write_csv(options.out / "target.csv", hits)
    about = setting(options, at_target.judges(), specs, "target_encoders.json")
    text = at_target.markdown(pictures, hits, at_target.parse(options.target), about)
    (options.out / "target_report.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
