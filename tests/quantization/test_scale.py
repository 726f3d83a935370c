from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imgcompress.quantization.scale import HIGHEST, LOWEST, score_of_quality, step_of_score
from imgcompress.quantization.tables import MAX_STEP, imgcompress_tables, whole_steps


def test_qualities_stand_for_rising_scores() -> None:
    scores = [score_of_quality(quality) for quality in range(1, 101)]
    assert all(one < other for one, other in pairwise(scores))
    assert [scores[9], scores[74], scores[89]] == pytest.approx([-13.9, 73.9, 84.0])


@given(st.floats(LOWEST, HIGHEST), st.floats(LOWEST, HIGHEST))
def test_a_higher_score_never_has_a_coarser_step(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert step_of_score(low) >= step_of_score(high) > 0


@pytest.mark.parametrize(("score", "step"), [(26.8, 60.0), (71.2, 14.0), (89.8, 2.5)])
def test_measured_points_are_met(score: float, step: float) -> None:
    assert step_of_score(score) == pytest.approx(step)
    assert step_of_score(score - 1e-6) == pytest.approx(step, rel=1e-4)


def test_outside_of_the_scale_its_ends_are_meant() -> None:
    assert step_of_score(-1e9) == step_of_score(LOWEST)
    assert step_of_score(100.0) == step_of_score(HIGHEST)


def test_at_the_ends_all_steps_are_the_coarsest_and_the_finest() -> None:
    classes = torch.eye(3)
    for end, step in ((LOWEST, MAX_STEP), (HIGHEST, 1.0)):
        tables = whole_steps(imgcompress_tables(torch.full((3,), step_of_score(end)), classes))
        assert (tables == step).all()
