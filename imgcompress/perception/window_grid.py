"""Overlapping windows of a picture, and means over them of maps of any resolution, by box sums."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.shapes import Float, Shaped

STRIP_PIXELS = 2**18
"""Of all pictures of a batch that are looked at together; some 100 bytes are needed for each."""


def strip_rows(maps: Shaped[Tensor, "batch *_"], multiple: int = 1) -> int:
    """How many rows of maps [batch, ..., width] to look at together.

    Args:
        maps: of any type.
        multiple: of which the rows are one.
    """
    return multiple * max(1, STRIP_PIXELS // (len(maps) * maps.shape[-1] * multiple))


@dataclass(frozen=True)
class WindowGrid:
    """Windows that begin at every multiple of the stride, the last ones where the picture ends in them.

    A map's sample may stand for a square of several pixels. It counts in a window by the area that it shares
    with it, and whole beyond the picture's end. Along an axis on which one window holds the whole picture
    it holds the whole map.

    Attributes:
        height, width: of the picture, in pixels.
        side, stride: of the windows, in pixels; the stride is at most the side.
    """

    height: int
    width: int
    side: int
    stride: int

    def __post_init__(self) -> None:
        assert 0 < self.stride <= self.side

    @property
    def down(self) -> int:
        """How many rows of windows there are."""
        return self._count(self.height)

    @property
    def across(self) -> int:
        """How many windows are in a row."""
        return self._count(self.width)

    def strip_rows(self, maps: Shaped[Tensor, "batch *_"], pixels: int = 1) -> int:
        """How many rows of maps [batch, ..., width] to look at together: whole cells, and an even number.

        Args:
            maps: of the resolution in question.
            pixels: along the side of one of their samples, a power of two.
        """
        return strip_rows(maps, math.lcm(self._cell, 2 * pixels) // pixels)

    def cell_sums(
        self, rows: Float[Tensor, "*batch height width"], pixels: int = 1
    ) -> Float[Tensor, "*batch cells_down cells_across"]:
        """Sums over the cells that windows are made of; rows of cells of several strips may be joined.

        Args:
            rows: whole cells, or the last rows of a map.
            pixels: along the side of a sample.
        """
        repeats = pixels // self._unit(pixels)
        if repeats > 1:
            rows = rows.repeat_interleave(repeats, -2).repeat_interleave(repeats, -1)
        cell = self._cell // self._unit(pixels)
        return _box_sums(rows, (cell, cell), cell)

    def means(
        self, cells: Float[Tensor, "*batch cells_down cells_across"], size: tuple[int, int], pixels: int = 1
    ) -> Float[Tensor, "*batch down across"]:
        """Means over the windows.

        Args:
            cells: sums over all cells of a map.
            size: the map's height and width, in samples.
            pixels: along the side of a sample.
        """
        unit = self._unit(pixels)
        lengths = [samples * pixels // unit for samples in size]
        counts = (self.down, self.across)
        boxes = [cells.shape[axis] if counts[axis] == 1 else self.side // self._cell for axis in (-2, -1)]
        sums = _box_sums(cells, (boxes[0], boxes[1]), self.stride // self._cell)
        rows, columns = (
            self._extents(length, count, unit).to(sums) for length, count in zip(lengths, counts, strict=True)
        )
        return sums[..., : self.down, : self.across] / (rows[:, None] * columns)

    @property
    def _cell(self) -> int:
        """Pixels along the side of the squares that every window is made of."""
        return math.gcd(self.side, self.stride)

    def _unit(self, pixels: int) -> int:
        """Pixels along the largest square that divides both a sample and a cell."""
        return math.gcd(pixels, self._cell)

    def _count(self, length: int) -> int:
        return max(0, -(-(length - self.side) // self.stride)) + 1

    def _extents(self, length: int, count: int, unit: int) -> Tensor:
        """How long each window is, where an axis has so many units and windows."""
        if count == 1:
            return torch.tensor([length])
        return (length - torch.arange(count) * (self.stride // unit)).clamp(max=self.side // unit)


def _box_sums(maps: Tensor, box: tuple[int, int], step: int) -> Tensor:
    """Over boxes that begin at every step; cut off where the map ends."""
    height, width = min(box[0], maps.shape[-2]), min(box[1], maps.shape[-1])
    planes = maps.reshape(-1, 1, *maps.shape[-2:])
    sums = F.avg_pool2d(planes, (height, width), step, ceil_mode=True, divisor_override=1)
    return sums.reshape(*maps.shape[:-2], *sums.shape[-2:])
