from dataclasses import replace

import pytest
import torch
from torch import Tensor

from imgcompress.config import LoopConfig, ObjectiveConfig
from imgcompress.formats.jpeg.encoder import CoefficientBatch, encode_baseline
from imgcompress.image import strips
from imgcompress.image.batch import BatchGeometry
from imgcompress.image.dct import forward_dct, inverse_dct
from imgcompress.image.planes import pixels_from_planes, planes_from_pixels
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.perception.objective import MixedObjective
from imgcompress.quantization import trellis
from imgcompress.quantization.loop import MOST_SHIFT, WEIGHT_LIMIT, LoopState, refine, start
from imgcompress.quantization.quantize import quantize
from imgcompress.quantization.tables import imgcompress_tables, whole_steps


class Case:
    """Pictures that were quantized once, with everything that a loop over them needs."""

    def __init__(
        self, pixels: Tensor, sampling: str = "420", step: float = 14.0, size: tuple[int, int] | None = None
    ):
        height, width = size or (pixels.shape[2], pixels.shape[3])
        batch = len(pixels)
        self.geometry = BatchGeometry((height,) * batch, (width,) * batch, SAMPLINGS[sampling])
        assert self.geometry.padded_size == tuple(pixels.shape[2:])
        self.coefficients = [forward_dct(plane) for plane in planes_from_pixels(pixels, SAMPLINGS[sampling])]
        classes = torch.tensor([[0.5, 0.25, 0.25]], device=pixels.device).expand(batch, 3)
        meant = imgcompress_tables(torch.full((batch,), step, device=pixels.device), classes)
        self.tables = whole_steps(meant)
        self.steps = [self.tables[:, min(component, 1)] for component in range(len(self.coefficients))]
        ones = [torch.ones(plane.shape[:3], device=pixels.device) for plane in self.coefficients]
        first = [
            quantize(plane, table, 0.62 * one).to(torch.int16)
            for plane, table, one in zip(self.coefficients, self.steps, ones, strict=True)
        ]
        self.first = start(first, ones)
        self.objective = MixedObjective(pixels / 255, ObjectiveConfig())

    def run(
        self, rounds: int, state: LoopState | None = None, tiled: bool = False, **settings: object
    ) -> LoopState:
        return refine(
            self.coefficients,
            self.steps,
            state or self.first,
            self.geometry,
            objective=lambda pixels: [self.objective(pixels)],
            settings=LoopConfig(**settings),
            rounds=rounds,
            tiled=tiled,
        )

    def distance(self, state: LoopState) -> Tensor:
        decoded = zip(state.quantized, self.steps, strict=True)
        planes = tuple(inverse_dct(values.float() * table[:, None, None]) for values, table in decoded)
        return self.objective((pixels_from_planes(planes, self.geometry.sampling) / 255).clamp(0, 1))

    def bytes(self, state: LoopState) -> Tensor:
        geometry = self.geometry
        batch = CoefficientBatch(
            state.quantized, self.tables.int()[:, : 1 + (len(self.steps) > 1)], (0, 1, 1)[: len(self.steps)],
            geometry.heights, geometry.widths, geometry.sampling,
        )  # fmt: skip
        return torch.tensor(
            [float(len(data)) for data in encode_baseline(batch, [b""] * len(geometry.heights))]
        )


def crops(photo: Tensor, height: int = 96, width: int = 128, batch: int = 2) -> Tensor:
    places = [(100, 150), (200, 300), (20, 400)][:batch]
    return torch.stack([photo[:, top : top + height, left : left + width] for top, left in places]).float()


def same(one: LoopState, other: LoopState) -> bool:
    pairs = zip(
        one.quantized + one.weights + one.shifts, other.quantized + other.weights + other.shifts, strict=True
    )
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("rounds", "shift"), [(1, 0.12), (3, 0.08)])
@pytest.mark.parametrize("sampling", ["420", "444"])
def test_rounds_give_less_damage_for_the_same_bytes(
    rounds: int, shift: float, sampling: str, photo: Tensor
) -> None:
    plain = [Case(crops(photo), sampling, step) for step in (7.0, 8.5, 10.0, 12.0, 14.0, 17.0, 20.0)]
    sizes = torch.stack([case.bytes(case.first).log() for case in plain])
    damage = torch.stack([case.distance(case.first) for case in plain])
    case = Case(crops(photo), sampling, 12.0)
    state = case.run(rounds, shift=shift)
    size, reached = case.bytes(state).log(), case.distance(state)
    for row in range(2):
        # The size at which the first quantization, with other steps, would do as much damage.
        above = int((damage[:, row] < reached[row]).sum())
        assert 0 < above < len(plain), "within the steps tried"
        share = (reached[row] - damage[above - 1, row]) / (damage[above, row] - damage[above - 1, row])
        equal = sizes[above - 1, row] + share * (sizes[above, row] - sizes[above - 1, row])
        assert size[row] < equal - 0.02


def test_without_the_price_of_bits_a_round_lowers_the_objective(photo: Tensor) -> None:
    case = Case(crops(photo))
    rounded = [
        quantize(plane, table, None).to(torch.int16)
        for plane, table in zip(case.coefficients, case.steps, strict=True)
    ]
    before = start(rounded, case.first.weights)
    after = case.run(2, before, luma_lambda=0.0, chroma_lambda=0.0)
    assert (case.distance(after) < case.distance(before) - 0.01).all()


