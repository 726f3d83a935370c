"""How often a file's quality and the family of its encoder are told rightly.

Quality: Pillow's files of quality 1 to 100, by their tables. Families: every installed program of
scripts/jpeg_makers.py codes pictures at qualities that the signatures were not made from; some of the
settings are not in the store either. The program that wrote a file is counted as found where it is among
those that the best match names as equally likely.
"""

import argparse
import io
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jpeg_makers import Recipe, available, crops, make, tasks
from make_signatures import HEIGHT, WIDTH
from PIL import Image

from imgcompress.errors import UsageError
from imgcompress.forensics.read_structure import read_head, read_structure
from imgcompress.forensics.signatures import Match, Signatures, load_signatures
from imgcompress.forensics.structure import Structure
from imgcompress.forensics.table_quality import table_quality

PICTURES = ("kodim08", "kodim20")
QUALITIES = (22, 50, 75, 92)
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Judged:
    """One file: who made it, and what was said."""

    recipe: Recipe
    said: Match
    family: str


def main() -> None:
    options = parse()
    paths = [options.folder / f"{name}.png" for name in options.pictures]
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path} is not there")
    print(f"Quality of Pillow's files: {exact_qualities()} of 100 exact.")
    recipes, missing = available()
    if options.families:
        recipes = [recipe for recipe in recipes if recipe.family in options.families]
    if missing:
        print(f"\nNot installed, and left out: {', '.join(missing)}.")
    signatures = load_signatures(options.signatures)
    whole, heads = [], []
    with tempfile.TemporaryDirectory() as folder:
        pictures = crops(paths, WIDTH, HEIGHT, Path(folder))
        for recipe in recipes:
            for picture, quality in tasks(recipe, pictures, options.qualities):
                data = make(recipe, picture, quality, options.made)
                whole.append(judge(recipe, read_structure(data), signatures))
                heads.append(judge(recipe, read_head(io.BytesIO(data)), signatures))
    for title, judged in (("Whole files", whole), ("Heads alone", heads)):
        print(f"\n### {title}\n\n{confusion(judged)}\n\n{summary(judged)}")


def exact_qualities() -> int:
    """Of Pillow's qualities 1 to 100, how many the tables tell exactly."""
    found = 0
    picture = Image.new("RGB", (16, 16))
    for quality in range(1, 101):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        tables = read_structure(buffer.getvalue()).tables
        assert tables is not None
        told = table_quality(tables)
        found += told.exact and told.luma.quality == quality
    return found


def judge(recipe: Recipe, structure: Structure, signatures: Signatures) -> Judged:
    """What is said of one file; a family that is less likely than an unknown one is not named."""
    matches = signatures.rank(structure)
    unknown = 1 - sum(match.confidence for match in matches)
    return Judged(recipe, matches[0], matches[0].family if matches[0].confidence > unknown else UNKNOWN)


def program(name: str) -> str:
    """The program without its settings."""
    return name.partition(",")[0].partition(" -")[0]


def confusion(judged: list[Judged]) -> str:
    """Families that made the files down, families that were named across."""
    counts = Counter((each.recipe.family, each.family) for each in judged)
    rows = sorted({each.recipe.family for each in judged})
    columns = sorted({each.family for each in judged})
    lines = [f"| made by | files | {' | '.join(columns)} |", "| --- |" + " ---: |" * (1 + len(columns))]
    for row in rows:
        cells = [counts[row, column] for column in columns]
        lines.append(f"| {row} | {sum(cells)} | {' | '.join(str(c) if c else '' for c in cells)} |")
    return "\n".join(lines)


def summary(judged: list[Judged]) -> str:
    """Shares of files whose family and program are right, and what was missed."""

    def share(chosen: list[Judged]) -> str:
        right = sum(each.family == each.recipe.family for each in chosen)
        return f"{right} of {len(chosen)} ({100 * right / max(len(chosen), 1):.1f} %)"

    named = [sorted({program(name) for name in each.said.alike}) for each in judged]
    found = sum(program(each.recipe.name) in names for each, names in zip(judged, named, strict=True))
    wrong = Counter(each.recipe.name for each in judged if each.family != each.recipe.family)
    misses = ", ".join(f"{name} ({count})" for name, count in wrong.most_common()) or "none"
    by_family = [
        share([each for each in judged if each.recipe.family == family])
        for family in {each.recipe.family for each in judged}
    ]
    mean = sum(float(text.split("(")[1].split(" ")[0]) for text in by_family) / len(by_family)
    return (
        f"Family right: {share(judged)}, mean over families {mean:.1f} %; settings that are in the store: "
        f"{share([e for e in judged if not e.recipe.held_out])}, others: "
        f"{share([e for e in judged if e.recipe.held_out])}. The program is among those named for "
        f"{100 * found / len(judged):.1f} % of the files; {sum(map(len, named)) / len(named):.1f} are named "
        f"on average. Wrong: {misses}."
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="lossless photographs, such as Kodak's")
    parser.add_argument("--pictures", nargs="+", default=PICTURES, metavar="NAME", help="without suffix")
    parser.add_argument("--qualities", nargs="+", type=int, default=QUALITIES, metavar="N")
    parser.add_argument("--families", nargs="+", metavar="NAME", help="files of these only")
    parser.add_argument("--signatures", nargs="+", type=Path, default=[], metavar="FILE", help="further ones")
    parser.add_argument("--made", type=Path, metavar="FOLDER", help="keep and find made files there")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
