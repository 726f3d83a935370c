"""DC values chosen by their codes: one chain through all blocks of a component, since differences are coded.

A Viterbi decoder takes as many dependent steps as a picture has blocks. Here the chain is cut into about
sqrt(blocks) pieces of as many blocks. All pieces are walked side by side, from every state that they may
start in; then the pieces are joined, one by one; then all are traced back side by side. The result is the
same, after about 2 sqrt(blocks) steps.

Source: T.81, A.2.3 (the order), F.1.2.1 (the bits).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from imgcompress.image.batch import blocks_within
from imgcompress.image.sampling import Sampling
from imgcompress.quantization.quantize import MAX_DC, round_half_away
from imgcompress.quantization.symbols import magnitude_category
from imgcompress.shapes import Bool, Float, Int

_CATEGORIES = 12
# The rounded value and its neighbors; the first wins where all cost the same.
_STATES = 3


def round_dc(scaled: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """DC in steps, rounded, within a baseline frame's range."""
    return round_half_away(scaled).clamp(-MAX_DC, MAX_DC - 1)


def trellis_dc(
    scaled: Float[Tensor, "batch down across"],
    weights: Float[Tensor, "batch down across"],
    lengths: Float[Tensor, "batch 256"],
    lambdas: Float[Tensor, "batch"],
    *,
    component: int,
    sampling: Sampling,
    heights: Sequence[int],
    widths: Sequence[int],
) -> Float[Tensor, "batch down across"]:
    """Chooses DC values that minimize sum W (u - k)^2 + lambda * bits over each picture.

    Candidates are the rounded value and its two neighbors.

    Args:
        scaled: DC coefficients of one component in steps, whole MCUs.
        weights: factor on each squared error, >= 0 and finite.
        lengths: bits of the code of each DC symbol, without its extra bits.
        lambdas: what a bit is worth in squared steps (times W), >= 0, one for each picture.
        component: which component it is.
        sampling: the frame's sampling.
        heights: true height of each picture in pixels.
        widths: true width of each picture in pixels.

    Returns:
        Integers in [-1024, 1023], float32. Blocks that only fill up MCUs (`fill_dummy_blocks` gives them
        their values later) are rounded.
    """
    with torch.no_grad():
        factors = sampling.factors(component)
        sizes = zip(heights, widths, strict=True)
        grids = [sampling.block_grid(component, height, width) for height, width in sizes]
        padded_grid = (scaled.shape[1], scaled.shape[2])
        real = _chains(blocks_within(grids, padded_grid, scaled.device), factors)
        exact = _chains(scaled, factors)
        rounded = round_dc(exact)
        neighbors = torch.tensor([0.0, -1.0, 1.0], device=scaled.device)
        candidates = (rounded[..., None] + neighbors).clamp(-MAX_DC, MAX_DC - 1)
        distortions = _chains(weights, factors)[..., None] * (exact[..., None] - candidates).square()
        extra = torch.arange(_CATEGORIES, device=scaled.device)
        code_costs = (lengths[:, :_CATEGORIES] + extra) * lambdas[:, None]
        state = _shortest_path(_step_costs(candidates, distortions, code_costs, real))
        chosen = candidates.gather(2, state[..., None]).squeeze(2)
        return _planes(torch.where(real, chosen, rounded), scaled.shape, factors)


def _chains(plane: Tensor, factors: tuple[int, int]) -> Tensor:
    """[batch, down, across] to [batch, blocks] in coding order, MCU after MCU."""
    horizontal, vertical = factors
    batch, down, across = plane.shape
    mcus = plane.reshape(batch, down // vertical, vertical, across // horizontal, horizontal)
    return mcus.transpose(2, 3).reshape(batch, -1)


def _planes(chains: Tensor, shape: Sequence[int], factors: tuple[int, int]) -> Tensor:
    """The inverse of `_chains`."""
    horizontal, vertical = factors
    batch, down, across = shape
    mcus = chains.view(batch, down // vertical, across // horizontal, vertical, horizontal)
    return mcus.transpose(2, 3).reshape(batch, down, across)


def _step_costs(
    candidates: Float[Tensor, "batch blocks states"],
    distortions: Float[Tensor, "batch blocks states"],
    code_costs: Float[Tensor, "batch categories"],
    real: Bool[Tensor, "batch blocks"],
) -> Float[Tensor, "batch blocks states states"]:
    """What it costs to go from each state of the block before to each state of a block, float64.

    A sum over a whole picture outgrows float32.
    """
    # A block that is not the picture's stays in the state of the last real one, at no cost.
    index = torch.arange(real.shape[1], device=real.device)
    last_real = torch.where(real, index, 0).cummax(1)[0]
    candidates = candidates.gather(1, last_real[..., None].expand_as(candidates))
    before = torch.nn.functional.pad(candidates[:, :-1], (0, 0, 1, 0))
    category = magnitude_category((candidates[:, :, None] - before[..., None]).to(torch.int32))
    bits = code_costs.double().gather(1, category.flatten(1).long()).view(category.shape)
    return torch.where(real[..., None, None], bits + distortions[:, :, None], _stay(candidates))


def _stay(like: Tensor) -> Float[Tensor, "states states"]:
    """The step that leads from each state to itself."""
    return torch.full((_STATES, _STATES), math.inf, dtype=torch.float64, device=like.device).fill_diagonal_(0)


def _shortest_path(steps: Float[Tensor, "batch blocks states states"]) -> Int[Tensor, "batch blocks"]:
    """The states of the cheapest way through all steps, from any state before the first."""
    batch, blocks = steps.shape[:2]
    length = math.isqrt(blocks - 1) + 1
    pieces = -(-blocks // length)
    padding = _stay(steps).expand(batch, pieces * length - blocks, -1, -1)
    walk = torch.cat([steps, padding], 1).view(batch, pieces, length, _STATES, _STATES).movedim(2, 0)

    # In each piece: from each state before it to each state of its blocks.
    costs, sources = walk[0], []
    for step in walk[1:].contiguous():
        costs, source = (costs[..., None] + step[:, :, None]).min(3)
        sources.append(source.flatten(2))

    total, starts = costs.new_zeros(batch, _STATES), []
    for piece in costs.unbind(1):
        total, start = (total[..., None] + piece).min(1)
        starts.append(start)
    ends = [total.argmin(1, keepdim=True)]
    for start in reversed(starts):
        ends.append(start.gather(1, ends[-1]))
    borders = torch.cat(ends[::-1], 1)

    first, state = borders[:, :-1], borders[:, 1:]
    states = [state]
    for source in reversed(sources):
        state = source.gather(2, (first * _STATES + state)[..., None]).squeeze(2)
        states.append(state)
    return torch.stack(states[::-1], 2).flatten(1)[:, :blocks]
