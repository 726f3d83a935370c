"""Fits the seven numbers of our starting tables (``TableShape``): fit_tables.py MODE FOLDER [OPTIONS].

FOLDER holds lossless pictures. ``gradient`` descends the predicted bits at equal damage from --start and
prints what it found; ``measure`` encodes truly with the loop of a preset and prints the BD-rates of --start
with each number moved up and down, and of every --shape, against --start. What ``gradient`` predicts leaves
out the trellis and the loop: ``measure`` decides. Encodes and scores are kept in the cache. Needs the extra
"bench".
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench_rd import run
from fit.gradient import MixedRounding, Scene, descend
from fit.measure import ShapeTask, markdown, measure
from fit.shapes import NAMES, neighbors, shape_of, written
from rd.encoders import our_spec
from rd.measure import one_thread, prepare_workers
from rd.options import size, steps, words
from rd.pictures import PictureFile, list_pictures, named
from rd.scores import metrics

from imgcompress.config import load_config
from imgcompress.errors import UsageError
from imgcompress.quantization.quantize import Rounding
from imgcompress.quantization.soft import SoftRounding
from imgcompress.quantization.tables import SHAPE, TableShape

ROOT = Path(__file__).resolve().parents[1]
ROUNDINGS: dict[str, Callable[[float], Rounding]] = {
    "mixed": MixedRounding,
    "annealed": partial(SoftRounding, "annealed"),
    "straight_through": partial(SoftRounding, "straight_through"),
    "polynomial": partial(SoftRounding, "polynomial"),
}


def main() -> None:
    options = parse()
    prepare_workers(1)
    one_thread()
    pictures = named(list_pictures(options.folder, options.crop, None), options.pictures)
    options.work(options, pictures)


def descend_and_print(options: argparse.Namespace, pictures: list[PictureFile]) -> None:
    config = replace(load_config(preset(options.preset)), subsampling=options.subsampling)
    try:
        rounding = ROUNDINGS[options.rounding](options.temperature)
        found = descend(
            [Scene(picture, config) for picture in pictures],
            options.start,
            options.steps,
            rounding,
            iterations=options.iterations,
            rate=options.rate,
        )
    except ValueError as error:
        sys.exit(str(error))
    print("| | start | end |\n|---|---|---|")
    for name, old, new in zip(NAMES, options.start.numbers, found.shape.numbers, strict=True):
        print(f"| {name} | {old:.3f} | {new:.3f} |")
    print(f"| J | {found.start:.5f} | {found.end:.5f} |")
    print(f"\nPredicted bits at equal damage: {found.saving:+.2f} %; rounded: {found.saving_rounded:+.2f} %.")
    print(f"To measure it: --shape {written(found.shape)}")


def measure_and_print(options: argparse.Namespace, pictures: list[PictureFile]) -> None:
    spec = our_spec(preset(options.preset), "cpu")
    assert spec.config is not None
    spec = replace(
        spec,
        config=replace(spec.config, subsampling=options.subsampling),
        identity={**spec.identity, "subsampling": options.subsampling},
    )
    base = written(options.start)
    shapes = {base: options.start}
    try:
        shapes |= neighbors(options.start, options.share) if options.share else {}
    except ValueError as error:
        sys.exit(f"--share {options.share}: {error}")
    shapes |= {f"shape {number}: {written(shape)}": shape for number, shape in enumerate(options.shape, 1)}
    judges, missing = metrics(vgg=False)
    tasks = [
        ShapeTask(picture, label, shape, spec, tuple(options.steps), tuple(judges), options.cache)
        for picture in pictures
        for label, shape in shapes.items()
    ]
    points = run(measure, tasks, options.jobs)
    names = ", ".join(picture.name for picture in pictures)
    print(f"{names}; preset {options.preset}, {options.subsampling}; steps {options.steps}\n")
    print(markdown(points, base, judges))
    for sentence in missing:
        print(f"\nNot measured: {sentence}")


def preset(name: str) -> Path:
    return ROOT / "configs" / "presets" / f"{name}.yaml"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = parser.add_subparsers(required=True, metavar="MODE")
    gradient = modes.add_parser("gradient", help="descend a smooth model of bits and damage")
    measured = modes.add_parser("measure", help="encode truly and compare")
    for mode in (gradient, measured):
        mode.add_argument("folder", type=Path, help="lossless pictures")
        mode.add_argument("--pictures", type=words, metavar="NAMES", help="these only, without suffix")
        mode.add_argument("--crop", type=size, metavar="WxH", help="cut from the middle")
        mode.add_argument("--subsampling", choices=("420", "444"), default="420")
        mode.add_argument("--preset", default="fast", help="whose objective, and whose loop is measured")
        mode.add_argument("--start", type=_shape, default=SHAPE, metavar="SHAPE", help="default: the tool's")
        mode.add_argument(
            "--steps",
            type=steps,
            default=[5.5, 9.5, 14.0, 21.0],
            help="reference steps (default: SSIMULACRA2 of about 84, 78, 72, 63)",
        )
    gradient.add_argument("--rounding", choices=ROUNDINGS, default="mixed")
    gradient.add_argument("--temperature", type=float, default=0.1, help="of annealed and mixed rounding")
    gradient.add_argument("--iterations", type=int, default=30)
    gradient.add_argument("--rate", type=float, default=0.05, help="Adam's, at first")
    gradient.set_defaults(work=descend_and_print)
    measured.add_argument(
        "--shape", type=_shape, action="append", default=[], help=f"seven numbers: {', '.join(NAMES)}"
    )
    measured.add_argument("--share", type=_share, default=0.1, help="how far numbers move; 0: they don't")
    measured.add_argument("--cache", type=Path, default=ROOT / "out" / "rd" / "cache")
    measured.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    measured.set_defaults(work=measure_and_print)
    return parser.parse_args()


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError("0 up to, not including, 1")
    return share


def _shape(text: str) -> TableShape:
    try:
        return shape_of([float(word) for word in text.split(",")])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
