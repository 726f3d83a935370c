"""Pictures of one padded size as one tensor on the device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.image.buffers import BufferPool
from imgcompress.image.picture import Picture
from imgcompress.image.sampling import BLOCK, Sampling
from imgcompress.shapes import Bool, Float, Shaped


@dataclass(frozen=True)
class BatchGeometry:
    """Where in a batch the pictures are; what lies beyond is padding to whole MCUs.

    Attributes:
        heights, widths: true sizes; they all pad to the same size.
        sampling: its MCU decides the padding.
    """

    heights: tuple[int, ...]
    widths: tuple[int, ...]
    sampling: Sampling

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width of the batch's tensors in pixels."""
        sizes = {self.sampling.padded_size(h, w) for h, w in zip(self.heights, self.widths, strict=True)}
        assert len(sizes) == 1, "a batch has one padded size"
        return sizes.pop()

    def padded_grid(self, component: int) -> tuple[int, int]:
        """Blocks (down, across) of a component in the batch's tensors."""
        rows, columns = self.sampling.component_size(component, *self.padded_size)
        return rows // BLOCK, columns // BLOCK

    def grids(self, component: int) -> list[tuple[int, int]]:
        """Blocks (down, across) of a component that hold samples, one pair a picture."""
        sizes = zip(self.heights, self.widths, strict=True)
        return [self.sampling.block_grid(component, height, width) for height, width in sizes]

    def select(self, rows: Sequence[int]) -> "BatchGeometry":
        """The same for some pictures of the batch."""
        heights, widths = (tuple(sizes[row] for row in rows) for sizes in (self.heights, self.widths))
        return BatchGeometry(heights, widths, self.sampling)

    def real_blocks(self, component: int, device: torch.device) -> Bool[Tensor, "batch down across"]:
        """True for the blocks that hold samples of the picture, over the padded grid."""
        return blocks_within(self.grids(component), self.padded_grid(component), device)


def blocks_within(
    grids: Sequence[tuple[int, int]], padded_grid: tuple[int, int], device: torch.device
) -> Bool[Tensor, "batch down across"]:
    """True for the blocks of each picture's own grid, over a common padded one.

    Args:
        grids: blocks (down, across), one pair a picture.
        padded_grid: blocks (down, across) of the batch's tensors.
        device: where the mask is made.
    """
    down, across = padded_grid
    own = torch.tensor(grids, device=device)
    inside_rows = torch.arange(down, device=device) < own[:, :1]
    inside_columns = torch.arange(across, device=device) < own[:, 1:]
    return inside_rows[:, :, None] & inside_columns[:, None, :]


def batch_geometry(pictures: Sequence[Picture], sampling: Sampling) -> BatchGeometry:
    """The geometry of pictures that pad to the same size."""
    heights = tuple(picture.height for picture in pictures)
    widths = tuple(picture.width for picture in pictures)
    return BatchGeometry(heights, widths, sampling)


def stack_pixels(
    pictures: Sequence[Picture],
    geometry: BatchGeometry,
    device: torch.device,
    buffers: BufferPool,
    dtype: torch.dtype = torch.float32,
) -> Shaped[Tensor, "batch channels height width"]:
    """Pads pictures by repeating their last row and column, and brings them to the device.

    Args:
        pictures: 8-bit pictures with equal channel counts.
        geometry: of these pictures.
        device: where the stages run.
        buffers: holds the staging batch (pinned for CUDA) and the result, which the next call overwrites.
        dtype: of the result.

    Returns:
        Samples 0..255, gray or RGB.
    """
    shape = (len(pictures), int(pictures[0].pixels.shape[0]), *geometry.padded_size)
    staging = buffers.take("staging", shape, torch.uint8, torch.device("cpu"), pinned=device.type == "cuda")
    for page, picture in zip(staging, pictures, strict=True):
        height, width = picture.height, picture.width
        page[:, :height, :width] = picture.pixels
        page[:, height:, :width] = page[:, height - 1 : height, :width]
        page[:, :, width:] = page[:, :, width - 1 : width]
    # The copy waits until it is done: the next batch overwrites the staging memory.
    return buffers.take("pixels", shape, dtype, device).copy_(staging)


def stack_coefficients(
    pictures: Sequence[Picture], geometry: BatchGeometry, component: int, device: torch.device
) -> Float[Tensor, "batch down across 8 8"]:
    """Dequantizes source JPEGs' stored coefficients; padding repeats the last block of a row and column.

    Args:
        pictures: decoded JPEGs whose coefficients were read.
        geometry: of these pictures, with the sampling that they were coded in.
        component: 0 for luma.
        device: where the stages run.

    Returns:
        Orthonormal DCT coefficients at 0..255.
    """
    down, across = geometry.padded_grid(component)
    pages = []
    for picture in pictures:
        assert picture.jpeg is not None
        assert picture.jpeg.coefficients is not None
        stored = picture.jpeg.coefficients[component].to(device, torch.float32)
        rows = torch.arange(down, device=device).clamp(max=stored.shape[0] - 1)
        columns = torch.arange(across, device=device).clamp(max=stored.shape[1] - 1)
        steps = picture.jpeg.tables[component].to(device, torch.float32)
        pages.append(stored[rows][:, columns] * steps)
    return torch.stack(pages)
