"""Prints which profile of `imgcompress compare` catches which change: catch_table.py FOLDER [OPTIONS].

FOLDER is what scripts/regressions has made. A cell is the percentage of a kind's pairs that are caught: 0 is
right for "harmless" kinds, 100 for "regression" ones. Beside the profiles: piq's SSIM >= 0.85 alone, and
pixelmatch with its own settings (threshold 0.1, antialiasing left out), where a pair is caught if any pixel
differs, or if more than 0.1 % of them do. `npm install pixelmatch` makes node_modules/pixelmatch.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pillow_avif  # noqa: F401
import torch
from PIL import Image
from regression_pairs.kinds import HARMLESS, REGRESSION

from imgcompress.comparison.comparer import Comparer
from imgcompress.comparison.criteria import Criterion
from imgcompress.comparison.exclusions import Exclusions
from imgcompress.comparison.pairing import Pair, pairs_of
from imgcompress.comparison.profiles import load_profile
from imgcompress.comparison.record import Compared
from imgcompress.comparison.stream import compare_all
from imgcompress.config import Config
from imgcompress.errors import UsageError
from imgcompress.image.picture import Decoded

PROFILES = ("lossless", "visually-lossless", "high", "medium", "legacy")
SSIM_FLOOR = 0.85
PIXEL_SHARE = 0.001


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    kinds = sorted(
        folder.name
        for folder in options.folder.iterdir()
        if folder.name.startswith((HARMLESS, REGRESSION)) and folder.is_dir()
    )
    if not kinds:
        raise UsageError(f"{options.folder}: no pairs; scripts/regressions makes them")
    profiles = {name: load_profile(name) for name in options.profiles}
    comparer = Comparer(
        Config(), torch.device(options.device), [each for profile in profiles.values() for each in profile]
    )
    table = {kind: shares(options.folder / kind, profiles, comparer, options.pixelmatch) for kind in kinds}
    print(f"    scripts/catch_table {' '.join(sys.argv[1:] if arguments is None else arguments)}\n")
    if options.pixelmatch is None:
        print("pixelmatch: left out, as --pixelmatch names no module\n")
    print(as_markdown(table, {kind: len(pairs(options.folder / kind)) for kind in kinds}))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--pixelmatch", type=Path, metavar="MODULE", help="the folder node_modules/pixelmatch; needs node"
    )
    parser.add_argument(
        "--profiles", nargs="+", default=PROFILES, help="names, or files, as for imgcompress compare"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    return parser.parse_args(arguments)


def pairs(folder: Path) -> list[Pair]:
    return pairs_of(folder / "reference", folder / "test")


def shares(
    folder: Path, profiles: dict[str, tuple[Criterion, ...]], comparer: Comparer, pixelmatch: Path | None
) -> dict[str, float]:
    """Percent of a kind's pairs that are caught, by judge."""
    found: dict[str, list[bool]] = {}
    paired = pairs(folder)
    for compared, seen in compare_all(paired, comparer, Exclusions(), Config()):
        if seen is None or compared.error is not None:
            raise UsageError(f"{compared.name}: {compared.error or compared.outcome}")
        for name, criteria in profiles.items():
            found.setdefault(name, []).append(is_caught(compared, criteria))
        floor = f"SSIM >= {SSIM_FLOOR}"
        found.setdefault(floor, []).append(ssim(seen.reference, seen.test) < SSIM_FLOOR)
    if pixelmatch is not None:
        counts = differing_shares(paired, pixelmatch)
        found["pixelmatch, any"] = [share > 0 for share in counts]
        found[f"pixelmatch, > {PIXEL_SHARE:.1%}"] = [share > PIXEL_SHARE for share in counts]
    return {name: 100 * statistics.fmean(caught) for name, caught in found.items()}


def is_caught(compared: Compared, criteria: Sequence[Criterion]) -> bool:
    """Whether a profile's criteria are not all met by what was measured for several profiles at once."""
    for criterion in criteria:
        name = criterion.metric.name
        value = compared.worst[name][0].value if criterion.in_windows else compared.scores[name]
        if criterion.complaint(value) is not None:
            return True
    return False


@torch.inference_mode()
def ssim(reference: Decoded, test: Decoded) -> float:
    """piq's, with its defaults."""
    from piq import ssim as piq_ssim

    first, second = (picture.pixels[None].float() / 255 for picture in (reference, test))
    return float(piq_ssim(second, first.expand_as(second), data_range=1.0))


def differing_shares(paired: Sequence[Pair], module: Path) -> list[float]:
    """Of the pixels of each pair those that pixelmatch calls different, 0..1."""
    script = Path(__file__).with_name("pixelmatch_counts.mjs")
    with tempfile.TemporaryDirectory(prefix="catch-table-") as folder:
        lines, pixels = [], []
        for index, pair in enumerate(paired):
            names = []
            for role, path in (("reference", pair.reference), ("test", pair.test)):
                assert path is not None
                names.append(str(Path(folder) / f"{index}-{role}.png"))
                with Image.open(path) as image:
                    image.convert("RGB").save(names[-1], compress_level=1)
            pixels.append(image.width * image.height)
            lines.append("\t".join(names) + "\n")
        try:
            run = subprocess.run(
                ["node", str(script), str(module)],
                input="".join(lines),
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
            raise UsageError(f"--pixelmatch: {module} does not run: {said}") from error
    return [int(count) / of for count, of in zip(run.stdout.split(), pixels, strict=True)]


def as_markdown(table: dict[str, dict[str, float]], counts: dict[str, int]) -> str:
    """Kinds by judges, percent caught; below them the means over the kinds of each sort."""
    judges = list(next(iter(table.values())))
    lines = [
        "| kind (pairs) | " + " | ".join(judges) + " |",
        "|---" + "|---:" * len(judges) + "|",
        *(
            f"| {kind} ({counts[kind]}) | " + " | ".join(f"{row[judge]:.0f}" for judge in judges) + " |"
            for kind, row in table.items()
        ),
    ]
    for sort, said in ((HARMLESS, "false alarms"), (REGRESSION, "caught")):
        rows = [row for kind, row in table.items() if kind.startswith(sort)]
        if rows:
            means = [statistics.fmean(row[judge] for row in rows) for judge in judges]
            lines.append(f"| **{said}, mean** | " + " | ".join(f"**{mean:.0f}**" for mean in means) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
