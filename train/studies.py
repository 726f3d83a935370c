"""The two studies in ../shared, in the layout that ``judgments`` reads."""

import csv
from collections.abc import Callable
from pathlib import Path

from imgcompress.errors import UsageError

COLUMNS = ("reference", "test", "score", "study", "picture", "quality")

_Row = dict[str, str]


def convert_studies(shared: Path, folder: Path) -> list[Path]:
    """Writes CSVs for TID2013's and MICT's JPEG pictures; they point to the pictures where they are.

    Args:
        shared: the folder that holds ``judgments`` and ``photos``.
        folder: where the CSVs go; made if it is missing.

    Returns:
        The two files. Pictures are named by Kodak's numbers in both, so that no fold parts them.

    Raises:
        UsageError: a study is not there.
    """
    shared = shared.resolve()
    tid, mict = shared / "judgments/tid2013_jpeg", shared / "judgments/mict_jpeg"
    return [
        _convert(
            tid / "tid2013_jpeg.csv",
            folder,
            lambda row: (
                f"{tid}/ref/{row['ref']}",
                f"{tid}/jpeg/{row['name']}.jpg",
                row["mos_tid2013"],
                Path(row["kodak"]).stem,
            ),
        ),
        _convert(
            mict / "mict_jpeg.csv",
            folder,
            lambda row: (
                f"{shared}/photos/kodak/{row['ref']}",
                f"{mict}/jpeg/{row['name']}.jpg",
                row["mos"],
                Path(row["ref"]).stem,
            ),
        ),
    ]


def _convert(source: Path, folder: Path, values: Callable[[_Row], tuple[str, str, str, str]]) -> Path:
    try:
        rows = list(csv.DictReader(source.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise UsageError(f"{source}: cannot read the study: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            reference, test, score, picture = values(row)
            writer.writerow((reference, test, score, source.stem, picture, row["quality"]))
    return target
