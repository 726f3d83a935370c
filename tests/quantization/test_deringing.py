from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from imgcompress.formats.jpeg.encoder import CoefficientBatch, encode_baseline
from imgcompress.image.dct import forward_dct
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.quantization.deringing import MOST_OVERSHOOT, overshoot_clipped
from imgcompress.quantization.quantize import quantize
from imgcompress.quantization.tables import ijg_tables

HEIGHT, WIDTH = 128, 256


def page(ink: int = 0, paper: int = 255) -> torch.Tensor:
    """Anti-aliased letters, (1, 128, 256)."""
    picture = Image.new("L", (WIDTH, HEIGHT), paper)
    draw = ImageDraw.Draw(picture)
    for line in range(6):
        text = "Around black letters every wave shows"
        draw.text((5, 4 + 20 * line), text, fill=ink, font=ImageFont.load_default(13))
    return torch.from_numpy(np.array(picture)).float()[None]


def luma_steps(quality: int, batch: int = 1) -> torch.Tensor:
    return ijg_tables(quality)[:1].expand(batch, -1, -1)


def coded(plane: torch.Tensor, quality: int) -> bytes:
    steps = luma_steps(quality)
    values = quantize(forward_dct(plane), steps).to(torch.int16)
    batch = CoefficientBatch((values,), steps[:, None].int(), (0,), (HEIGHT,), (WIDTH,), SAMPLINGS["gray"])
    return encode_baseline(batch, [b""])[0]


def shown_error(file: bytes, plane: torch.Tensor) -> float:
    """Mean square against what Pillow decodes."""
    decoded = torch.from_numpy(np.array(Image.open(BytesIO(file)))).float()
    return float((decoded - plane[0]).square().mean())


@pytest.mark.parametrize("quality", [30, 60, 80, 92])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (90, 255)])
def test_clipped_pages_take_fewer_bytes_and_look_better(quality: int, ink: int, paper: int):
    plane = page(ink, paper)
    plain = coded(plane, quality)
    helped = coded(overshoot_clipped(plane, luma_steps(quality)), quality)
    assert len(helped) < len(plain)
    assert shown_error(helped, plane) < 0.9 * shown_error(plain, plane)


@pytest.mark.parametrize("quality", [1, 50, 95, 100])
def test_what_a_decoder_shows_stays(quality: int, device: torch.device):
    plane = page().to(device)
    noisy = (
        plane + 30 * torch.randn(plane.shape, generator=torch.Generator().manual_seed(1)).to(device)
    ).clamp(0, 255)
    for original in (plane, noisy):
        moved = overshoot_clipped(original, luma_steps(quality).to(device))
        assert moved.min() >= -MOST_OVERSHOOT
        assert moved.max() <= 255 + MOST_OVERSHOOT
        assert (moved.clamp(0, 255) - original).abs().max() <= 0.5
        unclipped = (original > 0.5) & (original < 254.5)
        assert torch.equal(moved[unclipped], original[unclipped])


def test_flat_and_unclipped_blocks_stay(device: torch.device):
    plane = page().to(device)
    blocks = plane.reshape(HEIGHT // 8, 8, WIDTH // 8, 8).transpose(1, 2).flatten(2)
    white, black = (blocks > 254.5).all(-1), (blocks < 0.5).all(-1)
    still = white | black | ((blocks > 0.5) & (blocks < 254.5)).all(-1)
    moved = overshoot_clipped(plane, luma_steps(60).to(device))
    moved_blocks = moved.reshape(HEIGHT // 8, 8, WIDTH // 8, 8).transpose(1, 2).flatten(2)
    assert still.any()
    assert torch.equal(moved_blocks[still], blocks[still])
    assert not torch.equal(moved, plane)


def test_blocks_of_black_and_white_alone_gain_too():
    plane = page().gt(128).float() * 255
    moved = overshoot_clipped(plane, luma_steps(60))
    assert len(coded(moved, 60)) < len(coded(plane, 60))
    assert shown_error(coded(moved, 60), plane) < 0.9 * shown_error(coded(plane, 60), plane)


@pytest.mark.parametrize("level", [0.0, 127.4, 255.0])
def test_flat_planes_stay(level: float, device: torch.device):
    plane = torch.full((2, 8, 16), level, device=device)
    assert torch.equal(overshoot_clipped(plane, luma_steps(40, 2).to(device)), plane)


def test_pictures_without_clipped_samples_stay(photo: torch.Tensor):
    plane = photo[1:2].float().clamp(1, 254)
    assert torch.equal(overshoot_clipped(plane, luma_steps(40)), plane)


def test_black_is_free_downward_only():
    plane = page(0, 130)
    moved = overshoot_clipped(plane, luma_steps(60))
    assert moved.max() == 130
    assert moved.min() < -10


def test_colored_paper_stays():
    plane = page(40, 245)
    assert torch.equal(overshoot_clipped(plane, luma_steps(60)), plane)


def test_the_finer_the_steps_the_smaller_the_overshoot():
    overshoots = [float(overshoot_clipped(page(), luma_steps(q)).max()) - 255 for q in (80, 92, 100)]
    assert overshoots[0] > overshoots[1] > overshoots[2] > 0
    assert overshoots[2] < 5


def test_a_batch_is_its_pictures_one_by_one(device: torch.device):
    planes = torch.cat((page(), page(255, 0), page(90, 255))).to(device)
    steps = torch.cat([luma_steps(quality) for quality in (30, 60, 90)]).to(device)
    alone = [overshoot_clipped(plane[None], table[None]) for plane, table in zip(planes, steps, strict=True)]
    torch.testing.assert_close(overshoot_clipped(planes, steps), torch.cat(alone), rtol=0, atol=1e-3)


def test_devices_agree(device: torch.device):
    here = overshoot_clipped(page(), luma_steps(60))
    there = overshoot_clipped(page().to(device), luma_steps(60).to(device)).cpu()
    # A value on the border of the dead zone may fall to either side.
    assert (here - there).abs().gt(0.01).float().mean() < 0.01


@pytest.mark.parametrize("size", [(0, 8, 8), (1, 8, 8), (2, 264, 16)])
def test_any_size(size: tuple[int, int, int], device: torch.device):
    plane = torch.zeros(size, device=device)
    plane[:, 2:5, 3:] = 255
    plane[:, 2, :3] = 99
    moved = overshoot_clipped(plane, luma_steps(50, size[0]).to(device))
    assert moved.shape == plane.shape
    assert moved.isfinite().all()
