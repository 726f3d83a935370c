"""Colors under full transparency: nobody sees them, so they may be whatever codes best."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from imgcompress.shapes import Float, Shaped


def fill_transparent(
    pixels: Shaped[Tensor, "batch channels height width"], alpha: Shaped[Tensor, "batch height width"]
) -> Shaped[Tensor, "batch channels height width"]:
    """Spreads the visible colors smoothly over what is fully transparent.

    Means weighted by alpha are taken over blocks of 2, 4, 8 ... pixels; each transparent pixel takes the
    smallest block's that has a visible one, interpolated. So no hue of the hidden colors gets over the border
    when a lossy coder blurs it, and there is no edge to spend bytes on.

    Args:
        pixels: any range; uint8, uint16 or float.
        alpha: 0 where a color is free.

    Returns:
        The same type. Colors that show, however faintly, are as they were; where nothing shows, all is 0.

    Source: Gortler et al., The Lumigraph, SIGGRAPH 1996, 3.4.1 (pull, push).
    """
    visible = (alpha.float() / _most(alpha))[:, None]
    filled = torch.empty_like(pixels)
    # Channel by channel: a third of the memory, in which large pictures would be the limit.
    for plane, target in zip(torch.split(pixels, 1, 1), torch.split(filled, 1, 1), strict=True):
        colors = _spread(plane.float(), visible)
        if not pixels.is_floating_point():
            colors = colors.round().to(torch.int32)
        target.copy_(torch.where(visible > 0, plane, colors.to(pixels.dtype)))
    return filled


def _most(alpha: Tensor) -> float:
    return 1.0 if alpha.is_floating_point() else float(torch.iinfo(alpha.dtype).max)


def _spread(
    colors: Float[Tensor, "batch channels height width"], weight: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch channels height width"]:
    height, width = weight.shape[-2:]
    if height == width == 1:
        return torch.where(weight > 0, colors, 0.0)
    to_even = (0, width % 2, 0, height % 2)
    sums = 4 * avg_pool2d(pad(colors * weight, to_even), 2)
    weights = 4 * avg_pool2d(pad(weight, to_even), 2)
    means = torch.where(weights > 0, sums / weights.clamp(min=1e-12), 0.0)
    coarse = _spread(means, weights.clamp(max=1.0))
    size = (height + height % 2, width + width % 2)
    smooth = interpolate(coarse, size, mode="bilinear", align_corners=False)[..., :height, :width]
    return torch.lerp(smooth, colors, weight)
