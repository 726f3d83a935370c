"""Makes pairs of pictures of known kinds from photographs: regressions.py OUT PHOTO_OR_FOLDER... [OPTIONS].

OUT/KIND/reference/NAME.png and OUT/KIND/test/NAME.(png, jpg, ...): a KIND that begins with "harmless-" should
pass a comparison, one with "regression-" should be caught. The same photographs give the same files.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rd.options import size, words
from rd.pictures import PictureFile, list_pictures
from regression_pairs.kinds import KINDS, make, png

LEAST = 288


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    photos = [picture for path in options.photos for picture in pictures(path, options.crop)]
    names = [picture.path.stem for picture in photos]
    if len(set(names)) < len(names):
        sys.exit(f"photographs of one name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    for picture in photos[: options.limit]:
        height, width = picture.pixels.shape[:2]
        if min(height, width) < LEAST:
            sys.exit(f"{picture.path}: {width}x{height} pixels are too few, {LEAST} are needed either way")
        name = picture.path.stem
        for kind in options.kinds:
            made = make(kind, name, picture.pixels)
            write(options.out / kind / "reference" / f"{name}.png", png(made.reference))
            write(options.out / kind / "test" / f"{name}{made.suffix}", made.test)
        print(f"{name}: {len(options.kinds)} pairs")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the folder for the pairs")
    parser.add_argument("photos", type=Path, nargs="+", help="lossless photographs, or folders of them")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N photographs")
    parser.add_argument("--crop", type=size, metavar="WxH", help="cut from the middle")
    parser.add_argument("--kinds", type=words, default=tuple(KINDS), metavar="NAMES", help="these only")
    options = parser.parse_args(arguments)
    if unknown := [kind for kind in options.kinds if kind not in KINDS]:
        parser.error(f"--kinds: {', '.join(unknown)}: unknown; there are {', '.join(KINDS)}")
    return options


def pictures(path: Path, crop: tuple[int, int] | None) -> list[PictureFile]:
    return list_pictures(path, crop, None) if path.is_dir() else [PictureFile(path, crop)]


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    main()
