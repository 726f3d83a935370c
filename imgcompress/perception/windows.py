"""How good a picture is window by window, and which windows are the worst."""

from dataclasses import dataclass

from torch import Tensor

from imgcompress.shapes import Float

SIDE = 64
"""Of a window, in pixels. With ``STRIDE`` every patch of 32x32 pixels lies whole in one of them."""
STRIDE = 32


@dataclass(frozen=True)
class Window:
    """A place in a picture, and a metric's value there.

    Attributes:
        x, y: the upper left corner, in pixels of the picture as it is seen (upright).
        width, height: in pixels; less than the windows' side where the picture ends.
        value: of the metric, in its unit.
    """

    x: int
    y: int
    width: int
    height: int
    value: float


@dataclass(frozen=True)
class WindowMap:
    """A metric's values in overlapping windows of one pair of pictures.

    Attributes:
        values: of the windows by rows; on the CPU, in the metric's unit. Window (row, column) begins at the
            pixel (row * stride, column * stride) and ends after ``side`` pixels or where the picture does.
        side, stride: in pixels.
        width, height: of the picture, in pixels.
    """

    values: Float[Tensor, "down across"]
    side: int
    stride: int
    width: int
    height: int
