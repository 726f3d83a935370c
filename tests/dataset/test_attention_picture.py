import io

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.config import AttentionConfig, Config, LoopConfig
from imgcompress.dataset.attention_picture import GRAY_SHARE, attention_of, draw_attention
from imgcompress.drawing.heat import heat_colors
from imgcompress.encode import Encoder
from imgcompress.image.color import rgb_to_gray
from imgcompress.image.picture import Picture
from imgcompress.layout import choose_layout
from imgcompress.perception.attention import qp_from_attention, weight_from_qp


def drawn(picture: Picture, settings: AttentionConfig | None = None) -> np.ndarray:
    with Image.open(io.BytesIO(draw_attention(picture, settings or AttentionConfig()))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.array(image).astype(float)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (90, 130)])
@pytest.mark.parametrize("settings", [AttentionConfig(), AttentionConfig(enabled=False)])
def test_it_is_the_map_that_the_encoder_starts_from(
    settings: AttentionConfig, size: tuple[int, int], photo: torch.Tensor
) -> None:
    picture = Picture(photo[:, 100 : 100 + size[0], 150 : 150 + size[1]].contiguous(), "png")
    config = Config(device="cpu", attention=settings, loop=LoopConfig(rounds=0))
    prepared = Encoder(config, torch.device("cpu")).prepare([picture], choose_layout(picture, "420", 80.0))
    attention = attention_of(rgb_to_gray(picture.pixels[None].float()), settings)
    down, across = attention.shape[1:]
    weights = weight_from_qp(qp_from_attention(attention))
    torch.testing.assert_close(weights, prepared.weights[0][:, :down, :across], rtol=1e-3, atol=0)


def test_smooth_is_bright_and_texture_is_dark() -> None:
    pixels = torch.full((3, 128, 128), 128, dtype=torch.uint8)
    noise = torch.randint(0, 256, (64, 64), generator=torch.Generator().manual_seed(4))
    pixels[:, 64:, 64:] = noise.to(torch.uint8)
    shown = drawn(Picture(pixels, "png"))
    # Away from the seams; the gray picture has the same mean everywhere.
    assert shown[:48, :48].mean() > shown[80:, 80:].mean() + 40


def test_the_picture_lies_under_the_colors(photo: torch.Tensor) -> None:
    shown = drawn(Picture(photo, "png"), AttentionConfig(enabled=False))
    gray = np.floor(rgb_to_gray(photo[None].float())[0].numpy())
    middle = heat_colors(np.full((1, 1), 0.5, dtype=np.float32))
    assert np.abs(shown - (GRAY_SHARE * gray[..., None] + (1 - GRAY_SHARE) * middle)).max() < 1


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (64, 33)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_sizes_gray_and_deep(dtype: torch.dtype, channels: int, size: tuple[int, int]) -> None:
    half = 127 if dtype == torch.uint8 else 32767
    pixels = torch.full((channels, *size), half, dtype=torch.int32).to(dtype)
    shown = drawn(Picture(pixels, "png", bit_depth=8 if dtype == torch.uint8 else 16))
    assert shown.shape == (*size, 3)
    flat = Picture(torch.full((3, 8, 8), 127, dtype=torch.uint8), "png")
    assert np.abs(shown - drawn(flat)[0, 0]).max() <= 1