def test_zero_rounds_change_nothing(photo: Tensor) -> None:
    case = Case(crops(photo))
    assert case.run(0) is case.first


def test_the_state_stays_within_its_bounds(photo: Tensor) -> None:
    case = Case(crops(photo))
    state = case.run(3)
    for weights, shifts, quantized, first in zip(
        state.weights, state.shifts, state.quantized, case.first.quantized, strict=True
    ):
        assert weights.min() >= 1 / WEIGHT_LIMIT and weights.max() <= WEIGHT_LIMIT
        assert shifts.abs().max() <= MOST_SHIFT and shifts.any()
        assert quantized.dtype == torch.int16 and quantized.shape == first.shape
    assert not torch.equal(state.quantized[0], case.first.quantized[0])


def test_rounds_go_on_from_a_state(photo: Tensor) -> None:
    case = Case(crops(photo))
    assert same(case.run(2), case.run(1, case.run(1)))


def test_batched_equals_unbatched(photo: Tensor, device: torch.device) -> None:
    pixels = crops(photo, batch=3).to(device)
    together = Case(pixels).run(2)
    for row in range(3):
        alone = Case(pixels[row : row + 1]).run(2)
        for one, other in zip(
            together.select(torch.tensor([row], device=device)).quantized, alone.quantized, strict=True
        ):
            assert torch.equal(one, other)


@pytest.mark.parametrize("sampling", ["420", "422", "440", "444", "gray"])
def test_strips_change_nothing(sampling: str, photo: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = crops(photo, 96, 80)[:, : 1 if sampling == "gray" else 3]
    whole = Case(pixels, sampling).run(2)
    # Two rows of luma blocks of two pictures, one MCU of 4:2:0; chroma's strips end elsewhere.
    monkeypatch.setattr(strips, "BLOCK_PIXELS", 2 * 16 * 80)
    monkeypatch.setattr(trellis, "_CHUNK", 50)
    assert same(Case(pixels, sampling).run(2, tiled=True), whole)


def test_a_selection_goes_on_alike(photo: Tensor) -> None:
    case, rows = Case(crops(photo, batch=3)), torch.tensor([2, 0])
    kept = Case(crops(photo, batch=3)[rows])
    after = kept.run(1, case.run(1).select(rows))
    whole = case.run(2).select(rows)
    assert all(torch.equal(one, other) for one, other in zip(after.quantized, whole.quantized, strict=True))


def test_blocks_of_padding_have_no_say(photo: Tensor) -> None:
    # 64x80 in 4:2:0 pads to 64x80; as 56x72 the last row and column of luma blocks is padding.
    pixels = crops(photo, 64, 80, batch=1)
    wild = Case(pixels, size=(56, 72))
    tame = Case(pixels, size=(56, 72))
    far = [plane.clone() for plane in wild.coefficients]
    far[0][:, -1] += 500.0
    far[0][:, :, -1] -= 300.0
    wild.coefficients = far
    changed, expected = wild.run(1), tame.run(1)
    for component in range(3):
        real = tame.geometry.real_blocks(component, pixels.device)
        assert torch.equal(changed.weights[component][real], expected.weights[component][real])
        assert torch.equal(changed.shifts[component][real], expected.shifts[component][real])


@pytest.mark.parametrize("level", [0.0, 90.0, 255.0])
@pytest.mark.parametrize("sampling", ["420", "gray"])
def test_flat_pictures_stay_finite_and_flat(level: float, sampling: str) -> None:
    case = Case(torch.full((1, 1 if sampling == "gray" else 3, 16, 32), level), sampling)
    state = case.run(3)
    assert all(plane.isfinite().all() for plane in state.weights + state.shifts)
    assert not any(plane.flatten(3)[..., 1:].any() for plane in state.quantized)


def test_an_objective_that_does_not_care_leaves_the_targets_alone(photo: Tensor) -> None:
    case = Case(crops(photo))
    case.objective = lambda pixels: 0 * pixels.sum((1, 2, 3))
    state = case.run(1)
    assert not any(shift.any() for shift in state.shifts)
    assert all(weights.isfinite().all() for weights in state.weights)


def test_the_first_state_is_not_written_to(photo: Tensor) -> None:
    case = Case(crops(photo))
    before = replace(
        case.first,
        quantized=tuple(plane.clone() for plane in case.first.quantized),
        weights=tuple(plane.clone() for plane in case.first.weights),
        shifts=tuple(plane.clone() for plane in case.first.shifts),
    )
    case.run(2)
    assert same(before, case.first)


def test_blocks_without_an_error_keep_their_weight(photo: Tensor) -> None:
    case = Case(crops(photo))
    exact = [
        values.float() * table[:, None, None]
        for values, table in zip(case.first.quantized, case.steps, strict=True)
    ]
    exact[0][:, :2] = case.coefficients[0][:, :2]
    case.coefficients = exact
    state = case.run(1, luma_lambda=0.0, chroma_lambda=0.0)
    assert (state.weights[0][:, 2:] == 1).all()
    assert not (state.weights[0][:, :2] == 1).all()
