"""Distances of large pictures tile by tile, with gradients, in the memory that one tile takes.

A distance here is a function of means over the pixels of a pyramid's levels. The means are summed up over
tiles that overlap by what the filters see, then the function's own derivative is known, and each tile's share
of the gradient is computed again alone. In exact arithmetic that is what one piece would give.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from imgcompress.image.strips import overlapping
from imgcompress.shapes import Float, Shaped

TILE_PIXELS = 2**18
"""Of all pictures of a batch, the overlap not counted. A gradient takes some 500 bytes for each."""
CACHED_PIXELS = 2**17
"""On a CPU for each thread: of 2**13 to 2**18 SSIMULACRA2 of 8 pictures of 512x512 was fastest with this and
the next one, of single ones of .4 and 3 megapixels about as fast from 2**16 on."""

Window = tuple[Any, ...]
"""An index of rows and columns."""
Step = Callable[[Tensor, Tensor, Window], tuple[Tensor, Tensor, Tensor]]
"""From a tile of a level of the originals and of the other pictures, and the part of it that counts: the sums
over that part [batch, sums], and the whole tile of both at the next level, of half the size rounded up."""


def tile_pixels(device: torch.device) -> int:
    """How many pixels of all pictures of a batch a tile has, the overlap not counted."""
    return TILE_PIXELS if device.type != "cpu" else min(TILE_PIXELS, CACHED_PIXELS * torch.get_num_threads())


def level_means(
    originals: Shaped[Tensor, "batch _ height width"],
    tests: Shaped[Tensor, "batch _ height width"],
    steps: Sequence[Step],
    overlap: int,
) -> Iterator[Float[Tensor, "batch sums"]]:
    """Means over the pixels of each level of a pyramid, differentiable in the tests.

    Args:
        originals, tests: the finest level.
        steps: one for each level.
        overlap: how far a pixel of a level sees on it to each side, an even number.
    """
    for step in steps:
        height, width = tests.shape[-2:]
        sums, originals, tests = _Level.apply(originals, tests, step, overlap)
        yield sums / (height * width)


class _Level(torch.autograd.Function):
    """One step over a whole level: the sums, and the next level of both."""

    @staticmethod
    def forward(
        ctx: Any, originals: Tensor, tests: Tensor, step: Step, overlap: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(originals, tests)
        ctx.step, ctx.overlap = step, overlap
        ctx.set_materialize_grads(False)
        coarser: list[Tensor] = []
        for part, seen, core, own in _tiles(tests, overlap):
            sums, *halves = step(originals[part][seen], tests[part][seen], own)
            if not coarser:
                # Tiles are few, but float32 would lose a digit in their sum.
                totals = sums.new_zeros((len(tests), sums.shape[1]), dtype=torch.float64)
                size = [-(-length // 2) for length in tests.shape[-2:]]
                coarser = [half.new_empty((len(tests), half.shape[1], *size)) for half in halves]
            totals[part] += sums.double()
            for whole, half in zip(coarser, halves, strict=True):
                whole[part][_halved(core)] = half[_halved(own)]
        ctx.mark_non_differentiable(coarser[0])
        return totals.to(sums.dtype), coarser[0], coarser[1]

    @staticmethod
    def backward(
        ctx: Any, of_sums: Tensor | None, _: None, of_coarser: Tensor | None
    ) -> tuple[None, Tensor, None, None]:
        originals, tests = ctx.saved_tensors
        gradient = torch.zeros_like(tests)
        for part, seen, core, own in _tiles(tests, ctx.overlap):
            results, gradients = [], []
            with torch.enable_grad():
                tile = tests[part][seen].detach().requires_grad_()
                sums, _, half = ctx.step(originals[part][seen], tile, own)
                if of_sums is not None:
                    results.append(sums)
                    gradients.append(of_sums[part])
                if of_coarser is not None:  # the last level has none
                    results.append(half[_halved(own)])
                    gradients.append(of_coarser[part][_halved(core)])
            gradient[part][seen] += torch.autograd.grad(results, tile, gradients)[0]
        return None, gradient, None, None


def _tiles(pictures: Tensor, overlap: int) -> Iterator[tuple[slice, Window, Window, Window]]:
    """Of each tile its pictures, what it sees of them, what is its own, and the same within what it sees.

    Small tiles of many pictures would overlap more than large ones of few.
    """
    batch, _, height, width = pictures.shape
    pixels = tile_pixels(pictures.device)
    together = min(batch, max(1, pixels // (height * width)))
    side = math.isqrt(max(1, pixels // together))
    for first in range(0, batch, together):
        spans = (_spans(length, side, overlap) for length in (height, width))
        for rows, columns in product(*spans):
            seen, core, own = ((..., *pair) for pair in zip(rows, columns, strict=True))
            yield slice(first, first + together), seen, core, own


def _spans(length: int, side: int, overlap: int) -> Iterator[tuple[slice, slice, slice]]:
    """About equal ones that start at even numbers, as the next level's pixels do."""
    count = -(-length // side)
    return overlapping(length, 2 * -(-length // (2 * count)), overlap)


def _halved(window: Window) -> Window:
    """The same place at the next level."""
    return (..., *(slice(span.start // 2, (span.stop + 1) // 2) for span in window[1:]))
