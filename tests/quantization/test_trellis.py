from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from imgcompress.formats.jpeg.encoder import CoefficientBatch, encode_baseline
from imgcompress.image.dct import forward_dct
from imgcompress.image.planes import planes_from_pixels
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.quantization import trellis
from imgcompress.quantization.quantize import quantize
from imgcompress.quantization.rates import code_length_estimates, estimated_bits, symbol_counts
from imgcompress.quantization.symbols import ZIGZAG, symbol_stream
from imgcompress.quantization.tables import ijg_tables
from imgcompress.quantization.trellis import AcTrellis, trellis_quantize
from imgcompress.quantization.trellis_dc import trellis_dc


def random_lengths(seed: int) -> Tensor:
    return 1 + 15 * torch.rand(1, 256, generator=torch.Generator().manual_seed(seed))


def random_blocks(number: int, share: float, scale: float, seed: int = 0) -> Tensor:
    """Coefficients in steps, natural order, Laplacian where they are not zero."""
    generator = torch.Generator().manual_seed(seed)
    shape = (number, 8, 8)
    sign = torch.randint(0, 2, shape, generator=generator) * 2 - 1
    values = -scale * torch.log(1 - torch.rand(shape, generator=generator)) * sign
    return values.masked_fill(torch.rand(shape, generator=generator) > share, 0)


def decide(scaled: Tensor, lengths: Tensor, lam: float, weights: Tensor | None = None) -> Tensor:
    """All blocks by the first of the tables."""
    weights = torch.ones_like(scaled) if weights is None else weights
    tables = torch.zeros(len(scaled), dtype=torch.int64, device=scaled.device)
    return AcTrellis(scaled, weights, tables).decide(
        lengths, torch.full((len(lengths),), lam, device=scaled.device)
    )


