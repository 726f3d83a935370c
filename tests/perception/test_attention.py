import math

import pytest
import torch
from scipy.ndimage import gaussian_filter

from imgcompress.image.color import pad_to, rgb_to_gray
from imgcompress.perception.attention import (
    _local_variance,
    attention_map,
    qp_from_attention,
    weight_from_qp,
)


def everywhere(luma: torch.Tensor) -> torch.Tensor:
    batch, height, width = luma.shape
    return torch.ones(batch, height // 8, width // 8, dtype=torch.bool, device=luma.device)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4)) * 255


def test_local_variance_is_scipys(photo: torch.Tensor):
    y = rgb_to_gray(photo[None, :, :64, :80].float() / 255)
    x = y[0].double().numpy()
    mean, mean_square = (gaussian_filter(plane, 1.5, mode="nearest", radius=5) for plane in (x, x * x))
    expected = mean_square - mean**2
    torch.testing.assert_close(_local_variance(y)[0], torch.from_numpy(expected).float(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("level", [0.0, 77.3, 255.0])
@pytest.mark.parametrize("size", [(8, 8), (264, 272)])
def test_flat_pictures_have_weight_one(level: float, size: tuple[int, int], device: torch.device):
    luma = torch.full((1, *size), level, device=device)
    attention = attention_map(luma, everywhere(luma))
    torch.testing.assert_close(attention, torch.full_like(attention, 0.5), rtol=0, atol=1e-3)


@pytest.mark.parametrize("strength", [0.0, 1.0, 10.0])
def test_ranges(strength: float, photo: torch.Tensor, device: torch.device):
    pictures = torch.stack((rgb_to_gray(photo[None, :, :, :600].float())[0], noise(400, 600))).to(device)
    attention = attention_map(pictures, everywhere(pictures), strength=strength)
    assert ((attention >= 0) & (attention <= 1)).all()
    qp = qp_from_attention(attention)
    assert ((qp >= 12) & (qp <= 36)).all()
    weight = weight_from_qp(qp)
    assert ((weight >= 0.25) & (weight <= 4)).all()
    if strength == 0:
        assert (weight == 1).all()
    if strength == 10:
        assert attention[0].min() == 0
        assert attention[0].max() == 1


def test_qp_and_weight_are_one_quantity():
    attention = torch.tensor([[[0.0, 0.25, 0.5, 0.75, 1.0]]])
    qp = qp_from_attention(attention)
    assert qp.tolist() == [[[36.0, 30.0, 24.0, 18.0, 12.0]]]
    assert weight_from_qp(qp).tolist() == [[[0.25, 0.5, 1.0, 2.0, 4.0]]]


def test_mean_log_weight_is_zero(photo: torch.Tensor):
    luma = rgb_to_gray(photo[None].float())
    weight = weight_from_qp(qp_from_attention(attention_map(luma, everywhere(luma))))
    assert abs(weight.log().mean().item()) < 0.05


def test_attention_falls_as_texture_grows():
    luma = torch.full((1, 64, 256), 128.0)
    amplitudes = torch.arange(8.0).repeat_interleave(32) * 6
    luma += (noise(64, 256) / 255 - 0.5) * amplitudes
    # Away from the borders between the strips, whose blocks see two kinds of texture.
    attention = attention_map(luma, everywhere(luma), strength=0.5)[0].mean(0)[1::4]
    assert (attention.diff() < 0).all()


def test_in_a_photograph_smooth_areas_get_more_than_texture(photo: torch.Tensor):
    luma = rgb_to_gray(photo[None].float())
    attention = attention_map(luma, everywhere(luma))[0].flatten()
    spread = luma[0].unflatten(0, (-1, 8)).unflatten(2, (-1, 8)).std((1, 3)).flatten()
    order = spread.argsort()
    quarter = len(order) // 4
    assert attention[order[:quarter]].mean() > attention[order[-quarter:]].mean() + 0.2


def test_hand_computed_cells():
    # Left 32 px flat, right 32 px alternating columns: far from the seam var is .25 there.
    luma = torch.zeros(1, 32, 96)
    luma[..., 48::2] = 255.0
    attention = attention_map(luma, everywhere(luma), strength=0.2)[0, 0]
    # Cells at the far left and far right do not see the seam at 48, but share no cell with it either.
    difference = math.log(1 / 0.0009) - math.log(1 / (2 * 0.25 + 0.0009))
    measured = (attention[0] - attention[-1]).item()
    assert measured == pytest.approx(0.2 * 0.5 * difference / (4 * math.log(2)), rel=1e-2)


@pytest.mark.parametrize("sizes", [[(1, 1), (7, 9), (257, 265)], [(40, 72), (72, 40)]])
def test_a_batch_of_mixed_sizes_is_its_pictures_one_by_one(
    sizes: list[tuple[int, int]], photo: torch.Tensor, device: torch.device
):
    height = max(-(-h // 8) * 8 for h, _ in sizes) + 16
    width = max(-(-w // 8) * 8 for _, w in sizes) + 16
    gray = rgb_to_gray(photo[None].float())[0].to(device)
    luma, mask, alone = [], torch.zeros(len(sizes), height // 8, width // 8, dtype=torch.bool), []
    for row, (h, w) in enumerate(sizes):
        picture = gray[100 : 100 + h, 150 : 150 + w]
        luma.append(pad_to(picture, height, width))
        mask[row, : -(-h // 8), : -(-w // 8)] = True
        own = pad_to(picture, -(-h // 8) * 8, -(-w // 8) * 8)[None]
        alone.append(attention_map(own, everywhere(own))[0])
    mask = mask.to(device)
    together = attention_map(torch.stack(luma), mask)
    assert (together[~mask] == 0).all()
    for row, expected in enumerate(alone):
        down, across = expected.shape
        torch.testing.assert_close(together[row, :down, :across], expected, rtol=0, atol=1e-4)


def test_what_lies_outside_the_mask_does_not_count(photo: torch.Tensor):
    luma = rgb_to_gray(photo[None, :, :128, :192].float())
    mask = everywhere(luma)
    mask[..., 10:, :] = False
    # Six pixels further: the blur reaches five.
    changed = luma.clone()
    changed[:, 86:] = noise(1, 42, 192)
    expected = attention_map(luma, mask)
    assert torch.equal(attention_map(changed, mask), expected)
    assert not torch.equal(expected[:, :10], attention_map(luma, everywhere(luma))[:, :10])


def test_a_picture_without_blocks_gives_zeros():
    luma = noise(1, 16, 16)
    assert not attention_map(luma, torch.zeros(1, 2, 2, dtype=torch.bool)).any()
