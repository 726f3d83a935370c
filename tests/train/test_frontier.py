"""Mixtures of distances on two studies of small pictures."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data import JudgmentData
from train.frontier import PARTNERS, frontier, frontier_plot, mixtures, place
from train.model import DistanceConfig, FittedDistance, term_log, uniform_log_distance

coordinates = st.floats(-1, 1)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=12))
def test_the_frontier_is_what_no_point_beats(points: list[tuple[float, float]]) -> None:
    def beaten(point: tuple[float, float]) -> bool:
        return any(o != point and o[0] >= point[0] and o[1] >= point[1] for o in points)

    assert frontier(points) == sorted({point for point in points if not beaten(point)})


@pytest.fixture
def two_studies(write_csv, ten_rows, tmp_path: Path) -> JudgmentData:
    """People of the second study liked the pictures themselves in the opposite order."""
    rows = [[*row, "one"] for row in ten_rows]
    rows += [[*row[:2], 5 - row[2] + 4 * (row[2] >= 3), "two"] for row in ten_rows]
    file = write_csv(["reference", "test", "score", "study"], rows)
    data = JudgmentData([file], cache=tmp_path / "cache", folds=5)
    data.setup()
    return data


def test_a_mixture_leads_from_vgg_to_its_partner(two_studies: JudgmentData) -> None:
    features, studies = two_studies.batch.features, ("one", "two")
    paths = mixtures(two_studies, studies)
    vgg = place(two_studies, uniform_log_distance(DistanceConfig(), features), studies)
    assert vgg[0] != vgg[1]
    assert all(path[0] == pytest.approx(vgg) for path in paths.values())
    for partner in PARTNERS:
        alone = place(two_studies, term_log(features, partner), studies)
        assert paths[partner][-1] == pytest.approx(alone)
    assert len({tuple(path) for path in paths.values()}) > 1


def test_the_plot_shows_every_mixture_and_the_fit(two_studies: JudgmentData) -> None:
    model = FittedDistance()
    model._out_of_fold = uniform_log_distance(DistanceConfig(), two_studies.batch.features)
    (axes,) = frontier_plot(model, two_studies, ("one", "two")).axes
    labels = axes.get_legend_handles_labels()[1]
    assert len(labels) == len(PARTNERS) + 2 and labels[-1] == "fitted, out of fold"
