"""Large pictures in strips of rows, for what works block by block: results are the same as in one piece."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from torch import Tensor

from imgcompress.image.sampling import Sampling
from imgcompress.shapes import Float, Shaped

BLOCK_PIXELS = 2**20
"""Pixels (of all pictures of a batch) in a strip of blocks."""


def by_rows(
    function: Callable[..., tuple[Tensor, ...]], *planes: Shaped[Tensor, "batch _ ..."], rows: int
) -> tuple[Tensor, ...]:
    """Calls a function with strips of planes, and puts its results together.

    Args:
        function: takes and gives tensors whose dimension 1 are rows; no row depends on another strip's.
        planes: its arguments, all with as many rows.
        rows: in a strip.
    """
    height = planes[0].shape[1]
    results: tuple[Tensor, ...] = ()
    for start in range(0, height, rows):
        strip = [plane[:, start : start + rows] for plane in planes]
        parts = function(*strip)
        if rows >= height:
            return parts
        if not results:
            results = tuple(
                part.new_empty((len(part), part.shape[1] * height // rows, *part.shape[2:])) for part in parts
            )
        for result, part in zip(results, parts, strict=True):
            first = start * result.shape[1] // height
            result[:, first : first + part.shape[1]] = part
    return results


def block_rows(batch: int, across: int) -> int:
    """How many rows of 8x8 blocks are a strip, for so many blocks across."""
    return max(1, BLOCK_PIXELS // (64 * batch * across))


def mcu_rows(
    planes: Sequence[Shaped[Tensor, "batch _ ..."]], sampling: Sampling, mcus: slice
) -> list[Tensor]:
    """Some rows of MCUs of planes of blocks (or of one value a block)."""
    heights = [sampling.factors(component)[1] for component in range(len(planes))]
    return [
        plane[:, mcus.start * height : mcus.stop * height]
        for plane, height in zip(planes, heights, strict=True)
    ]


def overlapping(length: int, rows: int, overlap: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cuts rows into strips.

    Args:
        length: rows in all.
        rows: in a strip.
        overlap: rows that each strip sees of its neighbors.

    Returns:
        For each strip: what it sees, its own rows, and the same rows within what it sees.
    """
    edges = [*range(0, length, rows), length]
    for start, stop in pairwise(edges):
        first = max(0, start - overlap)
        seen = slice(first, min(length, stop + overlap))
        yield seen, slice(start, stop), slice(start - first, stop - first)


def mcu_strips(planes: Sequence[Tensor], sampling: Sampling) -> list[tuple[slice, slice, slice]]:
    """Strips of rows of MCUs as of :func:`overlapping`: chroma's triangle filter sees a row beyond its own.

    Args:
        planes: blocks of each component.
        sampling: the frame's sampling.
    """
    batch, down, across = planes[0].shape[:3]
    height = sampling.factors(0)[1]
    return list(overlapping(down // height, max(1, block_rows(batch, across) // height), 1))


def pixels_by_rows(
    function: Callable[[list[Tensor]], Tensor],
    planes: Sequence[Shaped[Tensor, "batch _ ..."]],
    sampling: Sampling,
) -> Float[Tensor, "batch channels height width"]:
    """Pixels from planes of blocks, strip by strip.

    Args:
        function: from some rows of MCUs of each component to their pixels.
        planes: blocks of each component.
        sampling: the frame's sampling.
    """
    strips = mcu_strips(planes, sampling)
    if len(strips) == 1:
        return function(list(planes))
    height = sampling.mcu_height
    pixels: Tensor | None = None
    for seen, core, own in strips:
        part = function(mcu_rows(planes, sampling, seen))[:, :, times(own, height)]
        if pixels is None:
            shape = (*part.shape[:2], strips[-1][1].stop * height, part.shape[3])
            pixels = part.new_empty(shape)
        pixels[:, :, times(core, height)] = part
    assert pixels is not None
    return pixels


def times(rows: slice, factor: int) -> slice:
    """The rows of pixels or blocks that rows of something larger stand for."""
    return slice(rows.start * factor, rows.stop * factor)
