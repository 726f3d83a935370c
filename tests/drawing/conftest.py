from collections.abc import Callable

import pytest
import torch

from imgcompress.drawing.score_heat import SIDE, STRIDE
from imgcompress.perception.window_grid import WindowGrid
from imgcompress.perception.windows import WindowMap


@pytest.fixture(scope="session")
def even_map() -> Callable[..., WindowMap]:
    """Makes maps with one score everywhere."""

    def make(width: int, height: int, score: float = 95.0) -> WindowMap:
        grid = WindowGrid(height, width, SIDE, STRIDE)
        return WindowMap(torch.full((grid.down, grid.across), score), SIDE, STRIDE, width, height)

    return make
