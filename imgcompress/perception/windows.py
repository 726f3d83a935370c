"""How good a picture is window by window, and which windows are the worst."""

import math
from dataclasses import dataclass

from torch import Tensor

from imgcompress.shapes import Float

SIDE = 32
"""Of a window, in pixels. With ``STRIDE`` every patch of 16x16 pixels lies whole in one of them. At bounds
that refuse as few honest encodes, windows of 64 pixels catch changed digits less than half as often
(docs/compare.md)."""
STRIDE = 16


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


def worst_windows(map: WindowMap, count: int, *, lower_is_worse: bool) -> tuple[Window, ...]:  # noqa: A002
    """The worst windows that do not overlap, the worst one first.

    Args:
        map: of any metric.
        count: how many at most, at least 0.
        lower_is_worse: whether small values are bad ones, as a score's are and a distance's are not.

    Returns:
        Of equal ones the upper and left one comes first. What is not a number is the worst.
    """
    values = map.values.flatten().tolist()
    sign = 1 if lower_is_worse else -1
    order = sorted(range(len(values)), key=lambda i: (not math.isnan(values[i]), sign * values[i]))
    worst: list[Window] = []
    for index in order:
        if len(worst) >= count:
            break
        row, column = divmod(index, map.values.shape[1])
        x, y = column * map.stride, row * map.stride
        if all(abs(x - other.x) >= map.side or abs(y - other.y) >= map.side for other in worst):
            width, height = min(map.side, map.width - x), min(map.side, map.height - y)
            worst.append(Window(x, y, width, height, values[index]))
    return tuple(worst)
