"""The 8x8 DCT of whole planes.

JPEG's DCT (T.81, A.3.3) is the orthonormal DCT-II: no factor stands between these coefficients and a
quantization table's steps. The two matrix products run in float64, which makes the float32 results exact to
their last bit without touching a global switch: autocast leaves float64 alone, and TF32 and the other
reduced-precision modes of matmul do not apply to it, forward or in the gradient.
"""

import math

import torch
from torch import Tensor

from imgcompress.shapes import Float

LEVEL_SHIFT = 128.0
"""What JPEG subtracts from 8-bit samples of every component, chroma too (T.81, A.3.1)."""


def forward_dct(
    plane: Float[Tensor, "batch height width"], *, level_shift: float = LEVEL_SHIFT
) -> Float[Tensor, "batch down across 8 8"]:
    """Orthonormal DCT-II coefficients of every 8x8 block.

    Args:
        plane: samples 0..255 (chroma around 128), float32; height and width multiples of 8.
        level_shift: subtracted from the samples first; 0 for planes that are already centered.

    Returns:
        (batch, height / 8, width / 8, vertical frequency, horizontal frequency), float32,
        AC within about +-1024.

    Source: T.81, A.3.1 and A.3.3.
    """
    batch, height, width = plane.shape
    assert height % 8 == 0
    assert width % 8 == 0
    basis = _basis(plane.device)
    blocks = (plane.double() - level_shift).reshape(batch, height // 8, 8, width // 8, 8).transpose(2, 3)
    return (basis @ blocks @ basis.mT).float()


def inverse_dct(
    coefficients: Float[Tensor, "batch down across 8 8"], *, level_shift: float = LEVEL_SHIFT
) -> Float[Tensor, "batch 8*down 8*across"]:
    """The inverse of forward_dct.

    Args:
        coefficients: orthonormal, float32.
        level_shift: added to the samples at the end.

    Returns:
        Samples, float32, neither rounded nor clamped.

    Source: T.81, A.3.3 and A.3.1.
    """
    batch, down, across = coefficients.shape[:3]
    basis = _basis(coefficients.device)
    blocks = basis.mT @ coefficients.double() @ basis + level_shift
    return blocks.transpose(2, 3).reshape(batch, 8 * down, 8 * across).float()


def _basis(device: torch.device) -> Tensor:
    # Made anew on the device each time: a cached tensor would bind the module to a device and to
    # inference mode, and one copied over would wait for the device.
    index = torch.arange(8, dtype=torch.float64, device=device)
    scale = torch.where(index == 0, math.sqrt(1 / 8), 0.5)
    return scale[:, None] * torch.cos((2 * index + 1) * index[:, None] * (math.pi / 16))
