from decimal import ROUND_HALF_UP, Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imgcompress.quantization.quantize import (
    MAX_AC,
    MAX_DC,
    dead_zone_thresholds,
    dequantize,
    quantize,
    round_half_away,
)


def blocks(seed: int, spread: float = 300.0) -> torch.Tensor:
    return torch.randn((2, 3, 5, 8, 8), generator=torch.Generator().manual_seed(seed)) * spread


def steps(seed: int) -> torch.Tensor:
    return torch.randint(1, 100, (2, 8, 8), generator=torch.Generator().manual_seed(seed)).float()


@given(st.integers(-4000, 4000))
def test_halves_are_rounded_away_from_zero(quarters: int) -> None:
    value = quarters / 4
    expected = int(Decimal(value).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    assert round_half_away(torch.tensor([value])).item() == expected


@given(st.integers(0, 2**31))
def test_plain_rounding_errs_by_at_most_half_a_step(seed: int) -> None:
    coefficients, table = blocks(seed, 150.0), steps(seed)
    values = quantize(coefficients, table)
    assert torch.equal(values, values.round())
    error = (dequantize(values, table) - coefficients).abs()
    assert (error <= table[:, None, None] / 2 + 1e-3).all()


@given(st.integers(0, 2**31))
def test_dead_zone(seed: int) -> None:
    coefficients, table = blocks(seed, 100.0), steps(seed)
    generator = torch.Generator().manual_seed(seed)
    thresholds = 0.5 + 0.4 * torch.rand((2, 3, 5), generator=generator)
    plain, zoned = quantize(coefficients, table), quantize(coefficients, table, thresholds)
    size = (coefficients / table[:, None, None]).abs()
    inside = size < thresholds[..., None, None]
    inside[..., 0, 0] = False
    assert (zoned[inside] == 0).all()
    assert torch.equal(zoned[~inside], plain[~inside])
    assert (plain[inside] != 0).any() and (plain[..., 0, 0] == zoned[..., 0, 0]).all()


def test_a_threshold_of_half_a_step_is_plain_rounding() -> None:
    coefficients, table = blocks(1), steps(1)
    half = torch.full((2, 3, 5), 0.5)
    assert torch.equal(quantize(coefficients, table, half), quantize(coefficients, table))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_values_stay_in_a_baseline_frame(sign: float, device: torch.device) -> None:
    values = quantize(
        torch.full((1, 1, 1, 8, 8), sign * 1e6, device=device), torch.ones((1, 8, 8), device=device)
    )
    assert values[0, 0, 0, 0, 0] == (MAX_AC if sign > 0 else -MAX_DC)
    assert (values.flatten()[1:] == sign * MAX_AC).all()


def test_another_rounding_keeps_the_gradient() -> None:
    coefficients, table = blocks(2, 20.0).requires_grad_(), steps(2)
    quantize(coefficients, table, rounding=lambda values: values).sum().backward()
    assert coefficients.grad is not None
    assert torch.allclose(coefficients.grad, (1 / table)[:, None, None].expand_as(coefficients))


def test_every_picture_has_its_own_steps() -> None:
    coefficients, table = blocks(3), steps(3)
    together = quantize(coefficients, table)
    assert torch.equal(together[1:], quantize(coefficients[1:], table[1:]))
    assert not torch.equal(together[1:], quantize(coefficients[1:], table[:1]))


@given(
    st.floats(0.25, 4.0, width=32), st.floats(0.25, 4.0, width=32), st.floats(0.5, 0.9), st.floats(0.0, 1.0)
)
def test_thresholds_fall_with_the_weight_within_their_range(
    one: float, other: float, threshold: float, slope: float
) -> None:
    weights = torch.tensor([[[min(one, other), max(one, other), 1.0]]])
    low, high, neutral = dead_zone_thresholds(weights, threshold, slope).flatten().tolist()
    assert 0.5 - 1e-6 <= high <= low <= 0.9 + 1e-6
    assert neutral == pytest.approx(threshold)


def test_thresholds_at_a_known_point() -> None:
    weights = torch.tensor([[[0.5, 2.0, 0.25]]])
    assert dead_zone_thresholds(weights, 0.62, 0.09).flatten().tolist() == pytest.approx([0.71, 0.575, 0.89])
