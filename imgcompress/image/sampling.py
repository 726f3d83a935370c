"""Chroma subsampling: which component has how many samples, and how the grids of blocks follow."""

from dataclasses import dataclass

BLOCK = 8
"""Samples along the side of a DCT block."""


@dataclass(frozen=True)
class Sampling:
    """The sampling of a frame: gray has one component, color has Y, Cb, Cr.

    Attributes:
        name: as on the command line.
        horizontal: luma samples per chroma sample along a row (1 for gray).
        vertical: the same along a column.
        components: 1 or 3.
    """

    name: str
    horizontal: int
    vertical: int
    components: int

    @property
    def mcu_width(self) -> int:
        """Pixels across a minimum coded unit."""
        return BLOCK * self.horizontal

    @property
    def mcu_height(self) -> int:
        """Pixels down a minimum coded unit."""
        return BLOCK * self.vertical

    @property
    def chroma_area(self) -> int:
        """Pixels that a chroma sample stands for: 4 at 4:2:0, 1 at 4:4:4."""
        return self.horizontal * self.vertical

    def factors(self, component: int) -> tuple[int, int]:
        """The component's sampling factors (horizontal, vertical) as the frame header writes them."""
        return (self.horizontal, self.vertical) if component == 0 else (1, 1)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The size in pixels (height, width) that holds whole MCUs."""
        return (
            -(-height // self.mcu_height) * self.mcu_height,
            -(-width // self.mcu_width) * self.mcu_width,
        )

    def component_size(self, component: int, height: int, width: int) -> tuple[int, int]:
        """Samples (rows, columns) of a component for a picture of this size (T.81, A.1.1)."""
        horizontal, vertical = self.factors(component)
        return (
            -(-height * vertical // self.vertical),
            -(-width * horizontal // self.horizontal),
        )

    def block_grid(self, component: int, height: int, width: int) -> tuple[int, int]:
        """Blocks (down, across) that hold samples of the picture; the padding to MCUs comes on top."""
        rows, columns = self.component_size(component, height, width)
        return -(-rows // BLOCK), -(-columns // BLOCK)


SAMPLINGS = {
    sampling.name: sampling
    for sampling in (
        Sampling("444", 1, 1, 3),
        Sampling("422", 2, 1, 3),
        Sampling("440", 1, 2, 3),
        Sampling("420", 2, 2, 3),
        Sampling("gray", 1, 1, 1),
    )
}
"""Every layout that is written, by name."""
