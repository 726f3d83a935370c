"""Whether a quantization table is another one, scaled: encoders keep a shape and scale it by the quality."""

import torch
from torch import Tensor

from imgcompress.shapes import Float, Int


def scaled_share(table: Int[Tensor, "64"], shapes: Int[Tensor, "shapes 64"]) -> Float[Tensor, "shapes"]:
    """The largest share of a table's steps that one factor on a shape explains, for each of several shapes.

    A step t comes from a step r of the shape by a factor s if both may have been rounded from
    numbers with that ratio: s lies between (t - 1/2) / (r + 1/2) and (t + 1/2) / (r - 1/2). Steps of 1 and of
    255 and more may have been cut off there. The best factor is the lower end of one of these intervals.

    Args:
        table: steps >= 1.
        shapes: steps >= 1.

    Returns:
        0 to 1; for a table that is a shape of its own about what chance gives, 0.2 to 0.5.
    """
    t, r = table.to(torch.float32), shapes.to(torch.float32)
    low = torch.where(t > 1, (t - 0.5) / (r + 0.5), 0.0)
    low = torch.where(r >= 255, 0.0, low)
    high = torch.where(t < 255, (t + 0.5) / (r - 0.5), torch.inf)
    high = torch.where(r <= 1, torch.inf, high)
    factors = low[:, :, None]
    explained = (low[:, None] <= factors) & (factors <= high[:, None])
    return explained.to(torch.float32).mean(2).amax(1)
