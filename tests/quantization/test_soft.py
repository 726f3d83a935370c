import math
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import entropy
from torch import Tensor

from imgcompress.formats.jpeg.encoder import CoefficientBatch, encode_baseline
from imgcompress.formats.jpeg.huffman import code_lengths
from imgcompress.image.dct import forward_dct
from imgcompress.image.planes import planes_from_pixels
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.image.zigzag import ZIGZAG
from imgcompress.quantization.quantize import dequantize, quantize, round_half_away
from imgcompress.quantization.rates import code_length_estimates, estimated_bits, symbol_counts
from imgcompress.quantization.soft import SoftRounding, expected_ac_bits, laplacian_bits
from imgcompress.quantization.tables import ijg_tables

STRAIGHT = SoftRounding("straight_through")
POLYNOMIAL = SoftRounding("polynomial")
SOFT = [STRAIGHT, POLYNOMIAL, *(SoftRounding("annealed", t) for t in (1e-3, 0.05, 0.3, 2.0, 1e3))]


def laplacian(shape: tuple[int, ...], scale: float = 1.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    sign = torch.randint(0, 2, shape, generator=generator) * 2 - 1
    return -scale * sign * torch.log(1 - torch.rand(shape, generator=generator))


def slope(value: Tensor, variable: Tensor) -> Tensor:
    return torch.autograd.grad(value.sum(), variable)[0]


def away_from_halves(number: int = 1001) -> Tensor:
    values = torch.linspace(-4, 4, number, dtype=torch.float64)
    return values[((values - values.floor()) - 0.5).abs() > 0.02].requires_grad_()


def test_straight_through_rounds_with_the_gradient_of_the_identity(device: torch.device) -> None:
    values = torch.linspace(-3, 3, 97, device=device, requires_grad=True)
    assert torch.equal(STRAIGHT(values), round_half_away(values))
    assert torch.equal(slope(STRAIGHT(values), values), torch.ones_like(values))


def test_polynomial_by_its_definition(device: torch.device) -> None:
    values = away_from_halves().detach().to(device).requires_grad_()
    nearest = torch.round(values.detach())
    assert torch.allclose(POLYNOMIAL(values), nearest + (values - nearest) ** 3)
    assert torch.allclose(slope(POLYNOMIAL(values), values), 3 * (values - nearest) ** 2)


@pytest.mark.parametrize("temperature", [0.05, 0.3, 2.0])
def test_annealed_by_its_definition(temperature: float, device: torch.device) -> None:
    values = torch.linspace(-4, 4, 1001, dtype=torch.float64, device=device)
    exact = values.cpu().numpy()
    low = np.floor(exact)
    alpha = 1 / temperature
    expected = low + 0.5 * np.tanh(alpha * (exact - low - 0.5)) / np.tanh(alpha / 2) + 0.5
    result = SoftRounding("annealed", temperature)(values)
    np.testing.assert_allclose(result.cpu().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("rounding", SOFT[1:], ids=str)
def test_gradients_are_slopes(rounding: SoftRounding) -> None:
    values = away_from_halves()
    step = 1e-6
    with torch.no_grad():
        measured = (rounding(values + step) - rounding(values - step)) / (2 * step)
    assert torch.allclose(slope(rounding(values), values), measured, atol=1e-4)


def test_annealed_goes_from_the_identity_to_rounding() -> None:
    values = away_from_halves().detach()
    errors = [
        float((SoftRounding("annealed", t)(values) - round_half_away(values)).abs().max())
        for t in (10.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.001)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-12
    assert torch.allclose(SoftRounding("annealed", 1e3)(values), values, atol=1e-6)


@pytest.mark.parametrize("rounding", SOFT, ids=str)
def test_gradients_are_finite_and_rounding_is_odd(rounding: SoftRounding, device: torch.device) -> None:
    edges = [0.0, 0.5, 1.0, 1.5, 0.49999997, 1023.5, 1e6, 1e20]
    values = torch.tensor([*edges, *(-edge for edge in edges)], device=device, requires_grad=True)
    rounded = rounding(values)
    assert slope(rounded, values).isfinite().all()
    assert torch.equal(rounded[: len(edges)], -rounded[len(edges) :])


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_no_temperature_is_an_error(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        SoftRounding("annealed", temperature)


@pytest.mark.parametrize("rounding", SOFT, ids=str)
def test_a_dead_zone_zeroes_gradients_and_leaves_the_others(
    rounding: SoftRounding, device: torch.device
) -> None:
    coefficients = laplacian((2, 3, 4, 8, 8), 20).to(device).requires_grad_()
    steps = torch.full((2, 8, 8), 16.0, device=device, requires_grad=True)
    thresholds = torch.full((2, 3, 4), 0.62, device=device)
    inside = (coefficients / 16).abs() < 0.62
    inside[..., 0, 0] = False

    def gradients(zone: Tensor | None) -> tuple[Tensor, ...]:
        table = steps[:, None, None].expand_as(coefficients)
        # A step for every coefficient, so that each gradient is seen by itself.
        each = table.detach().reshape(-1, 8, 8).requires_grad_()
        blocks = coefficients.reshape(-1, 1, 1, 8, 8)
        decoded = dequantize(
            quantize(blocks, each, None if zone is None else zone.view(-1, 1, 1), rounding), each
        )
        return tuple(
            part.view_as(coefficients) for part in torch.autograd.grad(decoded.sum(), (coefficients, each))
        )

    for with_zone, without in zip(gradients(thresholds), gradients(None), strict=True):
        assert with_zone.isfinite().all()
        assert (with_zone[inside] == 0).all()
        assert torch.equal(with_zone[~inside], without[~inside])
        assert inside.any() and (~inside).any()


def test_half_a_step_cuts_the_gradients_of_zeros_and_changes_no_value() -> None:
    coefficients, steps = laplacian((1, 3, 4, 8, 8), 20).requires_grad_(), torch.full((1, 8, 8), 16.0)
    half = torch.full((1, 3, 4), 0.5)
    cut, plain = (quantize(coefficients, steps, zone, STRAIGHT) for zone in (half, None))
    assert torch.equal(cut, plain)
    gradient = slope(cut, coefficients)[..., 1:, :]
    assert torch.equal(gradient != 0, cut[..., 1:, :] != 0)


@pytest.mark.parametrize(
    ("scale", "true", "cut"), [(0.2, 1.08, 0.44), (0.5, 1.79, 0.92), (1.0, 1.95, 1.29), (2.0, 1.99, 1.59)]
)
def test_slopes_of_the_squared_error_in_the_steps(scale: float, true: float, cut: float) -> None:
    """The table in the module's docstring."""
    # Equally spaced quantiles: no noise.
    chances = (torch.arange(2**16, dtype=torch.float64) + 0.5) / 2**16
    coefficients = (-scale * torch.log(chances)).float().view(1, 32, 32, 8, 8)

    def log_error(steps: Tensor, zone: Tensor | None, rounding: SoftRounding) -> Tensor:
        decoded = dequantize(quantize(coefficients, steps, zone, rounding), steps)
        return (decoded - coefficients)[..., 1:, :].square().sum().log()

    table = torch.ones(1, 8, 8)
    finer, coarser = (log_error(table * factor, None, STRAIGHT) for factor in (1 / 1.01, 1.01))
    assert float(coarser - finer) / (2 * math.log(1.01)) == pytest.approx(true, abs=0.03)
    for zone, expected in ((None, 2.0), (torch.full((1, 32, 32), 0.5), cut)):
        steps = table.clone().requires_grad_()
        assert float(slope(log_error(steps, zone, STRAIGHT), steps).sum()) == pytest.approx(
            expected, abs=0.02
        )
    steps = table.clone().requires_grad_()
    annealed = slope(log_error(steps, None, SoftRounding("annealed", 0.02)), steps)
    assert float(annealed.sum()) == pytest.approx(true, abs=0.1)


@pytest.mark.parametrize("scale", [0.1, 0.4, 1.0, 5.0])
def test_laplacian_bits_are_the_entropy_of_rounded_values(scale: float, device: torch.device) -> None:
    chances = (torch.arange(1024, dtype=torch.float64) + 0.5) / 1024
    block = (torch.log(chances) * -scale / -torch.log(chances).mean()).float()
    coefficients = (7 * block).view(1, 32, 32, 1, 1).expand(-1, -1, -1, 8, 8).clone()
    coefficients[..., 0, 0] = 0
    tail = np.exp(-(np.arange(400) + 0.5) / scale)  # P(|k| > n)
    sizes = np.diff(np.concatenate([[0.0], 1 - tail]))
    expected = entropy(np.concatenate([sizes[:1], np.repeat(sizes[1:] / 2, 2)]), base=2)
    bits = laplacian_bits(coefficients.to(device), torch.full((1, 8, 8), 7.0, device=device))
    assert float(bits.sum()) / (63 * 1024) == pytest.approx(expected, rel=0.002, abs=1e-4)


def test_laplacian_bits_have_gradients(device: torch.device) -> None:
    coefficients = laplacian((1, 2, 2, 8, 8), 20).double().to(device).requires_grad_()
    steps = torch.linspace(5, 30, 64, device=device).view(1, 8, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(laplacian_bits, (coefficients, steps), atol=1e-4)
    # Coarser steps cost less, in every band.
    assert (slope(laplacian_bits(coefficients, steps), steps) < 0).all()
    flat = torch.zeros(1, 1, 1, 8, 8, device=device, requires_grad=True)
    bits = laplacian_bits(flat, torch.ones(1, 8, 8, device=device))
    assert (bits >= 0).all() and (bits < 0.0008).all()
    assert slope(bits, flat).isfinite().all()


def natural(in_zigzag: list[float]) -> Tensor:
    block = torch.empty(64)
    block[torch.tensor(ZIGZAG)] = torch.tensor(in_zigzag)
    return block.view(1, 1, 1, 8, 8)


def lengths_at_random(seed: int, batch: int = 1) -> Tensor:
    return 1 + 15 * torch.rand(batch, 256, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [0.1, 0.5, 3.0, 200.0])
def test_expected_bits_are_exact_at_integers(scale: float, device: torch.device) -> None:
    sampling = SAMPLINGS["gray"]
    values = round_half_away(laplacian((2, 4, 6, 8, 8), scale)).clamp(-1023, 1023).to(device)
    lengths = lengths_at_random(1, 2).to(device)
    counts = symbol_counts([values.to(torch.int16)], sampling, [32, 32], [48, 48])
    expected = estimated_bits(counts[:, 1], lengths)
    assert torch.allclose(expected_ac_bits(values, lengths).sum((1, 2)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "places", [{1: 0.3, 2: -0.7}, {5: 1.4, 30: 0.5, 63: 0.25}, {1: 3.75, 20: -7.5, 21: 0.1, 60: 0.9}]
)
def test_expected_bits_are_the_mean_over_random_rounding(
    places: dict[int, float], flow_chart_bits: Callable[[list[int], list[float]], float]
) -> None:
    lengths = lengths_at_random(2)
    block = [0.0] * 64
    for position, value in places.items():
        block[position] = value
    expected = 0.0
    for ups in product((0, 1), repeat=len(places)):
        chance, rounded = 1.0, [0] * 64
        for up, (position, value) in zip(ups, places.items(), strict=True):
            low = math.floor(abs(value))
            chance *= abs(value) - low if up else 1 - abs(value) + low
            rounded[position] = low + up
        expected += chance * flow_chart_bits(rounded, lengths[0].tolist())
    assert float(expected_ac_bits(natural(block), lengths)) == pytest.approx(expected, rel=1e-5)


def test_expected_bits_have_gradients(device: torch.device) -> None:
    values = laplacian((2, 2, 3, 8, 8), 0.8, seed=3).double().to(device)
    # Slopes are measured away from integers, where they jump.
    values = (values.trunc() + torch.sign(values) * values.frac().abs().clamp(0.1, 0.9)).requires_grad_()
    lengths = lengths_at_random(4, 2).double().to(device).requires_grad_()
    bits = expected_ac_bits(values, lengths).sum()
    gradients = torch.autograd.grad(bits, (values, lengths))
    for seed in range(5):
        ways = [
            laplacian(part.shape, 1e-4, seed).double().to(device).clamp(-1e-2, 1e-2) for part in gradients
        ]
        with torch.no_grad():
            ahead = expected_ac_bits(values + ways[0], lengths + ways[1]).sum()
            behind = expected_ac_bits(values - ways[0], lengths - ways[1]).sum()
        foretold = sum((2 * way * part).sum() for way, part in zip(ways, gradients, strict=True))
        assert float(ahead - behind) == pytest.approx(float(foretold), rel=1e-3)
    integers = values.detach().round().requires_grad_()
    assert slope(expected_ac_bits(integers, lengths), integers).isfinite().all()


def test_batched_equals_unbatched() -> None:
    coefficients, lengths = laplacian((3, 2, 5, 8, 8), 15), lengths_at_random(5, 3)
    steps = torch.linspace(1, 90, 192).view(3, 8, 8)
    values = quantize(coefficients, steps, rounding=SoftRounding("annealed"))
    together = expected_ac_bits(values, lengths), laplacian_bits(coefficients, steps)
    for index in range(3):
        one = slice(index, index + 1)
        alone = expected_ac_bits(values[one], lengths[one]), laplacian_bits(coefficients[one], steps[one])
        for part, whole in zip(alone, together, strict=True):
            assert torch.allclose(part, whole[one], rtol=1e-5)


@pytest.mark.shared
def test_models_foretell_the_bits_of_files(shared: Path) -> None:
    """The figures of soft.py's docstrings: 24 photographs, 128x128 from the middle, 4:2:0, plain rounding."""
    sampling = SAMPLINGS["420"]
    crops = []
    for path in sorted((shared / "photos" / "kodak").glob("*.png")):
        pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
        top, left = (pixels.shape[1] - 128) // 2, (pixels.shape[2] - 128) // 2
        crops.append(pixels[:, top : top + 128, left : left + 128].float())
    number, sides = len(crops), (128,) * len(crops)
    coefficients = [forward_dct(plane) for plane in planes_from_pixels(torch.stack(crops), sampling)]
    true, laplace, true_ac, codes, true_blocks, block_codes = ([] for _ in range(6))
    for quality in (30, 50, 70, 85, 95):
        tables = ijg_tables(quality).expand(number, -1, -1, -1)
        steps = [tables[:, min(component, 1)] for component in range(3)]
        hard = [quantize(plane, table) for plane, table in zip(coefficients, steps, strict=True)]
        planes = tuple(plane.to(torch.int16) for plane in hard)
        batch = CoefficientBatch(planes, tables.int(), (0, 1, 1), sides, sides, sampling)
        for file in encode_baseline(batch, [b""] * number):
            start = file.index(b"\xff\xda")
            scan = file[start + 2 + int.from_bytes(file[start + 2 : start + 4], "big") : -2]
            true.append(8 * len(scan.replace(b"\xff\x00", b"\xff")))
        laplace += sum(map(laplacian_bits, coefficients, steps)).sum((1, 2)).tolist()
        counts = symbol_counts(planes, sampling, sides, sides)
        huffman, estimates = code_lengths(counts).float(), code_length_estimates(counts)
        soft = [
            quantize(plane, table, rounding=SoftRounding("annealed", 0.1))
            for plane, table in zip(coefficients, steps, strict=True)
        ]
        exact = [expected_ac_bits(plane, huffman[:, 1 + 2 * (i > 0)]) for i, plane in enumerate(hard)]
        guess = [expected_ac_bits(plane, estimates[:, 1 + 2 * (i > 0)]) for i, plane in enumerate(soft)]
        true_ac += sum(plane.sum((1, 2)) for plane in exact).tolist()
        codes += sum(plane.sum((1, 2)) for plane in guess).tolist()
        true_blocks += [plane.flatten() for plane in exact]
        block_codes += [plane.flatten() for plane in guess]

    def agreement(model: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
        """Correlation, and the mean absolute error in percent."""
        return float(np.corrcoef(model, truth)[0, 1]), float(100 * np.mean(np.abs(model / truth - 1)))

    by_entropy = agreement(np.array(laplace), np.array(true))
    by_codes = agreement(np.array(codes), np.array(true_ac))
    blocks, truth = torch.cat(block_codes).numpy(), torch.cat(true_blocks).numpy()
    of_blocks = agreement(blocks[truth >= 20], truth[truth >= 20])
    correlations, errors = zip(by_entropy, by_codes, of_blocks, strict=True)
    assert correlations == pytest.approx((0.993, 1.0, 0.999), abs=0.0006)
    assert errors == pytest.approx((6.4, 2.35, 3.7), abs=0.06)
