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
from imgcompress.image.planes import decoded_pixels
from imgcompress.image.sampling import Sampling
from imgcompress.image.strips import block_rows, by_rows, mcu_rows, mcu_strips, pixels_by_rows, times
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
    tiled: bool = False,
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
        tiled: the pixels are decoded strip by strip, and once more for the gradient, to save memory.

    Returns:
        The state after the last round.
    """
    real = [geometry.real_blocks(component, plane.device) for component, plane in enumerate(coefficients)]
    for _ in range(rounds):
        gradients = _gradients(state.quantized, steps, geometry, objective, tiled)
        weights, shifts = [], []
        for component, (gradient, table) in enumerate(zip(gradients, steps, strict=True)):
            seen = _Seen(state.quantized[component], coefficients[component], gradient, table)
            cost, energy = (values * real[component] for values in seen.cost_and_energy())
            mean_cost = cost.sum((1, 2)) / energy.sum((1, 2)).clamp(min=1e-9)
            weight = torch.sqrt(state.weights[component] * _measured_weights(cost, energy))
            curvature = (mean_cost[:, None, None] * weight).clamp(min=1e-12)
            # Where errors have helped on the whole, how far to go is unknown.
            known = (mean_cost > 0)[:, None, None] & real[component]
            weights.append(weight)
            shifts.append(seen.shifted(state.shifts[component], curvature, known, settings.shift))
        del gradients, gradient, seen
        state = decide(
            coefficients,
            steps,
            LoopState(state.quantized, tuple(weights), tuple(shifts)),
            geometry,
            settings=settings,
            lambda_scales=lambda_scales,
        )
    return state


@dataclass(frozen=True)
class _Seen:
    """What a look at the damage says of one component; gone through in strips of blocks."""

    quantized: Tensor
    coefficients: Tensor
    gradient: Tensor
    table: Tensor

    def cost_and_energy(self) -> tuple[Tensor, ...]:
        """Of each block: sum g e, and sum (e / q)^2."""
        table = self.table[:, None, None]

        def sums(quantized: Tensor, coefficients: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
            error = quantized.float() * table - coefficients
            return (gradient * error).sum((3, 4)), (error / table).square().sum((3, 4))

        return by_rows(sums, self.quantized, self.coefficients, self.gradient, rows=self._rows)

    def shifted(self, shifts: Tensor, curvature: Tensor, known: Tensor, pace: float) -> Tensor:
        """The next shifts."""
        table = self.table[:, None, None]

        def moved(
            quantized: Tensor, coefficients: Tensor, gradient: Tensor, *blocks: Tensor
        ) -> tuple[Tensor]:
            shift, curved, is_known = blocks[0], *(each[..., None, None] for each in blocks[1:])
            error = quantized.float() * table - coefficients
            wanted = (gradient * table / curved - error / table) * is_known
            return ((DECAY * shift - pace * wanted).clamp(-MOST_SHIFT, MOST_SHIFT),)

        planes = (self.quantized, self.coefficients, self.gradient, shifts, curvature, known)
        return by_rows(moved, *planes, rows=self._rows)[0]

    @property
    def _rows(self) -> int:
        return block_rows(self.quantized.shape[0], self.quantized.shape[2])


def _gradients(
    quantized: Sequence[Tensor],
    steps: Sequence[Tensor],
    geometry: BatchGeometry,
    objective: Objective,
    tiled: bool,
) -> tuple[Tensor, ...]:
    """d log D / d(decoded coefficients) of every component; no picture of the batch touches another's."""
    sampling = geometry.sampling
    if not tiled:
        decoded, pixels = _decode(quantized, steps, sampling)
        return torch.autograd.grad(pixels, decoded, _pixel_gradient(pixels.detach(), objective))
    pixels = pixels_by_rows(lambda strip: _decode(strip, steps, sampling)[1].detach(), quantized, sampling)
    total = _pixel_gradient(pixels, objective)
    del pixels
    gradients = [torch.empty(plane.shape, device=plane.device) for plane in quantized]
    for seen, core, own in mcu_strips(quantized, sampling):
        decoded, strip = _decode(mcu_rows(quantized, sampling, seen), steps, sampling)
        parts = torch.autograd.grad(strip, decoded, total[:, :, times(seen, sampling.mcu_height)])
        targets = mcu_rows(gradients, sampling, core)
        for target, part in zip(targets, mcu_rows(parts, sampling, own), strict=True):
            target.copy_(part)
    return tuple(gradients)


def _decode(
    quantized: Sequence[Tensor], steps: Sequence[Tensor], sampling: Sampling
) -> tuple[list[Tensor], Tensor]:
    """The coefficients that a decoder sees, and the pixels that depend on them."""
    with torch.enable_grad():
        decoded = [
            (values.float() * table[:, None, None]).requires_grad_()
            for values, table in zip(quantized, steps, strict=True)
        ]
        return decoded, decoded_pixels(decoded, sampling)


def _pixel_gradient(pixels: Tensor, objective: Objective) -> Tensor:
    """d log D / d(pixels)."""
    with torch.enable_grad():
        seen = pixels.requires_grad_()
        total = torch.zeros_like(seen)
        for term in objective(seen):
            total += torch.autograd.grad(term.sum(), seen)[0]
    return total


def _measured_weights(cost: Tensor, energy: Tensor) -> Tensor:
    """W of the blocks of a plane from what their errors cost, relative to the median block."""
    each = (cost / energy.clamp(min=1e-9)).clamp(min=0)
    positive = torch.where(each > 0, each, torch.nan)
    median = positive.flatten(1).nanmedian(dim=1).values.nan_to_num(1.0)
    relative = (each / median[:, None, None]).clamp(min=1e-3)
    # A block without an error says nothing about what errors cost in it.
    relative = torch.where(energy > 0, relative, 1.0)
    return relative.pow(WEIGHT_POWER).clamp(1 / WEIGHT_LIMIT, WEIGHT_LIMIT)
