"""Coefficients to integers. Training and encoding share this code with another rounding passed in."""

from collections.abc import Callable

import torch
from torch import Tensor

from imgcompress.shapes import Float

Rounding = Callable[[Tensor], Tensor]

MAX_AC = 1023
"""Largest AC magnitude of a baseline 8-bit frame (T.81, F.1.2.2: categories up to 10)."""
MAX_DC = 1024
"""Quantized DC of 8-bit samples lies in [-1024, 1023] at step 1."""


def round_half_away(values: Tensor) -> Tensor:
    """Rounds to the nearest integer, halves away from zero, as libjpeg's quantizer does."""
    return torch.sign(values) * torch.floor(values.abs() + 0.5)


def quantize(
    coefficients: Float[Tensor, "batch down across 8 8"],
    steps: Float[Tensor, "batch 8 8"],
    thresholds: Float[Tensor, "batch down across"] | None = None,
    rounding: Rounding = round_half_away,
) -> Float[Tensor, "batch down across 8 8"]:
    """Divides by the steps and rounds; AC values inside a block's dead zone become zero.

    Args:
        coefficients: orthonormal DCT coefficients of samples at 0..255, level-shifted.
        steps: quantization steps, one table a picture, >= 1.
        thresholds: AC values with ``|c / q|`` below this become zero, one threshold a block, in steps;
            None for plain rounding.
        rounding: maps ``c / q`` to the values that are coded.

    Returns:
        Integers held as float32 (with an integer-valued rounding), within a baseline frame's range.
    """
    scaled = coefficients / steps[:, None, None]
    values = rounding(scaled)
    if thresholds is not None:
        inside = scaled.abs() < thresholds[..., None, None]
        inside[..., 0, 0] = False
        values = values.masked_fill(inside, 0.0)
    low = torch.full((8, 8), -float(MAX_AC), device=values.device)
    low[0, 0] = -float(MAX_DC)
    return torch.maximum(values, low).clamp(max=float(MAX_AC))


def dequantize(
    values: Float[Tensor, "batch down across 8 8"], steps: Float[Tensor, "batch 8 8"]
) -> Float[Tensor, "batch down across 8 8"]:
    """The coefficients that a decoder sees."""
    return values * steps[:, None, None]


def dead_zone_thresholds(
    weights: Float[Tensor, "batch down across"], threshold: float, slope: float
) -> Float[Tensor, "batch down across"]:
    """Widens the dead zone where a block's weight is small.

    Args:
        weights: block weights W in [1/4, 4]; 1 is neutral.
        threshold: the dead zone at W = 1, in steps.
        slope: how much ``1 / W - 1`` adds.

    Returns:
        Thresholds in [0.5, 0.9] steps; 0.5 is plain rounding.
    """
    return (threshold + slope * (1.0 / weights - 1.0)).clamp(0.5, 0.9)
