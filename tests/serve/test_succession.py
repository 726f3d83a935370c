import gc
import math
import weakref
from collections import Counter

import pytest
import torch

from imgcompress.serve.succession import Canary, Counts, Succession, Verdict

ONE = torch.zeros(1, 3, 8, 8)


class Model:
    """Says the same of every pair."""

    def __init__(self, distance: float, *, digest: str = "") -> None:
        self.distance = distance
        self.digest = digest or str(distance)
        self.calls = 0

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.distance < 0:
            raise RuntimeError("broken")
        return torch.full((len(a),), self.distance)


def trial(first: Model, second: Model, *, share: float = 0.5, pairs: int = 4) -> Succession:
    succession = Succession(first, share, pairs, 1.5)
    succession.offer(second)
    return succession


def use(succession: Succession, times: int, pictures: torch.Tensor = ONE) -> list[float]:
    return [round(float(succession.lease().model(pictures, pictures)[0]), 6) for _ in range(times)]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.5, 0.9, 1.0])
def test_a_canary_takes_its_share_evenly(share: float):
    canary = Canary(share, 10, 2.0)
    taken = [canary.takes_next() for _ in range(1000)]
    assert sum(taken) == pytest.approx(1000 * share, abs=1)
    for first in range(0, 1000, 100):
        assert sum(taken[first : first + 100]) == pytest.approx(100 * share, abs=1)


def test_a_canary_passes_within_its_band():
    canary = Canary(0.1, 4, 1.5)
    assert canary.record([1.0, 2.0], [1.4, 2.6]) is Verdict.OPEN
    assert canary.record([1.0, 2.0], [0.8, 2.9]) is Verdict.PASSED


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_canary_fails_outside_of_its_band(factor: float):
    canary = Canary(0.1, 4, 1.5)
    assert canary.record([1.0, 2.0, 3.0], [factor, 2 * factor, 3 * factor]) is Verdict.OPEN
    assert canary.record([1.0], [factor]) is Verdict.FAILED


@pytest.mark.parametrize("new", [None, [math.nan], [math.inf], [-1.0], [], [1.0, 1.0]])
def test_a_canary_fails_at_once_where_there_is_no_distance(new: list[float] | None):
    assert Canary(0.1, 100, 1.5).record([1.0], new) is Verdict.FAILED


def test_tiny_distances_count_as_equal():
    assert Canary(0.1, 1, 1.5).record([0.0], [1e-5]) is Verdict.PASSED


def test_without_a_canary_a_new_model_is_in_use_at_once():
    succession = Succession(Model(1.0), 0.0, 4, 1.5)
    before = succession.lease()
    succession.offer(Model(5.0))
    assert use(succession, 3) == [5.0] * 3
    assert float(before.model(ONE, ONE)) == 1.0
    assert succession.counts == Counts(swaps=1, version=2)
    assert (before.version, succession.lease().version) == (1, 2)


def test_a_trial_that_is_passed():
    succession = trial(Model(1.0), Model(1.2))
    assert Counter(use(succession, 6)) == {1.0: 3, 1.2: 3}
    assert succession.counts == Counts()
    use(succession, 2)  # the fourth pair
    assert succession.counts == Counts(swaps=1, version=2)
    old, new = succession.lease(), succession.lease()
    assert old is new and old.digest == "1.2"


def test_a_trial_that_is_lost():
    succession = trial(Model(1.0), Model(3.0))
    use(succession, 8)
    assert succession.counts == Counts(rollbacks=1)
    assert use(succession, 8) == [1.0] * 8


@pytest.mark.parametrize("distance", [-1.0, math.nan, math.inf])
def test_nobody_notices_a_model_that_fails_in_its_trial(distance: float):
    succession = trial(Model(1.0), Model(distance))
    assert use(succession, 4) == [1.0] * 4
    assert succession.counts == Counts(rollbacks=1)


def test_where_both_fail_it_is_not_the_new_models_fault():
    first, second = Model(1.0), Model(1.1)
    succession = trial(first, second, share=1.0)
    first.distance = second.distance = -1.0
    with pytest.raises(RuntimeError, match="broken"):
        use(succession, 1)
    assert succession.counts == Counts()
    first.distance, second.distance = 1.0, 1.1
    use(succession, 4)
    assert succession.counts == Counts(swaps=1, version=2)


def test_a_newer_model_takes_over_the_trial():
    succession = trial(Model(1.0), Model(1.2))
    late = [succession.lease(), succession.lease()][1]
    succession.offer(Model(1.3))
    late.model(torch.zeros(9, 3, 8, 8), torch.zeros(9, 3, 8, 8))  # of the trial that is over
    assert succession.counts == Counts()
    use(succession, 8)
    assert succession.counts == Counts(swaps=1, version=3)
    assert succession.stable.digest == "1.3"


def test_the_model_in_use_offered_again_ends_the_trial():
    succession = trial(Model(1.0), Model(1.2))
    succession.offer(Model(1.0))
    assert use(succession, 8) == [1.0] * 8
    assert succession.counts == Counts()


def test_the_model_on_trial_offered_again_changes_nothing():
    succession = trial(Model(1.0), Model(1.2))
    use(succession, 6)
    succession.offer(Model(1.2))
    use(succession, 2)
    assert succession.counts == Counts(swaps=1, version=2)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_old_model_lives_as_long_as_its_last_lease(share: float):
    first = Model(1.0)
    gone = weakref.ref(first)
    succession = Succession(first, share, 1, 1.5)
    del first
    lease = succession.lease()
    succession.offer(Model(1.1))
    use(succession, 2)
    assert succession.counts.swaps == 1
    gc.collect()
    assert gone() is not None and float(lease.model(ONE, ONE)) == 1.0
    del lease
    gc.collect()
    assert gone() is None
