import re
from pathlib import Path

import pytest

from imgcompress.errors import UsageError
from train.judgments import read_judgments

OPINIONS = ["reference", "test", "score"]
PAIRS = ["reference", "a", "b", "preferred"]
PAIR = ["set/p0.png", "set/p0_10.jpg", "set/p0_60.jpg", "b"]


def test_opinions(write_csv, ten_rows) -> None:
    file = write_csv(OPINIONS, ten_rows)
    judgments = read_judgments([file])
    first = judgments.items[0]
    assert len(judgments.items) == 10 and not judgments.pairs
    assert (first.study, first.picture, first.score, first.quality) == ("mine", "p0", 1.0, None)
    assert first.reference == file.parent / "set/p0.png"


def test_optional_columns(write_csv, ten_rows) -> None:
    rows = [[*row, "lab", f"thing{index % 3}", 10 * index] for index, row in enumerate(ten_rows)]
    items = read_judgments([write_csv([*OPINIONS, "study", "picture", "quality"], rows)]).items
    assert [(item.study, item.picture, item.quality) for item in items[:2]] == [
        ("lab", "thing0", 0.0),
        ("lab", "thing1", 10.0),
    ]


def test_pairs(write_csv) -> None:
    rows = [[*PAIR, 3], ["set/p1.png", "set/p1_10.jpg", "set/p1_60.jpg", "a", 0.5]]
    judgments = read_judgments([write_csv([*PAIRS, "weight"], rows)])
    tests = [item.test.name for item in judgments.items]
    assert tests == ["p0_10.jpg", "p0_60.jpg", "p1_10.jpg", "p1_60.jpg"]
    assert [(p.better, p.worse, p.weight) for p in judgments.pairs] == [(1, 0, 3.0), (2, 3, 0.5)]
    assert all(item.score is None for item in judgments.items)


def _changed(rows: list[list[object]], row: int, column: int, value: object) -> list[list[object]]:
    copy = [list(cells) for cells in rows]
    copy[row - 2][column] = value
    return copy


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((4, "reference"), "set/none.png", "there is no file"),
        ((5, "test"), "set/none.jpg", "there is no file"),
        ((6, "test"), "", "it is empty"),
        ((7, "score"), "nan", "expected a finite number, got 'nan'"),
        ((7, "score"), "inf", "expected a finite number"),
        ((11, "score"), "good", "expected a number, got 'good'"),
        ((3, "test"), "set/p0_10.jpg", "was judged against the same reference in .*row 2"),
        ((3, "test"), "./set/p0_10.jpg", "was judged against the same reference in .*row 2"),
    ],
)
def test_a_faulty_opinion_is_named(write_csv, ten_rows, place, value, message) -> None:
    row, column = place
    file = write_csv(OPINIONS, _changed(ten_rows, row, OPINIONS.index(column), value))
    with pytest.raises(UsageError, match=f"{re.escape(str(file))}: row {row}, column {column}: .*{message}"):
        read_judgments([file])


def test_equal_scores_are_named(write_csv, ten_rows) -> None:
    file = write_csv(OPINIONS, [[*row[:2], 3] for row in ten_rows])
    with pytest.raises(UsageError, match=r"row 2, column score: all 10 scores of study mine are 3"):
        read_judgments([file])


@pytest.mark.parametrize(
    ("column", "value", "name", "message"),
    [
        (3, "c", "preferred", "expected a or b, got 'c'"),
        (2, "set/p0_10.jpg", "b", "the same picture as in column a"),
        (1, "set/none.jpg", "a", "there is no file"),
        (4, "0", "weight", "above 0"),
        (4, "nan", "weight", "finite"),
    ],
)
def test_a_faulty_pair_is_named(write_csv, column, value, name, message) -> None:
    row = [*PAIR, 1]
    row[column] = value
    file = write_csv([*PAIRS, "weight"], [["set/p1.png", "set/p1_10.jpg", "set/p1_60.jpg", "a", 1], row])
    with pytest.raises(UsageError, match=f"row 3, column {name}: .*{message}"):
        read_judgments([file])


def test_a_pair_the_other_way_round_is_a_duplicate(write_csv) -> None:
    reference, a, b, _ = PAIR
    file = write_csv(PAIRS, [PAIR, [reference, b, a, "a"]])
    with pytest.raises(UsageError, match=r"row 3, column a: the same pair is in row 2"):
        read_judgments([file])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (["reference", "test", "mos"], r"row 1, column score: it is missing"),
        (["reference", "a", "preferred"], r"row 1, column b: it is missing"),
        (["reference", "test", "score", "colour"], r"row 1, column colour: unknown"),
        (["reference", "test", "score", "weight"], r"row 1, column weight: unknown; with score go"),
        (["reference", "test", "score", "score"], r"row 1, column score: it is there twice"),
    ],
)
def test_another_layout_is_refused(write_csv, header, message) -> None:
    with pytest.raises(UsageError, match=message):
        read_judgments([write_csv(header, [["x"] * len(header)])])


def test_ragged_empty_and_missing_files(write_csv, ten_rows, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"row 4, column score: the row has 2 columns, the header 3"):
        read_judgments([write_csv(OPINIONS, [*ten_rows[:2], ten_rows[2][:2]])])
    with pytest.raises(UsageError, match=r"row 2, column reference: there is no judgment"):
        read_judgments([write_csv(OPINIONS, [])])
    (tmp_path / "mine.csv").write_bytes(b"")
    with pytest.raises(UsageError, match=r"row 1, column reference: it is missing"):
        read_judgments([tmp_path / "mine.csv"])
    (tmp_path / "mine.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"mine\.csv: cannot read"):
        read_judgments([tmp_path / "mine.csv"])
    with pytest.raises(UsageError, match=r"none\.csv: cannot read"):
        read_judgments([tmp_path / "none.csv"])
    with pytest.raises(UsageError, match="no file"):
        read_judgments([])
