"""Human judgments from CSV files, checked row by row.

Two layouts, told apart by their columns; paths are relative to the CSV:

    reference, test, score[, study, picture, quality]     opinion scores, higher is better
    reference, a, b, preferred[, weight, study, picture]  pairs; preferred is a or b

``study`` is the file's name without suffix where the column is missing; scores are only compared within a
study. ``picture`` is what the folds keep together, and is the reference's name without suffix. ``quality`` is
the encoder's number, reported as one more baseline.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgcompress.errors import UsageError

OPINIONS = ("reference", "test", "score")
PAIRS = ("reference", "a", "b", "preferred")
OPINION_EXTRAS = ("study", "picture", "quality")
PAIR_EXTRAS = ("weight", "study", "picture")


@dataclass(frozen=True)
class Item:
    """One picture to be compared with its reference.

    Attributes:
        reference, test: the files.
        study: scores of different studies are not compared.
        picture: what it shows; folds never share one.
        place: file, row and column, for messages.
        score: mean opinion, higher is better; None where only pairs were judged.
        quality: the encoder's number, or None.
    """

    reference: Path
    test: Path
    study: str
    picture: str
    place: str
    score: float | None = None
    quality: float | None = None


@dataclass(frozen=True)
class Pair:
    """Two items of one reference of which one was preferred.

    Attributes:
        better, worse: indices of items.
        weight: how much it counts, such as how many people judged.
    """

    better: int
    worse: int
    weight: float


@dataclass(frozen=True)
class Judgments:
    """What people said about pictures.

    Attributes:
        items: all pictures judged.
        pairs: preferences that were given as such; those that follow from scores are not among them.
    """

    items: tuple[Item, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class _Row:
    file: Path
    number: int
    cells: dict[str, str]

    def fail(self, column: str, message: str) -> UsageError:
        return UsageError(f"{self.place(column)}: {message}")

    def place(self, column: str) -> str:
        return f"{self.file}: row {self.number}, column {column}"

    def text(self, column: str) -> str:
        value = self.cells[column]
        if not value:
            raise self.fail(column, "it is empty")
        return value

    def optional(self, column: str, default: str) -> str:
        return self.text(column) if column in self.cells else default

    def number_in(self, column: str) -> float:
        text = self.text(column)
        try:
            value = float(text)
        except ValueError:
            raise self.fail(column, f"expected a number, got {text!r}") from None
        if not math.isfinite(value):
            raise self.fail(column, f"expected a finite number, got {text!r}")
        return value

    def picture_in(self, column: str) -> Path:
        path = self.file.parent / self.text(column)
        if not path.is_file():
            raise self.fail(column, f"there is no file {path}")
        return path


def read_judgments(files: Sequence[Path]) -> Judgments:
    """Reads and checks CSV files of judgments.

    Args:
        files: at least one.

    Raises:
        UsageError: a file is missing, of another layout, or holds a row that cannot be used: missing
            pictures, scores that are no finite numbers, duplicate rows, a study of equal scores. The message
            names file, row (the header is row 1) and column.
    """
    if not files:
        raise UsageError("no file of judgments was given")
    items: list[Item] = []
    pairs: list[Pair] = []
    for file in files:
        rows = _rows(file)
        if "score" in rows[0].cells:
            _add_opinions(rows, items)
        else:
            _add_pairs(rows, items, pairs)
    _refuse_duplicates(items)
    _refuse_constant_scores(items)
    return Judgments(tuple(items), tuple(pairs))


def _rows(file: Path) -> list[_Row]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(file, header)
            rows = []
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    column = header[min(len(cells), len(header) - 1)]
                    raise UsageError(
                        f"{file}: row {reader.line_num}, column {column}: the row has {len(cells)} columns, "
                        f"the header {len(header)}"
                    )
                values = (cell.strip() for cell in cells)
                rows.append(_Row(file, reader.line_num, dict(zip(header, values, strict=True))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot read the judgments: {error}") from error
    if not rows:
        raise UsageError(f"{file}: row 2, column {header[0]}: there is no judgment below the header")
    return rows


def _check_header(file: Path, header: list[str]) -> None:
    layout, extras = (PAIRS, PAIR_EXTRAS) if "preferred" in header else (OPINIONS, OPINION_EXTRAS)
    for name in layout:
        if name not in header:
            raise UsageError(
                f"{file}: row 1, column {name}: it is missing; expected {', '.join(OPINIONS)} "
                f"[, {', '.join(OPINION_EXTRAS)}] or {', '.join(PAIRS)} [, {', '.join(PAIR_EXTRAS)}]"
            )
    for index, name in enumerate(header):
        if name not in layout + extras:
            raise UsageError(
                f"{file}: row 1, column {name or index + 1}: unknown; "
                f"with {layout[-1]} go {', '.join(layout + extras)}"
            )
        if name in header[:index]:
            raise UsageError(f"{file}: row 1, column {name}: it is there twice")


def _add_opinions(rows: list[_Row], items: list[Item]) -> None:
    for row in rows:
        reference = row.picture_in("reference")
        items.append(
            Item(
                reference,
                row.picture_in("test"),
                row.optional("study", row.file.stem),
                row.optional("picture", reference.stem),
                row.place("test"),
                row.number_in("score"),
                row.number_in("quality") if row.cells.get("quality") else None,
            )
        )


def _add_pairs(rows: list[_Row], items: list[Item], pairs: list[Pair]) -> None:
    known: dict[tuple[Path, Path, str], int] = {}
    seen: dict[tuple[int, int], _Row] = {}
    for row in rows:
        reference = row.picture_in("reference")
        study = row.optional("study", row.file.stem)
        picture = row.optional("picture", reference.stem)
        indices = []
        for column in ("a", "b"):
            test = row.picture_in(column)
            key = (reference, test, study)
            if key not in known:
                known[key] = len(items)
                items.append(Item(reference, test, study, picture, row.place(column)))
            elif items[known[key]].picture != picture:
                other = items[known[key]]
                raise row.fail("picture", f"{picture!r}, but {other.place} has {other.picture!r}")
            indices.append(known[key])
        first, second = indices
        if first == second:
            raise row.fail("b", "it is the same picture as in column a")
        both = (min(first, second), max(first, second))
        if both in seen:
            raise row.fail("a", f"the same pair is in row {seen[both].number}; add up judgments in a weight")
        seen[both] = row
        preferred = row.text("preferred")
        if preferred not in ("a", "b"):
            raise row.fail("preferred", f"expected a or b, got {preferred!r}")
        weight = row.number_in("weight") if "weight" in row.cells else 1.0
        if weight <= 0:
            raise row.fail("weight", f"expected a number above 0, got {weight:g}")
        better, worse = (first, second) if preferred == "a" else (second, first)
        pairs.append(Pair(better, worse, weight))


def _refuse_duplicates(items: list[Item]) -> None:
    seen: dict[tuple[Path, Path, str], Item] = {}
    for item in items:
        key = (item.reference.resolve(), item.test.resolve(), item.study)
        if key in seen:
            raise UsageError(
                f"{item.place}: {item.test} was judged against the same reference in {seen[key].place}"
            )
        seen[key] = item


def _refuse_constant_scores(items: list[Item]) -> None:
    studies: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if item.score is not None:
            studies[item.study].append(item)
    for study, members in studies.items():
        if len({member.score for member in members}) == 1:
            place = members[0].place.removesuffix("column test") + "column score"
            raise UsageError(
                f"{place}: all {len(members)} scores of study {study} are {members[0].score:g}; "
                "nothing can be learned"
            )
