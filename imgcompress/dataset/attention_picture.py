"""The attention map as a picture: its colors over the picture itself, gray and dimmed."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imgcompress.config import AttentionConfig
from imgcompress.drawing.heat import heat_colors
from imgcompress.image.color import as_rgb, pad_to, rgb_to_gray
from imgcompress.image.picture import Picture
from imgcompress.image.sampling import BLOCK
from imgcompress.perception.attention import attention_map
from imgcompress.shapes import Float

GRAY_SHARE = 0.3
"""Of the gray picture in the mixture; the rest is the map's colors."""


def draw_attention(picture: Picture, settings: AttentionConfig) -> bytes:
    """Draws where bits are to go: dark violet for attention 0 (QP 36) to pale yellow for 1 (QP 12).

    Args:
        picture: any that decodes.
        settings: of the map.

    Returns:
        An RGB PNG file of the picture's size.
    """
    luma = _luma(picture)
    blocks = attention_of(luma, settings)[0].numpy()
    heat = heat_colors(blocks).repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)[: picture.height, : picture.width]
    gray = luma[0].numpy()[..., None].astype(np.uint8)
    mixed = (GRAY_SHARE * gray + (1 - GRAY_SHARE) * heat).astype(np.uint8)
    file = BytesIO()
    # The fastest packing: large pictures would wait longer for this file than for their own.
    Image.fromarray(mixed).save(file, "PNG", compress_level=1)
    return file.getvalue()


def attention_of(
    luma: Float[Tensor, "1 height width"], settings: AttentionConfig
) -> Float[Tensor, "1 down across"]:
    """The map of a picture as the encoder sees it.

    Args:
        luma: 0..255, of any size.
        settings: of the map.

    Returns:
        Attention of every 8x8 block, 0..1; 0.5 all over where the map is off.
    """
    height, width = luma.shape[1:]
    down, across = -(-height // BLOCK), -(-width // BLOCK)
    return attention_map(
        pad_to(luma, down * BLOCK, across * BLOCK),
        torch.ones((1, down, across), dtype=torch.bool),
        scale_weights=settings.scale_weights,
        strength=settings.strength if settings.enabled else 0.0,
    )


def _luma(picture: Picture) -> Tensor:
    most = 255 if picture.pixels.dtype == torch.uint8 else 65535
    return rgb_to_gray(as_rgb(picture.pixels[None].float() * (255 / most)))
