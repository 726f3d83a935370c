"""All features of a picture as one named vector, from its decoded pixels alone."""

import torch
from torch import Tensor

from imgcompress.forensics.blockiness import BLOCKINESS_NAMES, blockiness_features
from imgcompress.forensics.dct_decay import DCT_NAMES, dct_features
from imgcompress.forensics.glcm import GLCM_NAMES, glcm_features
from imgcompress.forensics.natural_scene import NATURAL_SCENE_NAMES, natural_scene_features
from imgcompress.forensics.pyramid import PYRAMID_NAMES, pyramid_features
from imgcompress.forensics.steps import STEP_NAMES, step_features
from imgcompress.image.color import rgb_to_gray
from imgcompress.shapes import Float, Shaped

GROUPS = (
    (PYRAMID_NAMES, pyramid_features),
    (GLCM_NAMES, glcm_features),
    (DCT_NAMES, dct_features),
    (BLOCKINESS_NAMES, blockiness_features),
    (STEP_NAMES, step_features),
    (NATURAL_SCENE_NAMES, natural_scene_features),
)
"""Names and functions of luma in 0..255."""
NAMES = tuple(name for names, _ in GROUPS for name in names)
"""Of all features, in order; what each is stands beside its group's names."""

_WINDOW = 512
_WINDOWS = 3
_MOST_PIXELS = (_WINDOW * _WINDOWS) ** 2


def features(pixels: Shaped[Tensor, "batch channels height width"]) -> Float[Tensor, f"batch {len(NAMES)}"]:
    """The features of pictures of one size, raw.

    A picture of more than 2.4 Mpx is looked at through nine windows of 512x512, spread evenly at whole
    blocks, and gets their mean: time and memory are bounded.

    Args:
        pixels: uint8 or uint16, one channel (gray) or three (RGB), any size from 1x1.

    Returns:
        float32, finite, in the order of ``NAMES``; a picture's do not depend on the others in the batch.
    """
    _, _, height, width = pixels.shape
    if height * width <= _MOST_PIXELS:
        return _of_luma(luma_of(pixels))
    windows = [
        _of_luma(luma_of(pixels[..., top : top + _WINDOW, left : left + _WINDOW]))
        for top in _starts(height)
        for left in _starts(width)
    ]
    return torch.stack(windows).mean(0)


def _of_luma(luma: Float[Tensor, "batch height width"]) -> Float[Tensor, f"batch {len(NAMES)}"]:
    return torch.cat([function(luma) for _, function in GROUPS], dim=1)


def luma_of(pixels: Shaped[Tensor, "batch channels height width"]) -> Float[Tensor, "batch height width"]:
    """Luma of decoded pixels, in 0..255 whatever their depth, not rounded.

    Args:
        pixels: uint8 or uint16, one channel or three.
    """
    samples = pixels.to(torch.float32)
    if pixels.dtype == torch.uint16:
        samples = samples / 257
    return samples[:, 0] if samples.shape[1] == 1 else rgb_to_gray(samples)


def _starts(length: int) -> list[int]:
    """Where the windows begin; a side shorter than three of them has fewer, down to one."""
    count = max(1, min(_WINDOWS, length // _WINDOW))
    room = max(0, length - _WINDOW)
    return [room * index // max(1, count - 1) // 8 * 8 for index in range(count)]
