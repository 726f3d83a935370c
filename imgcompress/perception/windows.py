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


def ssimulacra2_windows(reference: Tensor, test: Tensor, side: int = SIDE, stride: int = STRIDE) -> Tensor:
    """Stands in until the windows of the whole picture's error maps are there: each window a picture."""
    import torch

    from imgcompress.image.color import as_unit
    from imgcompress.perception.ssimulacra2 import Ssimulacra2Reference, score_from_distance

    height, width = reference.shape[2:]
    down = max(1, -(-(height - side) // stride) + 1)
    across = max(1, -(-(width - side) // stride) + 1)
    rows = []
    with torch.no_grad():
        for row in range(down):
            scores = []
            for column in range(across):
                y, x = min(row * stride, max(0, height - side)), min(column * stride, max(0, width - side))
                one, two = (as_unit(p[:, :, y : y + side, x : x + side]) for p in (reference, test))
                scores.append(torch.zeros(len(one)))
                scores[-1] = (one, two)
            firsts = torch.cat([s[0] for s in scores])
            seconds = torch.cat([s[1] for s in scores])
            d = Ssimulacra2Reference(firsts, aligned=True).distance(seconds)
            rows.append(score_from_distance(d).reshape(across, -1).T)
    return torch.stack(rows, 1)
