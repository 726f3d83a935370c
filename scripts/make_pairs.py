"""Makes pictures of known order from photographs: make_pairs.py FOLDER... --out FOLDER [OPTIONS].

FOLDERs hold photographs. --out gets a folder a picture and the CSVs for `python -m train fit
--data.judgments`: selfmade-ladder.csv, pairs whose order is known, and selfmade-ssimulacra2.csv, pairs that
SSIMULACRA2 is sure about. What is to judge the fit later must not be among the photographs: --hold-out.
"""

import argparse
import sys
from pathlib import Path

from rd.comparison import PEERS
from rd.encoders import EncoderSpec, installed_peers
from rd.options import size, words
from rd.pictures import LOSSLESS

from imgcompress.errors import UsageError
from train.ladders import BLUR, CHROMA, NOISE, RESIZE, Ladder, jpeg_ladder
from train.selfmade import Recipe, write_pairs

ROOT = Path(__file__).resolve().parents[1]
OTHERS = (CHROMA, BLUR, NOISE, RESIZE)
PHOTOS = LOSSLESS | {".jpg", ".jpeg"}


def main() -> None:
    options = parse()
    recipe = Recipe(options.crop, options.longest, options.levels, options.threshold, options.seed)
    photos = list_photos(options.folders, options.hold_out)
    for file in write_pairs(photos, options.out, ladders(options.ladders), recipe):
        print(f"{file}: {len(file.read_text(encoding='utf-8').splitlines()) - 1} pairs")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*PEERS, *(ladder.name for ladder in OTHERS)]
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="of photographs")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "train" / "selfmade")
    parser.add_argument(
        "--hold-out", type=words, default=[], metavar="NAMES", help="photographs not to use, as kodim02"
    )
    parser.add_argument(
        "--ladders", type=words, default=names, metavar="NAMES", help=f"of {', '.join(names)} (default: all)"
    )
    parser.add_argument("--crop", type=size, default=Recipe.crop, metavar="WxH")
    parser.add_argument("--longest", type=int, default=Recipe.longest, help="larger photographs are reduced")
    parser.add_argument("--levels", type=int, default=Recipe.levels, help="steps of a ladder a picture gets")
    parser.add_argument(
        "--threshold", type=float, default=Recipe.threshold, help="of SSIMULACRA2 below which it is not sure"
    )
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    options = parser.parse_args()
    if unknown := set(options.ladders) - set(names):
        parser.error(f"--ladders: {', '.join(sorted(unknown))}: unknown; there are {', '.join(names)}")
    return options


def list_photos(folders: list[Path], hold_out: list[str]) -> list[Path]:
    """Photographs directly in the folders, sorted by name within each, but those that are held out."""
    found = [path for folder in folders for path in sorted(folder.glob("*")) if path.suffix.lower() in PHOTOS]
    if unknown := set(hold_out) - {path.stem for path in found}:
        raise UsageError(f"--hold-out: no such photograph: {', '.join(sorted(unknown))}")
    return [path for path in found if path.stem not in hold_out]


def ladders(names: list[str]) -> list[Ladder]:
    """Those of the names that can be made here; a word on stderr for each encoder that is not installed."""
    peers, missing = installed_peers()
    for sentence in missing:
        print(sentence, file=sys.stderr)
    made = [*(jpeg_ladder_of(spec) for spec in peers if spec.name in PEERS), *OTHERS]
    return [ladder for ladder in made if ladder.name in names]


def jpeg_ladder_of(spec: EncoderSpec) -> Ladder:
    encode = spec.build()
    return jpeg_ladder(spec.name, lambda pixels, quality: encode(pixels, quality).data)


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
