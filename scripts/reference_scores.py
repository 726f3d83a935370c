"""Prints how far `compare` is from the C++ reference's SSIMULACRA2: reference_scores.py TABLE.csv PHOTOS.

TABLE.csv has the columns picture (below PHOTOS), pillow_quality_420, sha256_of_decoded_rgb_first16 and
ssimulacra2_cpp. Each pair is made anew as files, and compared by the command itself. The reference's own
rounding makes nearly equal pictures look worse (imgcompress/perception/ssimulacra2.py).
"""

import argparse
import contextlib
import csv
import hashlib
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from imgcompress.cli.program import main as imgcompress

BANDS = ((-1e9, 30.0, "below 30"), (30.0, 70.0, "30 to 70"), (70.0, 101.0, "above 70"))


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--limit", type=int, help="rows of the table")
    options = parser.parse_args(words)
    with options.table.open() as file:
        rows = list(csv.DictReader(file))[: options.limit]
    found = np.array(list(scores(rows, options.photos)))
    print(f"    scripts/reference_scores {' '.join(words or sys.argv[1:])}\n")
    print("\n".join(table(found)))


def scores(rows: Sequence[dict[str, str]], photos: Path) -> Iterator[tuple[float, float]]:
    """The reference's score and ours of each row."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / side for side in ("reference", "test")]
        for number, row in enumerate(rows):
            make_pair(row, photos, [folder / f"{number:04}" for folder in folders])
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            imgcompress(["compare", *map(str, folders), "--threshold", "ssimulacra2=-1000", "--json"])
        lines = map(json.loads, printed.getvalue().splitlines())
        for row, line in zip(rows, lines, strict=True):
            yield float(row["ssimulacra2_cpp"]), line["scores"]["ssimulacra2"]


def make_pair(row: dict[str, str], photos: Path, places: Sequence[Path]) -> None:
    """Copies the photograph and encodes it; another decoder than the table's is an error."""
    for place in places:
        place.parent.mkdir(exist_ok=True)
    source = photos / row["picture"]
    shutil.copy(source, places[0].with_suffix(source.suffix))
    with Image.open(source) as image:
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG", quality=int(row["pillow_quality_420"]), subsampling=2)
    decoded = np.asarray(Image.open(file).convert("RGB"))
    if hashlib.sha256(decoded.tobytes()).hexdigest()[:16] != row["sha256_of_decoded_rgb_first16"]:
        raise SystemExit(f"{source}: another JPEG codec than the table's")
    places[1].with_suffix(".jpg").write_bytes(file.getvalue())


def table(found: np.ndarray) -> list[str]:
    lines = ["| reference's score | pairs | mean difference | largest |", "|---|---|---|---|"]
    for low, high, name in BANDS:
        pairs = found[(found[:, 0] >= low) & (found[:, 0] < high)]
        if len(pairs):
            errors = pairs[:, 1] - pairs[:, 0]
            largest = errors[np.abs(errors).argmax()]
            lines.append(f"| {name} | {len(pairs)} | {errors.mean():+.3f} | {largest:+.3f} |")
    return lines


if __name__ == "__main__":
    main()
