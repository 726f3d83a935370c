"""The closed loop: quantize, look at the damage, move bits and targets to where they help, quantize again.

Each round asks an objective D for its gradient at the decoded picture and learns two things from it:

- block weights W: how much the error a block really makes contributes to D, relative to the other blocks;
- a shifted target: coefficients are rounded as if they were ``c + a q``, where ``a`` descends D. It undoes,
  for instance, the edges between blocks that the errors made so far have opened.

With c the original's coefficients, q the steps, k the integers, e = k q - c, g = d log D / d(k q), per plane:

    s   = sum g e / sum (e / q)^2                       what a squared step of error costs on average
    w   = max(0, sum_block g e / sum_block (e / q)^2)   the same in one block, over the plane's median
    W   = w^power within bounds, averaged (geometrically) with the round before
    a   = decay a - shift (g q / (s W) - e / q)         in steps, within a fifth of one

D itself is a function of pixels that the caller passes in. The pixels are what libjpeg's decoder shows:
inverse DCT, triangle filter for chroma, clamping.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from imgcompress.config import LoopConfig
from imgcompress.image.batch import BatchGeometry
from imgcompress.image.dct import inverse_dct
from imgcompress.image.planes import pixels_from_planes
from imgcompress.quantization.trellis import trellis_quantize
from imgcompress.shapes import Float, Int

Objective = Callable[[Float[Tensor, "batch channels height width"]], Iterable[Tensor]]
"""The terms of log D of decoded pixels, 0..1, padded as the batch is: one value a picture, differentiable."""
LambdaScales = tuple[Float[Tensor, "batch"] | float, Float[Tensor, "batch"] | float]
"""Factors on lambda, which make up for whole steps: in luma and in chroma."""

# Tuned on Kodak 5, 13, 15 and 23.
WEIGHT_POWER = 0.75
WEIGHT_LIMIT = 3.0
DECAY = 0.9
MOST_SHIFT = 0.2
"""Of a step: further, and the target would leave what the picture is."""


@dataclass(frozen=True)
class LoopState:
    """What a loop has found out; a later one with other steps goes on from it.

    Attributes:
        quantized: int16 integers of every component.
        weights: W of the blocks of every component.
        shifts: how far each coefficient's target has moved, in steps.
    """

    quantized: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    shifts: tuple[Tensor, ...]

    def select(self, rows: Int[Tensor, "kept"]) -> "LoopState":
        """The same for some pictures of the batch."""
        parts = (self.quantized, self.weights, self.shifts)
        return LoopState(*(tuple(plane[rows] for plane in part) for part in parts))


def start(
    first: Sequence[Int[Tensor, "batch _ _ 8 8"]], weights: Sequence[Float[Tensor, "batch _ _"]]
) -> LoopState:
    """The state before the first round.

    Args:
        first: integers to start from.
        weights: W_0 of the blocks, from the attention map.
    """
    shifts = tuple(torch.zeros(plane.shape, device=plane.device) for plane in first)
    return LoopState(tuple(first), tuple(weights), shifts)


def decide(
    coefficients: Sequence[Float[Tensor, "batch _ _ 8 8"]],
    steps: Sequence[Float[Tensor, "batch 8 8"]],
    state: LoopState,
    geometry: BatchGeometry,
    *,
    settings: LoopConfig,
    lambda_scales: LambdaScales = (1.0, 1.0),
) -> LoopState:
    """Quantizes by one pass of the trellis, with the weights and the targets of a state.

    Args:
        coefficients, steps, state, geometry, settings, lambda_scales: as for :func:`refine`.
    """
    lambdas = (settings.luma_lambda, settings.chroma_lambda)
    targets = [
        plane + shift * table[:, None, None]
        for plane, shift, table in zip(coefficients, state.shifts, steps, strict=True)
    ]
    quantized = trellis_quantize(
        targets,
        steps,
        state.weights,
        geometry.sampling,
        heights=geometry.heights,
        widths=geometry.widths,
        lambdas=[price * scale for price, scale in zip(lambdas, lambda_scales, strict=True)],
        passes=1,
        previous=state.quantized,
        dc=settings.dc_trellis,
    )
    return replace(state, quantized=quantized)


def refine(
    coefficients: Sequence[Float[Tensor, "batch _ _ 8 8"]],
    steps: Sequence[Float[Tensor, "batch 8 8"]],
    state: LoopState,
    geometry: BatchGeometry,
    *,
    objective: Objective,
    settings: LoopConfig,
    rounds: int,
    lambda_scales: LambdaScales = (1.0, 1.0),
) -> LoopState:
    """Improves a quantization by rounds of gradient and trellis.

    Args:
        coefficients: orthonormal DCT coefficients of each component, whole MCUs.
        steps: quantization steps of each component.
        state: from :func:`start`, or of a loop over the same pictures with other steps.
        geometry: true sizes; padding blocks have no say in the averages.
        objective: what the decoded pixels are measured by.
        settings: the loop's constants.
        rounds: gradients of the objective, each followed by one pass of the trellis.
        lambda_scales: factors on the settings' lambdas of luma and chroma.

    Returns:
        The state after the last round.
    """
    tables = [table[:, None, None] for table in steps]
    real = [geometry.real_blocks(component, plane.device) for component, plane in enumerate(coefficients)]
    for _ in range(rounds):
        gradients = _gradients(state.quantized, tables, geometry, objective)
        weights, shifts = [], []
        for component, (gradient, table) in enumerate(zip(gradients, tables, strict=True)):
            error = state.quantized[component].float() * table - coefficients[component]
            cost = (gradient * error).sum((3, 4)) * real[component]
            energy = (error / table).square().sum((3, 4)) * real[component]
            mean_cost = cost.sum((1, 2)) / energy.sum((1, 2)).clamp(min=1e-9)
            weight = torch.sqrt(state.weights[component] * _measured_weights(cost, energy))
            curvature = (mean_cost[:, None, None] * weight).clamp(min=1e-12)[..., None, None]
            # Where errors have helped on the whole, how far to go is unknown.
            known = ((mean_cost > 0)[:, None, None] & real[component])[..., None, None]
            wanted = (gradient * table / curvature - error / table) * known
            shift = DECAY * state.shifts[component] - settings.shift * wanted
            weights.append(weight)
            shifts.append(shift.clamp(-MOST_SHIFT, MOST_SHIFT))
        state = decide(
            coefficients,
            steps,
            LoopState(state.quantized, tuple(weights), tuple(shifts)),
            geometry,
            settings=settings,
            lambda_scales=lambda_scales,
        )
    return state


def _gradients(
    quantized: Sequence[Tensor], steps: Sequence[Tensor], geometry: BatchGeometry, objective: Objective
) -> tuple[Tensor, ...]:
    """d log D / d(decoded coefficients) of every component; no picture of the batch touches another's."""
    with torch.enable_grad():
        decoded = [
            (values.float() * table).requires_grad_() for values, table in zip(quantized, steps, strict=True)
        ]
        planes = tuple(inverse_dct(plane) for plane in decoded)
        pixels = (pixels_from_planes(planes, geometry.sampling) / 255).clamp(0, 1)
        seen = pixels.detach().requires_grad_()
        total = torch.zeros_like(seen)
        for term in objective(seen):
            total += torch.autograd.grad(term.sum(), seen)[0]
        return torch.autograd.grad(pixels, decoded, total)


def _measured_weights(cost: Tensor, energy: Tensor) -> Tensor:
    """W of the blocks of a plane from what their errors cost, relative to the median block."""
    each = (cost / energy.clamp(min=1e-9)).clamp(min=0)
    positive = torch.where(each > 0, each, torch.nan)
    median = positive.flatten(1).nanmedian(dim=1).values.nan_to_num(1.0)
    relative = (each / median[:, None, None]).clamp(min=1e-3)
    # A block without an error says nothing about what errors cost in it.
    relative = torch.where(energy > 0, relative, 1.0)
    return relative.pow(WEIGHT_POWER).clamp(1 / WEIGHT_LIMIT, WEIGHT_LIMIT)
