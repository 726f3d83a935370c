"""Make configs/signatures anew: what files of the programs that are installed look like.

Each program of scripts/jpeg_makers.py codes crops of some photographs at some qualities, in color and in
gray; what is seen of its files goes into the store, with the command and the version. A program that is not
there keeps the signatures that it has.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
import yaml
from jpeg_makers import Picture, Recipe, available, crops, make, tasks, version
from torch import Tensor

from imgcompress.errors import UsageError
from imgcompress.forensics.read_structure import read_structure
from imgcompress.forensics.signature_facts import facts_of, tells_shape
from imgcompress.forensics.signatures import read_family
from imgcompress.forensics.structure import Structure
from imgcompress.forensics.table_shape import scaled_share

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ("kodim05", "kodim13", "kodim23")
QUALITIES = (30, 60, 85)
SHAPE_QUALITIES = (5, 10, 20, 30, 40, 50, 60, 70, 80)
WIDTH, HEIGHT = 256, 192
TITLES = {
    "libjpeg": "libjpeg or libjpeg-turbo, alone or in other programs",
    "mozjpeg": "mozjpeg",
    "jpegli": "jpegli",
    "guetzli": "guetzli",
    "ffmpeg": "ffmpeg (libavcodec's mjpeg)",
    "go": "Go's image/jpeg",
    "java": "Java's ImageIO",
    "jpeg-js": "jpeg-js (Node)",
    "thomas-richter": "libjpeg of Thomas Richter (the JPEG committee's)",
    "imgcompress": "imgcompress",
}
SHAPED = {
    "jpegli": ("ajpegli",),
    "ffmpeg": ("ffmpeg",),
    "mozjpeg": tuple(f"mozjpeg by libvips, tables {table}" for table in range(1, 9)),
}
"""Families whose tables are one shape or several, by the recipes that show them."""


def main() -> None:
    options = parse()
    paths = [options.folder / f"{name}.png" for name in options.pictures]
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path} is not there")
    recipes, missing = available()
    recipes = [
        r for r in recipes if not r.held_out and (not options.families or r.family in options.families)
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pictures = crops(paths, WIDTH, HEIGHT, Path(folder))
        made = {recipe: files(recipe, pictures, options.qualities, options.made) for recipe in recipes}
        shapes = {
            family: {name: shape(recipe, pictures[0][0]) for name, recipe in shaped(family, recipes).items()}
            for family in {recipe.family for recipe in recipes}
        }
    everything = {name: tables for each in shapes.values() for name, tables in each.items()}
    for path in options.out.glob("*.yaml"):
        for name, tables in read_family(path).shapes.items():
            everything.setdefault(name, tables)
    for family in sorted(shapes):
        write(options.out / f"{family}.yaml", family, made, shapes[family], everything)
    if missing:
        print(f"Not installed, and kept as they were: {', '.join(missing)}.")
    print(margins(made, everything))


def files(
    recipe: Recipe, pictures: list[tuple[Picture, bool]], qualities: list[int], folder: Path | None
) -> list[Structure]:
    """The structures of what a recipe makes of the pictures."""
    print(recipe.name, flush=True)
    chosen = tasks(recipe, pictures, qualities)
    return [read_structure(make(recipe, picture, quality, folder)) for picture, quality in chosen]


def shaped(family: str, recipes: list[Recipe]) -> dict[str, Recipe]:
    """The recipes that show a family's shapes, by the shapes' names."""
    names = SHAPED.get(family, ())
    found = [recipe for recipe in recipes if recipe.name in names]
    return {
        family if len(names) == 1 else f"{family} {recipe.name.rsplit(' ', 1)[1]}": recipe for recipe in found
    }


def shape(recipe: Recipe, picture: Picture) -> Tensor:
    """A recipe's luma tables at many qualities, without those that one scaled by a factor explains wholly."""
    kept: list[Tensor] = []
    for quality in SHAPE_QUALITIES:
        tables = read_structure(make(recipe, picture, quality)).tables
        assert tables is not None
        luma = tables[0].flatten()
        if not kept or float(scaled_share(luma, torch.stack(kept)).max()) < 0.97:
            kept.append(luma)
    return torch.stack(kept)


def write(
    path: Path,
    family: str,
    made: dict[Recipe, list[Structure]],
    shapes: dict[str, Tensor],
    everything: dict[str, Tensor],
) -> None:
    """One file of the store; signatures of programs that are not there are kept."""
    signatures = {}
    if path.is_file():
        known = yaml.safe_load(path.read_text(encoding="utf-8"))
        signatures = {each["name"]: each for each in known["signatures"]}
    for recipe, structures in made.items():
        if recipe.family != family:
            continue
        facts = defaultdict(set)
        for structure in structures:
            for fact, values in facts_of(structure, everything).items():
                facts[fact] |= values
        signatures[recipe.name] = {
            "name": recipe.name,
            "version": version(recipe.version),
            "command": recipe.command,
            "facts": {fact: sorted(values) for fact, values in facts.items()},
        }
    content = {
        "family": family,
        "title": TITLES[family],
        "signatures": list(signatures.values()),
    }
    if shapes:
        content["shapes"] = {
            name: [" ".join(str(step) for step in row.tolist()) for row in rows]
            for name, rows in shapes.items()
        }
    head = "# Made by scripts/make_signatures. Tables are luma, natural order.\n"
    text = yaml.safe_dump(content, sort_keys=False, width=110, allow_unicode=True)
    path.write_text(head + text, encoding="utf-8")


def margins(made: dict[Recipe, list[Structure]], everything: dict[str, Tensor]) -> str:
    """The largest share that shapes explain of the tables of each family: of their own, and of others."""
    lines = ["", "| tables of | shapes of its own, least | shapes of others, most |", "| --- | ---: | ---: |"]
    for family in sorted({recipe.family for recipe in made}):
        own, others = [], []
        for structure in (s for recipe, found in made.items() if recipe.family == family for s in found):
            tables = structure.tables
            if tables is None or not tells_shape(tables):
                continue
            shares = {n: float(scaled_share(tables[0].flatten(), t).max()) for n, t in everything.items()}
            own += (
                [max(share for name, share in shares.items() if name.startswith(family))]
                if family in SHAPED
                else []
            )
            others.append(max(share for name, share in shares.items() if not name.startswith(family)))
        if others:
            lines.append(f"| {family} | {f'{min(own):.2f}' if own else ''} | {max(others):.2f} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="lossless photographs, such as Kodak's")
    parser.add_argument("--pictures", nargs="+", default=PICTURES, metavar="NAME", help="without suffix")
    parser.add_argument("--qualities", nargs="+", type=int, default=QUALITIES, metavar="N")
    parser.add_argument("--families", nargs="+", choices=sorted(TITLES), help="these only")
    parser.add_argument("--made", type=Path, metavar="FOLDER", help="keep and find made files there")
    parser.add_argument("--out", type=Path, default=ROOT / "configs" / "signatures")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