def block_costs(scaled: Tensor, values: Tensor, lengths: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """Distortion + lambda * bits, and the bits, of each block, by the symbols that the encoder writes."""
    ac = values.clone()
    ac[:, 0, 0] = 0
    ones = (8,) * len(ac)
    stream = symbol_stream([ac[:, None, None].to(torch.int16)], SAMPLINGS["gray"], ones, ones)
    bits = estimated_bits(stream.counts[:, 1], lengths.expand(len(ac), 256))
    squares = (scaled.double() - ac).square().flatten(1)
    return squares[:, 1:].sum(1) + lam * bits, bits


# Zigzag positions of the few coefficients that are not zero.
PLACES = {
    "first": (1, 2, 3, 4, 5, 6),
    "runs of 16 and more": (3, 20, 21, 38, 55, 56),
    "one run of 61": (1, 63),
    "last": (1, 47, 60, 62, 63),
    "last only": (63,),
    "run of 48": (14, 63),
    "runs of 15, 16 and 17": (16, 33, 51),
    "all over": (2, 9, 17, 30, 31, 49, 63),
}


@pytest.mark.parametrize("lam", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES.keys())
def test_no_combination_of_candidates_is_cheaper(
    places: tuple[int, ...],
    lam: float,
    device: torch.device,
    flow_chart_bits: Callable[[list[int], list[float]], float],
) -> None:
    generator = torch.Generator().manual_seed(len(places))
    for trial in range(4):
        lengths = random_lengths(trial)
        weights = 0.2 + 2 * torch.rand(64, generator=generator)
        block = torch.rand(64, generator=generator) * 0.98 - 0.49  # rounds to zero
        at = [ZIGZAG[place] for place in places]
        sign = torch.randint(0, 2, (len(at),), generator=generator) * 2 - 1
        block[at] = sign * (0.5 + 4 * torch.rand(len(at), generator=generator))

        decided = decide(
            block.view(1, 8, 8).to(device), lengths.to(device), lam, weights.view(1, 8, 8).to(device)
        )
        exact = block[list(ZIGZAG)].double()
        factor = weights[list(ZIGZAG)].double()
        codes = lengths[0].tolist()

        def cost(
            values: list[int], exact: Tensor = exact, factor: Tensor = factor, codes: list[float] = codes
        ):
            errors = (exact - torch.tensor(values)).square() * factor
            return errors[1:].sum().item() + lam * flow_chart_bits(values, codes)

        choices = []
        for place in places:
            nearest = int(exact[place].abs() + 0.5)
            magnitudes = {0, nearest, max(nearest - 1, 0)}
            choices.append([magnitude if exact[place] > 0 else -magnitude for magnitude in magnitudes])
        best = float("inf")
        for combination in product(*choices):
            values = [0] * 64
            for place, value in zip(places, combination, strict=True):
                values[place] = value
            best = min(best, cost(values))
        assert cost([decided.flatten()[index].item() for index in ZIGZAG]) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("zeros", [16, 32, 48, 62])
def test_a_long_run_is_worth_it_where_its_codes_are_cheap(zeros: int) -> None:
    block = torch.zeros(1, 8, 8)
    block.view(-1)[ZIGZAG[zeros + 1]] = -2.2
    lengths = torch.full((1, 256), 16.0)
    lengths[0, 0xF0] = 1
    lengths[0, (zeros % 16) << 4 | 2] = 3
    paid = 2.2**2 - 0.2**2
    # Dropping it saves the ZRLs, the symbol and its extra bits, and, at 63, takes an EOB more.
    saved = zeros // 16 + 3 + 2 - (16 if zeros == 62 else 0)
    just_worth_it = paid / max(saved, 1)
    assert decide(block, lengths, 0.99 * just_worth_it).count_nonzero() == 1
    if zeros < 62:
        assert decide(block, lengths, 1.01 * just_worth_it).count_nonzero() == 0


@pytest.mark.parametrize("lam", [0.03, 0.09, 0.5, 5.0])
@pytest.mark.parametrize(("share", "scale"), [(0.05, 2.0), (0.3, 1.0), (1.0, 0.7), (1.0, 40.0)])
def test_never_dearer_than_plain_rounding_nor_than_nothing(
    share: float, scale: float, lam: float, device: torch.device
) -> None:
    scaled = random_blocks(200, share, scale, seed=int(100 * lam)).to(device)
    lengths = random_lengths(1).to(device)
    cost, _ = block_costs(scaled, decide(scaled, lengths, lam), lengths, lam)
    for other in (quantize(scaled[None, None], torch.ones(1, 8, 8, device=device))[0, 0], 0 * scaled):
        other_cost, _ = block_costs(scaled, other, lengths, lam)
        assert (cost <= other_cost * (1 + 1e-6) + 1e-6).all()
        assert (cost < other_cost * (1 - 1e-3)).any()


def test_dearer_bits_are_never_more() -> None:
    scaled, lengths = random_blocks(300, 0.5, 1.5), random_lengths(2)
    bits = [
        block_costs(scaled, decide(scaled, lengths, lam), lengths, lam)[1]
        for lam in (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 1000.0)
    ]
    for fewer, more in zip(bits[1:], bits[:-1], strict=True):
        assert (fewer <= more + 1e-3).all()
        assert fewer.sum() < more.sum()
    assert bits[-1].tolist() == pytest.approx([lengths[0, 0].item()] * 300)


@pytest.mark.parametrize(("lam", "weight"), [(0.0, 1.0), (0.1, 1e9), (0.0, 0.0)])
def test_free_bits_and_endless_weights_mean_plain_rounding(
    lam: float, weight: float, device: torch.device
) -> None:
    scaled = random_blocks(100, 1.0, 3.0).to(device)
    scaled[0] = 0.5  # lambda 0 does not care: halves are rounded as plain rounding does
    scaled[1, 1, 1], scaled[1, 7, 7] = 5000.0, -5000.0
    if weight > 1:
        scaled[0] = 0.51
    plain = quantize(scaled[None, None], torch.ones(1, 8, 8, device=device))[0, 0]
    plain[:, 0, 0] = 0
    decided = decide(scaled, random_lengths(3).to(device), lam, torch.full_like(scaled, weight))
    assert torch.equal(decided.float(), plain)


def test_weights_and_lambda_count_by_their_ratio() -> None:
    scaled, lengths = random_blocks(100, 0.6, 1.5), random_lengths(4)
    weights = 0.3 + torch.rand(100, 8, 8, generator=torch.Generator().manual_seed(0))
    decided = decide(scaled, lengths, 0.125, weights)
    assert torch.equal(decide(scaled, lengths, 0.5, 4 * weights), decided)
    assert not torch.equal(decide(scaled, lengths, 0.5, weights), decided)


def test_each_block_has_its_own_table_and_its_own_lambda(device: torch.device) -> None:
    scaled = random_blocks(90, 0.5, 1.5).to(device)
    lengths = torch.cat([random_lengths(seed) for seed in range(3)]).to(device)
    lambdas = torch.tensor([0.05, 0.1, 0.4], device=device)
    tables = torch.arange(90, device=device) % 3
    together = AcTrellis(scaled, torch.ones_like(scaled), tables).decide(lengths, lambdas)
    for table in range(3):
        alone = decide(scaled[table::3], lengths[table : table + 1], lambdas[table].item())
        assert torch.equal(together[table::3], alone)


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled, lengths = random_blocks(50, 0.2, 1.5), random_lengths(5)
    scaled[:9] = 0  # a whole piece with nothing to decide
    whole = decide(scaled, lengths, 0.1)
    monkeypatch.setattr(trellis, "_CHUNK", 7)
    assert torch.equal(decide(scaled, lengths, 0.1), whole)
    assert whole.count_nonzero()


def test_no_blocks_no_values() -> None:
    assert decide(torch.zeros(0, 8, 8), random_lengths(0), 0.1).shape == (0, 8, 8)


def problem(photo: Tensor, name: str, top: int, height: int, width: int) -> tuple[list[Tensor], ...]:
    """Coefficients, steps and weights of a crop, which reaches over the true size to whole MCUs."""
    sampling = SAMPLINGS[name]
    rows, columns = sampling.padded_size(height, width)
    crop = photo[None, : sampling.components, top : top + rows, :columns].float()
    crop = crop[:, :1] if sampling.components == 1 else crop
    coefficients = [forward_dct(plane) for plane in planes_from_pixels(crop, sampling)]
    tables = ijg_tables(80)
    steps = [tables[min(component, 1)][None] for component in range(sampling.components)]
    weights = [0.5 + 1 / (1 + plane[..., 0, 1].abs()) for plane in coefficients]
    return coefficients, steps, weights


@pytest.mark.parametrize("dc", [False, True])
@pytest.mark.parametrize("name", ["420", "444", "gray"])
def test_a_batch_is_its_pictures_one_by_one(photo: Tensor, name: str, dc: bool, device: torch.device) -> None:
    sampling, sizes = SAMPLINGS[name], ((1, 1), (7, 9), (257, 265))
    prices = torch.tensor([[0.05, 0.09, 0.12], [0.06, 0.1, 0.2]])
    alone, padded = [], []
    for index, (height, width) in enumerate(sizes):
        coefficients, steps, weights = problem(photo, name, 40 * index, height, width)
        alone.append(
            trellis_quantize(
                coefficients,
                steps,
                weights,
                sampling,
                heights=[height],
                widths=[width],
                lambdas=[price[index].item() for price in prices],
                dc=dc,
            )
        )
        # The same picture with other pixels beyond its MCUs.
        padded.append(problem(photo, name, 40 * index, 257, 265))
    coefficients, steps, weights = (
        [torch.cat(parts).to(device) for parts in zip(*field, strict=True)]
        for field in zip(*padded, strict=True)
    )
    together = trellis_quantize(
        coefficients,
        steps,
        weights,
        sampling,
        heights=[height for height, _ in sizes],
        widths=[width for _, width in sizes],
        lambdas=list(prices.to(device)),
        dc=dc,
    )
    for index, planes in enumerate(alone):
        for whole, plane in zip(together, planes, strict=True):
            assert whole.dtype == torch.int16
            down, across = plane.shape[1:3]
            assert torch.equal(whole[index, :down, :across].cpu(), plane[0])


def test_files_get_smaller_for_little_error(photo: Tensor) -> None:
    sampling = SAMPLINGS["420"]
    coefficients, steps, weights = problem(photo, "420", 0, 400, 592)
    coefficients = [plane.requires_grad_() for plane in coefficients]

    def size_and_error(planes: list[Tensor]) -> tuple[int, float]:
        batch = CoefficientBatch(
            tuple(plane.to(torch.int32) for plane in planes),
            ijg_tables(80).to(torch.int32)[None],
            (0, 1, 1),
            (400,),
            (592,),
            sampling,
        )
        error = sum(
            (weight[..., None, None] * (plane - exact / table).square()).sum().item()
            for plane, exact, table, weight in zip(planes, coefficients, steps, weights, strict=True)
        )
        return len(encode_baseline(batch, [b""])[0]), error

    def run(**options: object) -> list[Tensor]:
        return list(
            trellis_quantize(coefficients, steps, weights, sampling, heights=[400], widths=[592], **options)
        )

    plain = [quantize(plane, table).detach() for plane, table in zip(coefficients, steps, strict=True)]
    bytes_plain, error_plain = size_and_error(plain)
    bytes_ours, error_ours = size_and_error(run(lambdas=(0.09, 0.09)))
    assert bytes_ours < 0.9 * bytes_plain
    assert error_ours + 8 * 0.09 * bytes_ours < error_plain + 8 * 0.09 * bytes_plain

    once = run(lambdas=(0.09, 0.09), passes=1)
    assert not once[0].requires_grad
    again = run(lambdas=(0.09, 0.09), passes=1, previous=once)
    for two, one_more, one in zip(run(lambdas=(0.09, 0.09)), again, once, strict=True):
        assert torch.equal(two, one_more)
        assert not torch.equal(two, one)

    dearer_chroma = run(lambdas=(0.09, 0.3))
    assert dearer_chroma[1].count_nonzero() < again[1].count_nonzero()
    assert torch.equal(dearer_chroma[0], again[0])


@pytest.mark.parametrize("dc", [False, True])
def test_coefficients_that_nobody_sees_are_not_coded(photo: Tensor, dc: bool) -> None:
    coefficients, steps, weights = problem(photo, "420", 0, 64, 64)
    seen = torch.zeros(8, 8)
    seen[:4, :4] = 1
    planes = trellis_quantize(
        coefficients,
        steps,
        weights,
        SAMPLINGS["420"],
        heights=[64],
        widths=[64],
        lambdas=(0.05, 0.05),
        coefficient_weights=[seen, seen, seen.expand(1, 4, 4, 8, 8)],
        dc=dc,
    )
    for plane in planes:
        assert plane[..., :4, :4].count_nonzero() == plane.count_nonzero() > 0


def test_flat_pictures_cost_an_end_of_block_each() -> None:
    plane = torch.zeros(1, 2, 3, 8, 8)
    plane[..., 0, 0] = 400.0
    (decided,) = trellis_quantize(
        [plane],
        [torch.full((1, 8, 8), 16.0)],
        [torch.ones(1, 2, 3)],
        SAMPLINGS["gray"],
        heights=[16],
        widths=[24],
        lambdas=(0.09,),
    )
    assert (decided[..., 0, 0] == 25).all()
    assert decided.count_nonzero() == 6


def test_dc_is_decided_with_its_own_lengths_and_lambda(photo: Tensor) -> None:
    sampling = SAMPLINGS["420"]
    coefficients, steps, weights = problem(photo, "420", 0, 400, 592)
    size = {"heights": [400], "widths": [592]}
    previous = [
        quantize(plane, table).to(torch.int16) for plane, table in zip(coefficients, steps, strict=True)
    ]
    lengths = code_length_estimates(symbol_counts(previous, sampling, **size))
    prices = (0.2, 0.5)

    def run(dc: bool) -> tuple[Tensor, ...]:
        return trellis_quantize(
            coefficients,
            steps,
            weights,
            sampling,
            **size,
            lambdas=prices,
            passes=1,
            previous=previous,
            dc=dc,
        )

    for component, (decided, rounded) in enumerate(zip(run(True), run(False), strict=True)):
        table = min(component, 1)
        expected = trellis_dc(
            coefficients[component][..., 0, 0] / steps[component][:, :1, 0],
            weights[component],
            lengths[:, 2 * table],
            torch.tensor([prices[table]]),
            component=component,
            sampling=sampling,
            **size,
        )
        assert torch.equal(decided[..., 0, 0].float(), expected)
        assert torch.equal(rounded[..., 0, 0], previous[component][..., 0, 0])
        assert not torch.equal(decided[..., 0, 0], rounded[..., 0, 0])
        assert torch.equal(decided.flatten(3)[..., 1:], rounded.flatten(3)[..., 1:])
