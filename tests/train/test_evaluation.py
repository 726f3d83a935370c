import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from train.evaluation import agreement


def test_agreement_is_scipys() -> None:
    generator = np.random.default_rng(3)
    distances = generator.integers(0, 12, 40).astype(float)
    scores = -distances + generator.normal(0, 3, 40)
    found = agreement(distances.tolist(), scores.tolist(), [f"{i // 4}" for i in range(40)], draws=200)
    assert found.srocc == pytest.approx(spearmanr(-distances, scores).statistic)
    assert found.krocc == pytest.approx(kendalltau(-distances, scores).statistic)
    assert found.low < found.srocc < found.high
    assert found.plcc >= np.corrcoef(-distances, scores)[0, 1] - 1e-3


def test_a_logistic_curve_is_straightened() -> None:
    distances = np.linspace(-4, 4, 30)
    scores = 1 + 8 / (1 + np.exp(2 * distances))
    found = agreement(distances.tolist(), scores.tolist(), ["a", "b"] * 15, draws=10)
    assert found.plcc == pytest.approx(1, abs=1e-6) and found.srocc == 1


def test_intervals_are_over_pictures() -> None:
    """Copies of a picture's items tell nothing new."""
    distances, scores, pictures = [1.0, 2.0, 3.0, 4.0], [4.0, 2.0, 3.0, 1.0], ["a", "b", "c", "d"]
    one = agreement(distances, scores, pictures)
    many = agreement(distances * 10, scores * 10, pictures * 10)
    assert (one.low, one.high) == pytest.approx((many.low, many.high))
