"""The search for qualities, on made-up encoders."""

from collections.abc import Callable

import pytest
from rd.qualities import next_qualities, refine

TARGETS = (61.0, 66.0, 71.0, 76.0, 81.0, 85.5, 89.3)
START = (45, 75, 92)
Encoder = Callable[[int], float]


def search(encoder: Encoder) -> tuple[dict[int, float], int]:
    """What the benchmark does: rounds until nothing is missed."""
    measured = {quality: encoder(quality) for quality in START}
    for number in range(10):
        new = next_qualities(measured, TARGETS, 60, 90)
        if not new:
            return measured, number
        assert not measured.keys() & set(new)
        assert all(1 <= quality <= 100 for quality in new)
        measured |= {quality: encoder(quality) for quality in new}
    raise AssertionError("the search does not end")


@pytest.mark.parametrize(
    "encoder",
    [
        lambda q: 100 - 60 * (1 - q / 100) ** 0.6,
        lambda q: 30 + 0.65 * q,
        lambda q: 97 - 700 / (q + 1),
        lambda q: 20 + 0.78 * q + (1.5 if q % 2 else 0),  # not monotone
    ],
)
def test_covers_the_range_in_few_files(encoder: Encoder) -> None:
    measured, rounds = search(encoder)
    inside = sorted(score for score in measured.values() if 60 <= score <= 90)
    assert len(inside) >= 6
    assert inside[0] < 64
    assert inside[-1] > 86.5
    assert len(measured) <= 14
    assert rounds <= 5


@pytest.mark.parametrize("encoder", [lambda q: 40 + 0.3 * q, lambda q: 92.0, lambda q: 95 + q / 100])
def test_ends_where_the_range_is_out_of_reach(encoder: Encoder) -> None:
    measured, _ = search(encoder)
    assert len(measured) < 30


def test_asks_for_nothing_when_every_target_is_met() -> None:
    assert next_qualities(dict(enumerate(TARGETS, 50)), TARGETS, 60, 90) == []


def test_a_point_outside_the_range_meets_no_target() -> None:
    met = dict(enumerate(TARGETS[1:], 51)) | {40: 59.5}
    assert next_qualities(met, TARGETS, 60, 90) == [43]


def test_refines_the_widest_step_into_the_range() -> None:
    assert refine({10: 20.0, 40: 62.0, 50: 85.0, 90: 88.0}, 60, 90) == [25]
    assert refine({40: 62.0, 50: 85.0, 90: 88.0}, 60, 90) == [45]
    assert refine({40: 62.0, 41: 85.0, 42: 88.0}, 60, 90) == []
    assert refine({10: 10.0, 30: 50.0, 31: 70.0}, 60, 90) == []
