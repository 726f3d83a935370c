"""A perceptual model in a .pt2 file, run by torch."""

import io

import torch
from torch import Tensor

from imgcompress.perception.file_distance import FileDistance
from imgcompress.perception.model_facts import KEY, parse_facts
from imgcompress.perception.pt2_file import screened
from imgcompress.shapes import Float


class Pt2Distance(FileDistance):
    """The distance whose map a program of ``torch.export`` computes.

    Args:
        data: the file's content.
        device: where.
        max_tile_pixels: as for :class:`MapDistance`.
        largest: bytes that the file may hold in all.

    Raises:
        UsageError: the content is not such a model.
    """

    def __init__(self, data: bytes, device: torch.device, max_tile_pixels: int, largest: int) -> None:
        extra = {KEY: ""}
        archive = io.BytesIO(screened(data, largest))
        program = torch.export.load(archive, extra_files=extra)
        super().__init__(data, parse_facts(extra[KEY]), max_tile_pixels)
        if device.type != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        self._program = program.module()

    def tile_map(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch down across"]:
        """V of every 8x8 block, see :meth:`MapDistance.tile_map`."""
        result: Tensor = self._program(a, b)
        return result
