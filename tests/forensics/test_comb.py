import numpy as np
import pytest
import torch

from imgcompress.forensics.comb import LARGEST_STEP, REACH, combs, step_evidence
from imgcompress.forensics.histograms import MOST, VALUES

CPU = torch.device("cpu")


@pytest.mark.parametrize(("step", "earlier", "spread"), [(3, 8, 0.4), (5, 3, 0.8), (1, 2, 2.5), (1, 7, 1.0)])
def test_a_comb_is_what_a_simulation_counts(step: int, earlier: int, spread: float) -> None:
    generator = np.random.default_rng(1)
    multiples = earlier * generator.integers(-110, 111, 3_000_000)
    stored = np.rint((multiples + generator.normal(0, spread, len(multiples))) / step)
    values = min(REACH // step, 60)
    counts = np.array([(stored == value).sum() for value in range(1, values + 1)])
    expected = counts / (len(multiples) / (221 * earlier) * step)
    found = combs(step, (spread,), CPU)[0, earlier - 1, :values]
    # 3 of 100 values stray; counts of some 13,000 a multiple are uncertain by 1 percent.
    assert found.numpy() == pytest.approx(0.97 * expected + 0.03, abs=0.1)


def test_steps_that_divide_the_present_one_are_invisible() -> None:
    generator = np.random.default_rng(1)
    stored = np.rint(generator.laplace(0, 30, 4000) / 6).astype(int).clip(-MOST, MOST)
    histogram = torch.from_numpy(np.bincount(stored + MOST, minlength=VALUES))
    evidence = step_evidence(histogram, 6, combs(6, (0.01,), CPU))
    assert evidence.shape == (LARGEST_STEP,)
    # Odd divisors of 6: the multiples of 2 and 6 next to an edge are torn by the error, whatever came before.
    assert evidence[[0, 2]].abs().max() < 3


def test_a_smooth_histogram_speaks_against_every_other_step_and_a_comb_for_its_own() -> None:
    generator = np.random.default_rng(1)
    smooth = generator.laplace(0, 25, 6000)
    for values, best in ((smooth, None), (7 * np.rint(smooth / 7) + generator.normal(0, 0.4, 6000), 7)):
        stored = np.rint(values / 2).astype(int).clip(-MOST, MOST)
        histogram = torch.from_numpy(np.bincount(stored + MOST, minlength=VALUES))
        evidence = step_evidence(histogram, 2, combs(2, (0.4,), CPU))
        if best is None:
            assert evidence.max() < 5
        else:
            assert int(evidence.argmax()) + 1 == best and evidence.max() > 500
