"""Fits the attention map to what the closed loop finds: fit_attention.py FOLDER [OPTIONS].

FOLDER holds lossless pictures. Runs the loop over each without a map and prints the regression of the weights
that it finds on the map's cells of 32, 16 and 8 pixels, with R^2 on pictures left out. What a map is worth in
bytes decides, not R^2: scripts/bench rd --no-peers.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from fit.block_weights import measure_blocks, validate
from rd.measure import one_thread, prepare_workers
from rd.options import size, steps, words
from rd.pictures import PictureFile, list_pictures, named

from imgcompress.config import AttentionConfig, load_config
from imgcompress.errors import UsageError
from imgcompress.perception.attention import EXPONENT

ROOT = Path(__file__).resolve().parents[1]
COMPONENTS = ("luma", "Cb", "Cr")


def main() -> None:
    options = parse()
    prepare_workers(1)
    one_thread()
    pictures = named(list_pictures(options.folder, options.crop, None), options.pictures)
    fit_and_print(options, pictures)


def fit_and_print(options: argparse.Namespace, pictures: list[PictureFile]) -> None:
    if len(pictures) < 2:
        sys.exit("it takes two pictures to leave one out")
    config = replace(load_config(ROOT / "configs" / "presets" / "balanced.yaml"), subsampling="420")
    found = []
    for picture in pictures:
        found.append(measure_blocks(picture, config, options.steps))
        print(f"{len(found)}/{len(pictures)}: {picture.name}", file=sys.stderr, flush=True)
    shipped = AttentionConfig()
    today = np.array(shipped.scale_weights) * shipped.strength * EXPONENT
    print("| | step | 32 px | 16 px | 8 px | sum | R2, left out | worst | R2, as shipped |")
    print("|---" * 9 + "|")
    for component, name in enumerate(COMPONENTS):
        of_component = [of_picture[component] for of_picture in found]
        rows = [
            (f"{step:g}", [[each[place]] for each in of_component])
            for place, step in enumerate(options.steps)
        ]
        for label, blocks in (*rows, ("all", of_component)):
            result = validate(blocks)
            as_shipped = np.mean([each.explained(today) for own in blocks for each in own])
            cells = " | ".join(f"{strength:.3f}" for strength in (*result.strengths, result.strengths.sum()))
            scores = f"{np.mean(result.explained):.3f} | {min(result.explained):.3f} | {as_shipped:.3f}"
            print(f"| {name} | {label} | {cells} | {scores} |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="lossless pictures")
    parser.add_argument("--pictures", type=words, metavar="NAMES", help="these only, without suffix")
    parser.add_argument("--crop", type=size, metavar="WxH", help="cut from the middle")
    parser.add_argument("--steps", type=steps, default=[4.0, 10.0, 20.0], help="reference steps")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
