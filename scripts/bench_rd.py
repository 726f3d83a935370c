"""Bytes at equal quality beside libjpeg-turbo, mozjpeg and jpegli: bench_rd.py FOLDER [OPTIONS].

FOLDER holds lossless pictures; the word ``text`` stands for pages that the benchmark draws itself. Results
are in --out: points.csv, rates.csv, report.md, rd.png and a plot a picture. Every encode and score is kept
in the cache, so that an interrupted run goes on where it stopped.
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rd.encoders import EncoderSpec, our_spec, peer_specs
from rd.measure import Point, Task, measure, one_thread, prepare_workers
from rd.pictures import PictureFile, list_pictures

from imgcompress.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]


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
    try:
        ours = [our_spec(path, options.device) for path in (*presets, *options.config)]
    except UsageError as error:
        sys.exit(str(error))
    specs = [*ours, *peer_specs()]
    if len({spec.name for spec in specs}) < len(specs):
        sys.exit("two settings files have the same name; the tables could not tell them apart")
    options.out.mkdir(parents=True, exist_ok=True)
    if options.time:
        from rd.timing import time_encoders, timing_table

        table = timing_table(time_encoders(pictures, specs, options.rounds, threads), options.rounds, threads)
        (options.out / "timing.md").write_text(table, encoding="utf-8")
        print(table)
        return
    cache = options.cache or ROOT / "out" / "rd" / "cache"
    tasks = [
        Task(picture, spec, options.qualities, options.vgg, cache) for picture in pictures for spec in specs
    ]
    write(options, pictures, run(tasks, options.jobs), specs)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="lossless pictures, or the word text")
    parser.add_argument(
        "--preset", type=_words, default=[], metavar="NAMES", help="of configs/presets, separated by commas"
    )
    parser.add_argument("--config", type=Path, action="append", default=[], help="settings of our encoder")
    parser.add_argument(
        "--qualities", type=_integers, help="these only, e.g. 50,70,90 (default: chosen by SSIMULACRA2)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "rd")
    parser.add_argument("--cache", type=Path, help="default: out/rd/cache")
    parser.add_argument("--limit", type=int, help="only the first N pictures")
    parser.add_argument("--crop", type=_size, metavar="WxH", help="cut from the middle")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of our encoder")
    parser.add_argument("--vgg", action="store_true", help="measure the VGG distance too (slow)")
    parser.add_argument("--fitted-on", type=Path, help="folder of pictures the constants were fitted on")
    parser.add_argument("--time", action="store_true", help="time the encoders alone instead, 2 threads")
    parser.add_argument("--rounds", type=int, default=3, help="of --time")
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return text.split(",")


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def run(tasks: list[Task], jobs: int) -> list[Point]:
    """All points, in the order of the tasks; a line on stderr as each task ends."""
    started = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=one_thread) as pool:
        futures = [pool.submit(measure, task) for task in tasks]
        numbers = {future: number for number, future in enumerate(futures)}
        for done, future in enumerate(as_completed(futures), 1):
            task = tasks[numbers[future]]
            elapsed = time.perf_counter() - started
            print(
                f"{done}/{len(tasks)} after {elapsed:.0f} s: {task.picture.name}, {task.encoder.name}, "
                f"{len(future.result())} files",
                file=sys.stderr,
                flush=True,
            )
        return [point for future in futures for point in future.result()]


def write(
    options: argparse.Namespace, pictures: list[PictureFile], points: list[Point], specs: list[EncoderSpec]
) -> None:
    from rd import report
    from rd.comparison import compare
    from rd.plots import plot_all
    from rd.scores import metrics

    found, missing = metrics(options.vgg)
    rates = compare(points, found)
    judges = ", ".join(f"{metric.title} {metric.version[:12]}" for metric in found)
    versions = ", ".join(
        f"{spec.name} {spec.identity.get('version') or spec.identity['source'][:12]}" for spec in specs
    )
    setting = report.Setting(
        command="scripts/bench rd " + " ".join(sys.argv[1:]),
        workers=options.jobs,
        versions=f"Judges: {judges}. Encoders: {versions} (encoders.json).",
        missing=missing,
        fitted_on=list_pictures(options.fitted_on, None, None) if options.fitted_on else None,
    )
    report.write_encoders(options.out / "encoders.json", specs)
    report.write_points(options.out / "points.csv", points, found)
    report.write_rates(options.out / "rates.csv", rates)
    text = report.markdown(pictures, points, rates, found, setting)
    (options.out / "report.md").write_text(text, encoding="utf-8")
    plot_all(options.out, points, found)
    print(text)


if __name__ == "__main__":
    main()
