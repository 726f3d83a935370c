"""Prints how often metrics order nearly equal files alike: close_pairs.py FOLDER [OPTIONS].

FOLDER holds lossless pictures. The pairs are neighboring qualities of one encoder, whose order is known, and
files of equal bytes from two encoders, whose order is not. Compared are the distance as the source document
writes it, the one of equal channels at unit length and every file of --weights, all at full size, and
SSIMULACRA2, ColorVideoVDP and butteraugli. Encodes and scores are kept in the cache. For weights that were
fitted to self-made pairs, name pictures that scripts/make_pairs held out.
"""

import argparse
import sys
from pathlib import Path

from bench_rd import run
from rd.close import (
    EQUAL_BYTES,
    NEIGHBORS,
    STEPS,
    TOLERANCE,
    CloseTask,
    agreement_table,
    forms,
    judges,
    measure,
)
from rd.comparison import PEERS
from rd.encoders import installed_peers
from rd.measure import prepare_workers
from rd.options import integers, size, words
from rd.pictures import list_pictures, named

from imgcompress.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    options = parse()
    prepare_workers(1)
    pictures = named(list_pictures(options.folder, options.crop, None), options.pictures)
    peers, missing = installed_peers()
    encoders = tuple(spec for spec in peers if spec.name in PEERS)
    distances = forms(options.weights)
    found, no_metric = judges(distances)
    tasks = [
        CloseTask(picture, encoders, options.qualities, distances, options.cache) for picture in pictures
    ]
    pairs = run(measure, tasks, options.jobs)
    print(
        f"    scripts/close_pairs {' '.join(sys.argv[1:])}\n\n"
        "Of every two metrics the share of pairs that they order alike, percent: mean over pictures, in "
        "brackets its 95 % interval over drawings of the pictures. Neighboring qualities: at most "
        f"{STEPS} steps apart, one encoder. Equal bytes: two encoders, within {TOLERANCE:.0%}. Encoders: "
        f"{', '.join(spec.name for spec in encoders)}, 4:2:0. Others' versions: "
        f"{', '.join(f'{judge.title} {judge.version[:12]}' for judge in found[len(distances) :])}."
    )
    for sentence in (*missing, *no_metric):
        print(f"\n{sentence}")
    for kind in (NEIGHBORS, EQUAL_BYTES):
        print(f"\n{agreement_table(pairs, kind)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="lossless pictures")
    parser.add_argument("--pictures", type=words, metavar="NAMES", help="these only, without suffix")
    parser.add_argument("--crop", type=size, metavar="WxH", help="cut from the middle")
    parser.add_argument(
        "--qualities", type=integers, default=(50, 54, 82, 84), metavar="NUMBERS", help="50,54,82,84"
    )
    parser.add_argument(
        "--weights", type=Path, nargs="+", default=[], metavar="FILE", help="fitted by `python -m train fit`"
    )
    parser.add_argument("--cache", type=Path, default=ROOT / "out" / "rd" / "cache")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
