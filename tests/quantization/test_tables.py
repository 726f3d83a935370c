import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgcompress.quantization.tables import SHAPE, ijg_scale, ijg_tables, imgcompress_tables, whole_steps

STEPS = st.floats(0.01, 1000.0)


@st.composite
def shares(draw: st.DrawFn) -> torch.Tensor:
    parts = torch.tensor(draw(st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any)))
    return (parts / parts.sum())[None].float()


@pytest.mark.parametrize("quality", range(1, 101))
def test_ijg_tables_are_those_that_libjpeg_writes(quality: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        luma, chroma = image.quantization[0], image.quantization[1]
    assert ijg_tables(quality).flatten(1).tolist() == [list(luma), list(chroma)]


def test_ijg_scale_at_its_known_points() -> None:
    assert [ijg_scale(quality) for quality in (1, 25, 50, 75, 100)] == [50, 2, 1, 0.5, 0]


@given(STEPS, shares())
def test_our_steps_are_integers_that_fit_a_byte(step: float, share: torch.Tensor) -> None:
    tables = whole_steps(imgcompress_tables(torch.tensor([step]), share))
    assert tables.shape == (1, 2, 8, 8)
    assert torch.equal(tables, tables.round())
    assert tables.min() >= 1 and tables.max() <= 255


@given(STEPS, STEPS, shares())
def test_a_finer_reference_step_never_has_a_coarser_table(
    one: float, other: float, share: torch.Tensor
) -> None:
    fine, coarse = (imgcompress_tables(torch.tensor([step]), share) for step in sorted((one, other)))
    assert (fine <= coarse).all()


def test_steps_move_with_every_number_of_the_shape(device: torch.device) -> None:
    steps, share = torch.tensor([12.0, 30.0], device=device), torch.full((2, 3), 1 / 3, device=device)
    numbers = torch.tensor(SHAPE.numbers, device=device, requires_grad=True)
    tables = imgcompress_tables(steps, share, shape=numbers)
    assert torch.equal(tables, imgcompress_tables(steps, share))
    tables[:, :, 7, 7].sum().backward()
    assert (numbers.grad[:5] > 0).all() and (numbers.grad[5:] == 0).all()
    (dc_slopes,) = torch.autograd.grad(
        imgcompress_tables(steps, share, shape=numbers)[:, :, 0, 0].sum(), numbers
    )
    expected = torch.tensor([0, 0, 0, 0, SHAPE.dc_ratios[1], 1, SHAPE.chroma_ratio], device=device) * 42
    assert torch.allclose(dc_slopes, expected)


@pytest.mark.parametrize("quality", range(1, 100))
def test_a_higher_quality_never_has_a_coarser_table(quality: int) -> None:
    assert (ijg_tables(quality) >= ijg_tables(quality + 1)).all()


@given(STEPS, shares())
def test_a_mixture_lies_between_its_parts(step: float, share: torch.Tensor) -> None:
    mixed = imgcompress_tables(torch.tensor([step]), share)[0]
    shown = torch.eye(3)[share[0] > 0]
    pure = imgcompress_tables(torch.full((len(shown),), step), shown)
    assert (mixed >= 0.9999 * pure.amin(0)).all() and (mixed <= 1.0001 * pure.amax(0)).all()


def test_texture_hides_errors_at_high_frequencies_and_dc_is_the_finest(device: torch.device) -> None:
    smooth, texture, _ = imgcompress_tables(
        torch.full((3,), 20.0, device=device), torch.eye(3, device=device)
    )[:, 0]
    assert texture[7, 7] > smooth[7, 7]
    assert smooth[0, 0] == texture[0, 0] == smooth.min()


def test_chroma_samples_that_stand_for_fewer_pixels_have_coarser_steps() -> None:
    share = torch.tensor([[0.2, 0.5, 0.3]])
    subsampled, full = (imgcompress_tables(torch.tensor([9.0]), share, chroma_area=area) for area in (4, 1))
    torch.testing.assert_close(full[:, 1], 2 * subsampled[:, 1])
    assert torch.equal(full[:, 0], subsampled[:, 0])


def test_batched_equals_unbatched(device: torch.device) -> None:
    share = torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.1, 0.1, 0.8]], device=device)
    steps = torch.tensor([5.0, 12.5, 60.0], device=device)
    together = imgcompress_tables(steps, share)
    assert together.device.type == device.type
    assert torch.equal(
        together, torch.cat([imgcompress_tables(steps[i : i + 1], share[i : i + 1]) for i in range(3)])
    )
    assert not torch.equal(together[0], together[1])
