"""BRISQUE's 36 features: how far a picture's local contrast departs from that of natural scenes.

Divided by the local spread around them, an undamaged photograph's samples are nearly Gaussian, and products
of neighbors follow nearly an asymmetric generalized Gaussian (AGGD):

    p(x) ~ exp(-(-x / b_l)^a) for x < 0,  exp(-(x / b_r)^a) for x >= 0

Blur, noise and blocks change the shape a and the spreads to the left and to the right. They are fitted by
moment matching at two scales.

Deliberate differences from the authors' program: luma is not rounded; beyond its borders the picture goes on
with its last row and column instead of with zeros; only pairs of neighbors inside the picture are
multiplied, none around its borders; the second scale is the mean of 2x2 samples instead of a bicubic
reduction; the shape is interpolated between the table's entries. Their published support vectors hence don't
fit these features.

Source: A. Mittal, A. K. Moorthy, A. C. Bovik, "No-Reference Image Quality Assessment in the Spatial Domain",
IEEE Transactions on Image Processing 21(12), 2012; moment matching: N.-E. Lasmar, Y. Stitou, Y. Berthoumieu,
"Multiscale skewed heavy tailed model for texture analysis", ICIP 2009.
"""

import torch
from torch import Tensor

from imgcompress.image.color import pad_to
from imgcompress.shapes import Float

_RADIUS, _SIGMA = 3, 7 / 6
_FLOOR = 1.0
"""C of the paper, for samples 0..255: keeps even areas from being divided by nothing."""
_SCALES = 2
_DIRECTIONS = ("across", "down", "diagonal", "antidiagonal")
NATURAL_SCENE_NAMES = tuple(
    f"natural_{place}_{scale}"
    for scale in range(1, _SCALES + 1)
    for place in (
        "shape",
        "variance",
        *(f"{way}_{value}" for way in _DIRECTIONS for value in ("shape", "mean", "left", "right")),
    )
)
"""What each of the features is; ``left`` and ``right`` are variances, the scales are 1 and 1/2."""
_LEAST_SHAPE, _MOST_SHAPE, _SHAPE_STEP = 0.2, 10.0, 0.001


def natural_scene_features(luma: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch 36"]:
    """BRISQUE's features of each picture, in the order of ``NATURAL_SCENE_NAMES``.

    Args:
        luma: 0..255, any size from 1x1.

    Returns:
        float32. An even picture has the smallest shape, .2, and zeros elsewhere.

    Source: Mittal et al. 2012, table I.
    """
    # Float64 and the distance from the darkest sample: the variance is a small difference of large numbers,
    # and that of an even picture has to be 0.
    plane = luma.double()
    plane = plane - plane.amin((1, 2), keepdim=True)
    features: list[Tensor] = []
    for scale in range(_SCALES):
        if scale:
            plane = _halved(plane)
        contrast = local_contrast(plane)
        variance = contrast.square().mean((1, 2))
        features += [_shape(_ratio(contrast.abs().mean((1, 2)).square(), variance)), variance]
        for product in _neighbor_products(contrast):
            shape, left, right = fit_aggd(product.flatten(1))
            # Mean of the fitted distribution: eta of the paper, with b = sigma sqrt(G(1/a) / G(3/a)).
            ratio = _log_gamma(2, shape) - (_log_gamma(1, shape) + _log_gamma(3, shape)) / 2
            features += [shape, (right.sqrt() - left.sqrt()) * ratio.exp(), left, right]
    return torch.stack(features, dim=1).float()


def local_contrast(plane: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch height width"]:
    """Each sample's distance from its surroundings' mean, over their spread (MSCN coefficients).

    Args:
        plane: 0..255, any offset.

    Source: Mittal et al. 2012, equations 1 to 3.
    """
    mean = _blurred(plane)
    variance = _blurred(plane.square()) - mean.square()
    return (plane - mean) / (variance.clamp(min=0).sqrt() + _FLOOR)


def fit_aggd(
    values: Float[Tensor, "batch count"],
) -> tuple[Float[Tensor, "batch"], Float[Tensor, "batch"], Float[Tensor, "batch"]]:
    """An asymmetric generalized Gaussian for each row, by its moments.

    Args:
        values: any number of them, none included.

    Returns:
        Shape (.2 to 10; 2 is a Gaussian, 1 a Laplacian), variance of the values below and above 0; for values
        that are all 0, the smallest shape and zeros.

    Source: Lasmar et al. 2009.
    """
    below, above = values < 0, values > 0
    squares = values.square()
    left = (squares * below).sum(1) / below.sum(1).clamp(min=1)
    right = (squares * above).sum(1) / above.sum(1).clamp(min=1)
    count = max(1, values.shape[1])
    flatness = _ratio((values.abs().sum(1) / count).square(), squares.sum(1) / count)
    left_root, right_root = left.sqrt(), right.sqrt()
    skew = (left * left_root + right * right_root) * (left_root + right_root)
    return _shape(flatness * _ratio(skew, (left + right).square())), left, right


def _shape(ratio: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """The shape whose squared mean magnitude is this share of its mean square."""
    steps = round((_MOST_SHAPE - _LEAST_SHAPE) / _SHAPE_STEP)
    shapes = torch.linspace(_LEAST_SHAPE, _MOST_SHAPE, steps + 1, dtype=ratio.dtype, device=ratio.device)
    table = (2 * _log_gamma(2, shapes) - _log_gamma(1, shapes) - _log_gamma(3, shapes)).exp()
    upper = torch.searchsorted(table, ratio.contiguous()).clamp(1, steps)
    below, above = table[upper - 1], table[upper]
    return torch.lerp(shapes[upper - 1], shapes[upper], ((ratio - below) / (above - below)).clamp(0, 1))


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return above / below.clamp(min=torch.finfo(below.dtype).tiny)


def _log_gamma(times: int, shape: Tensor) -> Tensor:
    return torch.lgamma(times / shape)


def _neighbor_products(plane: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        plane[:, :, :-1] * plane[:, :, 1:],
        plane[:, :-1] * plane[:, 1:],
        plane[:, :-1, :-1] * plane[:, 1:, 1:],
        plane[:, :-1, 1:] * plane[:, 1:, :-1],
    )


def _blurred(plane: Tensor) -> Tensor:
    """7x7 Gaussian."""
    shifts = torch.arange(-_RADIUS, _RADIUS + 1, dtype=plane.dtype, device=plane.device)
    taps = torch.exp(-shifts.square() / (2 * _SIGMA**2))
    taps = taps / taps.sum()
    for axis in (1, 2):
        length = plane.shape[axis]
        places = torch.arange(length, device=plane.device)
        plane = sum(
            (
                tap * plane.index_select(axis, (places + shift).clamp(0, length - 1))
                for shift, tap in zip(range(-_RADIUS, _RADIUS + 1), taps.unbind(), strict=True)
            ),
            start=torch.zeros_like(plane),
        )
    return plane


def _halved(plane: Tensor) -> Tensor:
    _, height, width = plane.shape
    even = pad_to(plane, height + height % 2, width + width % 2)
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4
