import pytest
import torch
from torch import Tensor

from imgcompress.image.sampling import SAMPLINGS, Sampling
from imgcompress.quantization.rates import estimated_bits
from imgcompress.quantization.symbols import fill_dummy_blocks, symbol_stream
from imgcompress.quantization.trellis_dc import round_dc, trellis_dc

SIZES = ((1, 1), (7, 9), (33, 50), (64, 41))


def coding_order(component: int, sampling: Sampling, height: int, width: int) -> list[tuple[int, int]]:
    """The blocks of a picture's component that hold its samples, in the order of T.81, A.2.3."""
    horizontal, vertical = sampling.factors(component)
    down, across = sampling.block_grid(component, height, width)
    blocks = [
        (mcu_row * vertical + row, mcu_column * horizontal + column)
        for mcu_row in range(-(-height // sampling.mcu_height))
        for mcu_column in range(-(-width // sampling.mcu_width))
        for row in range(vertical)
        for column in range(horizontal)
    ]
    return [(row, column) for row, column in blocks if row < down and column < across]


def least_cost(exact: list[float], weights: list[float], lengths: list[float], lam: float) -> float:
    """Viterbi's algorithm, a block at a time."""
    costs = {0: 0.0}
    for value, weight in zip(exact, weights, strict=True):
        nearest = int(abs(value) + 0.5) * (1 if value > 0 else -1)
        nearest = min(max(nearest, -1024), 1023)
        following = {}
        for candidate in {max(nearest - 1, -1024), nearest, min(nearest + 1, 1023)}:
            sizes = {before: abs(candidate - before).bit_length() for before in costs}
            following[candidate] = weight * (value - candidate) ** 2 + min(
                cost + lam * (lengths[sizes[before]] + sizes[before]) for before, cost in costs.items()
            )
        costs = following
    return min(costs.values())


def random_dc(sampling: Sampling, component: int, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """DC of all SIZES in steps, as a random walk; weights; code lengths."""
    generator = torch.Generator().manual_seed(int(scale * 10) + component)
    height, width = sampling.padded_size(max(size[0] for size in SIZES), max(size[1] for size in SIZES))
    horizontal, vertical = sampling.factors(component)
    shape = (
        len(SIZES),
        height // sampling.mcu_height * vertical,
        width // sampling.mcu_width * horizontal,
    )
    walk = (scale * torch.randn(shape, generator=generator)).flatten(1).cumsum(1).view(shape)
    weights = 0.3 + torch.rand(shape, generator=generator)
    lengths = 1 + 10 * torch.rand(len(SIZES), 256, generator=generator)
    return walk, weights, lengths


@pytest.mark.parametrize("scale", [0.3, 2.0, 300.0])
@pytest.mark.parametrize(("name", "component"), [("420", 0), ("420", 2), ("422", 0), ("gray", 0)])
def test_no_chain_of_values_is_cheaper(name: str, component: int, scale: float, device: torch.device) -> None:
    sampling = SAMPLINGS[name]
    exact, weights, lengths = random_dc(sampling, component, scale)
    lambdas = torch.tensor([0.05, 0.1, 0.3, 1.0])
    heights, widths = zip(*SIZES, strict=True)
    chosen = trellis_dc(
        exact.to(device),
        weights.to(device),
        lengths.to(device),
        lambdas.to(device),
        component=component,
        sampling=sampling,
        heights=heights,
        widths=widths,
    ).cpu()
    assert chosen.abs().max() <= 1024
    for picture, (height, width) in enumerate(SIZES):
        order = coding_order(component, sampling, height, width)
        row, column = torch.tensor(order).T
        real, factor, values = (plane[picture, row, column] for plane in (exact, weights, chosen))
        lam = lambdas[picture].item()
        best = least_cost(real.tolist(), factor.tolist(), lengths[picture].tolist(), lam)
        sizes = torch.diff(values, prepend=torch.zeros(1)).int().tolist()
        bits = sum(lengths[picture, abs(size).bit_length()].item() + abs(size).bit_length() for size in sizes)
        cost = (factor.double() * (real.double() - values).square()).sum().item() + lam * bits
        assert cost == pytest.approx(best, rel=1e-6)
        if len(order) > 20 and scale < 100:
            assert not torch.equal(values, round_dc(real))


def test_costs_are_those_of_the_symbols_written() -> None:
    """Filling up the MCUs later adds a difference of 0 for each block filled, and nothing else."""
    sampling, (height, width) = SAMPLINGS["420"], (33, 50)
    exact = 5 * torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(1))
    lengths = 1 + torch.arange(256.0)[None]
    options = {"component": 0, "sampling": sampling, "heights": (height,), "widths": (width,)}
    planes = [torch.zeros(1, *grid, 8, 8, dtype=torch.int16) for grid in ((6, 8), (3, 4), (3, 4))]

    def bits(dc: Tensor) -> float:
        planes[0][..., 0, 0] = dc.to(torch.int16)
        filled = fill_dummy_blocks(planes[0], 0, sampling, (height,), (width,))
        counts = symbol_stream([filled, *planes[1:]], sampling, (height,), (width,)).counts
        return estimated_bits(counts[:, 0], lengths).item()

    fewest = bits(trellis_dc(exact, torch.zeros_like(exact), lengths, torch.ones(1), **options))
    assert fewest < bits(round_dc(exact))
    real = coding_order(0, sampling, height, width)
    values = [exact[0, row, column].item() for row, column in real]
    best = least_cost(values, [0.0] * len(values), lengths[0].tolist(), 1.0)
    assert fewest == pytest.approx(best + (48 - len(real)) * lengths[0, 0].item())


def test_free_bits_mean_plain_rounding(device: torch.device) -> None:
    exact = torch.linspace(-1500, 1500, 64, device=device).view(1, 8, 8)
    exact[0, 0, :2] = torch.tensor([0.5, -0.5])
    chosen = trellis_dc(
        exact,
        torch.ones_like(exact),
        torch.ones(1, 256, device=device),
        torch.zeros(1, device=device),
        component=0,
        sampling=SAMPLINGS["gray"],
        heights=(64,),
        widths=(64,),
    )
    assert torch.equal(chosen, round_dc(exact))
    assert (chosen.min(), chosen.max()) == (-1024, 1023)
