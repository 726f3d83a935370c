from dataclasses import replace

import pytest
import torch

from imgcompress.errors import UsageError
from train.data import JudgmentData, compare_all, deal
from train.judgments import read_judgments

HEADER = ["reference", "test", "score"]


def test_folds_never_share_a_picture(write_csv, ten_rows, tmp_path) -> None:
    other = [*ten_rows[:4]]
    rows = [[*row, "one"] for row in ten_rows] + [[*row, "two"] for row in other]
    file = write_csv([*HEADER, "study"], rows)
    for seed in range(5):
        data = JudgmentData([file], cache=tmp_path / "cache", folds=3, fold_seed=seed)
        data.setup()
        batch = data.batch
        by_picture: dict[str, set[int]] = {}
        for item, fold in zip(data.items, batch.fold.tolist(), strict=True):
            by_picture.setdefault(item.picture, set()).add(fold)
        assert all(len(folds) == 1 for folds in by_picture.values())
        assert set(batch.fold.tolist()) == {0, 1, 2} and data.runs == 4
        for run in range(3):
            used = torch.cat((batch.better[batch.trains[run]], batch.worse[batch.trains[run]]))
            learned = {data.items[index].picture for index in used.tolist()}
            left_out = {
                item.picture for item, fold in zip(data.items, batch.fold, strict=True) if fold == run
            }
            assert learned and left_out and not learned & left_out
        assert batch.trains[-1].all()


def test_no_more_folds_than_pictures(write_csv, ten_rows) -> None:
    items = read_judgments([write_csv(HEADER, ten_rows)]).items
    assert sorted(set(deal(items, 12, 1))) == [0, 1, 2, 3, 4]
    with pytest.raises(UsageError, match=r"row 2, column test: all rows show one picture, p0"):
        deal(items[:2], 2, 1)


def test_comparisons_within_and_across(write_csv, ten_rows) -> None:
    judgments = read_judgments([write_csv(HEADER, ten_rows)])
    everywhere = compare_all(judgments, {}, {})
    assert len(everywhere.better) == 45 and sum(everywhere.weight) == pytest.approx(1)
    scores = [item.score or 0 for item in judgments.items]
    assert all(scores[b] > scores[w] for b, w in zip(everywhere.better, everywhere.worse, strict=True))
    within = compare_all(judgments, {"mine": 0.0}, {})
    assert sorted(zip(within.better, within.worse, strict=True)) == [(i + 1, i) for i in range(0, 10, 2)]


def test_equal_scores_are_not_compared(write_csv, ten_rows) -> None:
    judgments = read_judgments([write_csv(HEADER, ten_rows)])
    level = replace(judgments, items=tuple(replace(i, score=min(i.score or 0, 2.0)) for i in judgments.items))
    assert len(compare_all(level, {}, {}).better) == 25 + 10


def test_a_study_of_one_picture_is_named(write_csv, ten_rows) -> None:
    rows = [[*row, "one" if index < 2 else "rest"] for index, row in enumerate(ten_rows)]
    judgments = read_judgments([write_csv([*HEADER, "study"], rows)])
    with pytest.raises(
        UsageError, match=r"row 2, column test: study one shows one picture.*cross_picture.one to 0"
    ):
        compare_all(judgments, {}, {})
    assert compare_all(judgments, {"one": 0.0}, {}).study.count(0) == 1
    with pytest.raises(UsageError, match=r"cross_picture.two: no such study; there are one, rest"):
        compare_all(judgments, {"two": 0.0}, {})


def test_given_pairs_count_by_their_weight(write_csv) -> None:
    rows = [[f"set/p{n}.png", f"set/p{n}_10.jpg", f"set/p{n}_60.jpg", "b", 1 + n] for n in range(3)]
    judgments = read_judgments([write_csv(["reference", "a", "b", "preferred", "weight"], rows)])
    assert compare_all(judgments, {}, {}).weight == pytest.approx([1 / 6, 2 / 6, 3 / 6])


def test_a_study_counts_by_its_weight_whatever_its_size(write_csv, ten_rows) -> None:
    rows = [[*row, "few" if index < 4 else "many"] for index, row in enumerate(ten_rows)]
    judgments = read_judgments([write_csv([*HEADER, "study"], rows)])
    found = compare_all(judgments, {}, {"few": 0.25})
    sums = [sum(w for w, s in zip(found.weight, found.study, strict=True) if s == study) for study in (0, 1)]
    assert sums == pytest.approx([0.25, 1.0])
    with pytest.raises(UsageError, match=r"study_weights.fewer: no such study; there are few, many"):
        compare_all(judgments, {}, {"fewer": 2.0})


@pytest.mark.shared
def test_the_shared_studies(shared, tmp_path) -> None:
    from train.studies import convert_studies

    judgments = read_judgments(convert_studies(shared, tmp_path))
    counts = {
        study: sum(item.study == study for item in judgments.items) for study in ("tid2013_jpeg", "mict_jpeg")
    }
    assert counts == {"tid2013_jpeg": 120, "mict_jpeg": 84}
    assert len({item.picture for item in judgments.items}) == 24
