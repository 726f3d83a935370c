import numpy as np
import pytest
import torch
from scipy.stats import norm

from imgcompress.forensics.band_model import MAGNITUDES, SPREADS, THRESHOLDS, BandTables, band_tables


@pytest.fixture(scope="module")
def tables() -> BandTables:
    return band_tables()


@pytest.mark.parametrize("spread", [0, 2, 4])
@pytest.mark.parametrize("zone", [0, 4])
def test_odds_and_error_are_those_of_drawn_values(tables: BandTables, spread: int, zone: int) -> None:
    generator = np.random.default_rng(1)
    deviations = np.exp(SPREADS[spread] * np.clip(generator.standard_normal(400_000), -4, 4))
    values = generator.standard_normal(400_000) * deviations
    values /= np.sqrt(np.square(values).mean())
    for size in (20, 26, 31):
        drawn = values * float(tables.log_sizes[size].exp())
        quantized = np.where(np.abs(drawn) < THRESHOLDS[zone], 0, np.round(np.abs(drawn)))
        quantized = np.where((quantized == 0) & (np.abs(drawn) >= THRESHOLDS[zone]), 1, quantized)
        error = np.square(np.abs(drawn) - quantized).mean()
        assert float(tables.error[zone, spread, size]) == pytest.approx(error, rel=0.04)
        odds = tables.log_odds[zone, spread, size].exp()
        for magnitude in range(4):
            assert float(odds[magnitude]) == pytest.approx((quantized == magnitude).mean(), abs=0.004)


def test_the_least_spread_is_nearly_scipys_gaussian(tables: BandTables) -> None:
    size = float(tables.log_sizes[26].exp())
    within = norm.cdf(0.5 / size) - norm.cdf(-0.5 / size)
    assert float(tables.log_odds[0, 0, 26].exp()[0]) == pytest.approx(within, abs=0.02)


def test_every_odds_sum_to_one_and_errors_reach_their_limits(tables: BandTables) -> None:
    assert tables.log_odds.shape[-1] == MAGNITUDES + 1
    torch.testing.assert_close(tables.log_odds.exp().sum(-1), torch.ones_like(tables.error))
    small, large = tables.log_sizes[0].exp(), len(tables.log_sizes) - 1
    torch.testing.assert_close(tables.error[..., 0], small.square().expand(7, 5), rtol=0.05, atol=0)
    torch.testing.assert_close(
        tables.error[0, :, large], torch.full((5,), 1 / 12, dtype=torch.float64), rtol=0.02, atol=0
    )
    assert (tables.slope[..., 0] < -0.9).all()
    assert (tables.slope[0, :, large] > -0.05).all()


def test_tables_are_the_same_on_every_device(tables: BandTables, device: torch.device) -> None:
    for ours, there in zip(tables, band_tables(device), strict=True):
        torch.testing.assert_close(there.cpu(), ours)
