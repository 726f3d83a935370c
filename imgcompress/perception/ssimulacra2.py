"""SSIMULACRA2 (version 2.1): how good a damaged picture still looks, 100 for an equal one.

At each of six scales, each halving linear light, both pictures become X, Y and B of XYB, rescaled to about
0..1. With x the original, y the other picture, e = y - x and blur() a Gaussian of sigma 1.5 pixels, each of
the three planes gives three error maps:

    structure   1 - (1 - m^2) (2 cov(x, y) + C2) / (var x + var y + C2),  m = blur(e)
    ringing     max(0, r)      where r = (1 + |y - blur(y)|) / (1 + |x - blur(x)|) - 1
    smoothing   max(0, -r)

and each map two numbers, its mean and the fourth root of the mean of its fourth power. The distance is their
weighted sum. Here the structure map is 1 - (1 - m^2) (1 - var e / (var x + var y + C2)), which is the same,
and var y is taken from var x and e: no term is then a small difference of large numbers, and float32 holds
the distance of nearly equal pictures.

The C++ reference takes the small differences, of blurs that its recursive filter sums up in float32. Its
rounding makes nearly equal pictures with large bright areas look worse than by the formula: by .1 on average
and 1.5 at most over 24 photographs as JPEG of quality 30 to 95. ``recursive`` imitates that, to foretell its
scores; the formula without it is what an encoder should descend.

An encoder's loop makes one Ssimulacra2Reference, asks it for distances and turns those into scores at the
end; distances have finite gradients everywhere, scores are flat at 100.

Source: github.com/cloudinary/ssimulacra2, version 2.1, which publishes the algorithm and the constants. XYB:
ISO/IEC 18181-1.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.image.color import as_rgb, as_unit, pad_to
from imgcompress.image.strips import overlapping
from imgcompress.perception.tiles import Window, level_means
from imgcompress.perception.window_grid import WindowGrid
from imgcompress.shapes import Float, Int, Shaped

SCALES = 6
SMALLEST = 8
"""Pixels along the shorter side; smaller pictures are continued by their last row and column."""
STRUCTURE_FLOOR = 0.0009
"""C2 of the structure map."""

# XYB: cone responses L, M, S of linear red, green and blue; each row sums to 1.
_CONES = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
_CONE_BIAS = 0.0037930732552754493
_CONE_BIAS_ROOT = _CONE_BIAS ** (1 / 3)

# One row for each plane (X, Y, B) and scale: structure, ringing, smoothing of the mean, then of the fourth
# root. Fitted by the metric's author to CID22, TID2013, KADID-10k and KonFiG-IQA; here to ten digits.
_Weights = tuple[float, float, float, float, float, float]
WEIGHTS: tuple[_Weights, ...] = (
    (0.0, 0.0007376606707, 0.0, 0.0, 0.0007793481683, 0.0),
    (0.0, 0.000437115573, 0.0, 1.104172643, 0.0006628483413, 0.0001523163278),
    (0.0, 0.001640643746, 0.0, 1.842245552, 11.4411726, 0.0),
    (0.0007989109436, 0.0001768164381, 0.0, 1.878759498, 10.94906991, 0.0),
    (0.0007289346992, 0.9677937081, 0.0, 0.0001400342429, 0.9981766978, 0.0003194975593),
    (0.0004550992114, 0.0, 0.0, 0.001364876616, 0.0, 0.0),
    (0.0, 0.0, 0.0, 7.466890328, 0.0, 17.44583398),
    (0.0006235601634, 0.0, 0.0, 6.683678146, 0.0003772440798, 1.027889938),
    (225.205153, 0.0, 0.0, 19.21323819, 0.001140152459, 0.001237755636),
    (176.393176, 0.0, 0.0, 24.43301, 0.2852080261, 0.0004485436924),
    (0.0, 0.0, 0.0, 34.77906344, 44.83562533, 0.0),
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0008680556573, 0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0005313191874, 0.0, 0.0001653381416, 0.0, 0.0),
    (0.0, 0.0, 0.0, 0.0004179171803, 0.001729082823, 0.0),
    (0.002082700585, 0.0, 0.0, 8.826982765, 23.19243344, 0.0),
    (95.10804988, 0.9863978034, 0.9834382792, 0.001228640505, 171.2667256, 0.9807858872),
    (0.0, 0.0, 0.0, 0.0005130064589, 0.0, 0.0001085405786),
)

# The Gaussian as three cosines, of k = 1, 3, 5 times pi / 10, that end after RADIUS samples (Charalampidis
# 2016). Their sizes: the point nearest to exp(-(1.5 k pi / 10)^2 / 2) / 5 with the sum 1 and variance 1.5^2.
RADIUS = 5
_SIZES = (0.17893914164149127, 0.07272614473619014, 0.012955819110517075)
_FREQUENCIES = tuple(k * math.pi / (2 * RADIUS) for k in (1, 3, 5))
_REACH = RADIUS - 1
"""How far an error map sees to each side."""
TAPS = tuple(
    sum(size * math.cos(frequency * shift) for size, frequency in zip(_SIZES, _FREQUENCIES, strict=True))
    for shift in range(RADIUS)
)
"""For samples 0 to 4 pixels away: the whole of the recursive filter's answer to an impulse."""


def ssimulacra2(
    reference: Shaped[Tensor, "batch channels height width"],
    test: Shaped[Tensor, "batch channels height width"],
    *,
    recursive: bool = False,
    tiled: bool = False,
) -> Float[Tensor, "batch"]:
    """The score of each picture of a batch against its original.

    It is not symmetric: ringing and smoothing change places, and have different weights.

    Args:
        reference: the originals, 0..1 (clamped), sRGB as it is coded, float32 or float64; 3 channels, or 1
            for gray; any size from 1x1.
        test: the other pictures, of the same shape and type.
        recursive: with the reference's rounding; no gradients, and several times slower.
        tiled: with bounded memory, see :class:`Ssimulacra2Reference`; pictures may then be uint8 or uint16
            (0..65535), too, each as it likes.

    Returns:
        100 for equal pictures, about 90 where the difference can't be seen, 70 for high, 50 for medium, 30
        for low quality; below 0 without limit. Finite gradients, zero where the score is 100.

    Raises:
        ValueError: shapes that differ, or neither 1 nor 3 channels.

    Source: cloudinary/ssimulacra2, ssimulacra2.cc. Its program refuses pictures below 8 pixels on a side.
    """
    has_gradient = torch.is_grad_enabled() and (reference.requires_grad or test.requires_grad)
    # Without gradients a CPU is faster in tiles, which stay in its cache.
    tiled = tiled or (reference.device.type == "cpu" and not has_gradient and not recursive)
    prepared = Ssimulacra2Reference(reference, recursive=recursive, tiled=tiled)
    return score_from_distance(prepared.distance(test))


def score_from_distance(distance: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The published curve from the weighted sum to the score; it falls as the distance grows.

    Args:
        distance: 0 or more.

    Returns:
        100 or less. At distance 0, where the curve's slope is infinite, the gradient is 0.
    """
    scaled = 0.9562382616834844 * distance
    bent = scaled * (2.326765642916932 + scaled * (6.248496625763138e-05 * scaled - 0.020884521182843837))
    damaged = ~(bent <= 0)  # what is not a number stays so
    return torch.where(damaged, 100 - 10 * torch.where(damaged, bent, 1).pow(0.6276336467831387), 100)


class Ssimulacra2Reference:
    """Originals, prepared once for many comparisons.

    It holds about 40 bytes a pixel; if tiled nothing but the picture itself.

    Args:
        picture: as the reference of ssimulacra2. Gradients reach it if it asks for them.
        recursive: with the reference's rounding; no gradients, and several times slower.
        aligned: each map keeps the weights that were fitted for it in pictures that have fewer scales (below
            113 pixels on a side), too. The reference moves them to other planes there; 22 of 408 steps of
            JPEG quality by 5 on 112x112 crops of Kodak then go the wrong way, and none if aligned.
        tiled: goes through the pictures in tiles. A distance needs some 8 bytes a pixel beside them, and its
            gradient 4 more; the originals are prepared anew for each.

    Raises:
        ValueError: neither 1 nor 3 channels.
    """

    def __init__(
        self,
        picture: Shaped[Tensor, "batch channels height width"],
        *,
        recursive: bool = False,
        aligned: bool = False,
        tiled: bool = False,
    ) -> None:
        assert not (recursive and tiled)
        self._shape = picture.shape
        self._recursive = recursive
        self._aligned = aligned
        self._picture = picture if tiled else None
        if tiled:
            return
        with torch.set_grad_enabled(torch.is_grad_enabled() and not recursive):
            self._planes = [
                _ReferencePlane.of(planes[channel], weights, recursive)
                for planes, needed in _pyramid(picture, aligned)
                for channel, weights in needed
            ]

    def distance(self, test: Shaped[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
        """The weighted sum of all errors, before the final curve: what a gradient should descend.

        Args:
            test: 0..1 (clamped), of the originals' shape and, unless tiled, type.

        Returns:
            0 or more, 0 for equal pictures; finite gradients everywhere, equal pictures included.

        Raises:
            ValueError: another shape.
        """
        if test.shape != self._shape:
            raise ValueError(
                f"pictures of shapes {tuple(self._shape)} and {tuple(test.shape)} can't be compared"
            )
        if self._picture is not None:
            return _distance_in_tiles(self._picture, test, self._aligned)
        total = test.new_zeros(len(test))
        prepared = iter(self._planes)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._recursive):
            for planes, needed in _pyramid(test, self._aligned):
                for channel, weights in needed:
                    plane = planes[channel]
                    means = next(prepared).pooled(plane, weights, lambda errors: errors.mean((1, 2)))
                    total = total + _weighted(means, weights)
        return total

    def select(self, rows: Int[Tensor, "kept"]) -> "Ssimulacra2Reference":
        """The same for some pictures of the batch.

        Args:
            rows: their places in the batch.
        """
        chosen = object.__new__(Ssimulacra2Reference)
        chosen._recursive, chosen._aligned = self._recursive, self._aligned
        chosen._shape = torch.Size((len(rows), *self._shape[1:]))
        chosen._picture = None if self._picture is None else self._picture[rows]
        if self._picture is None:
            chosen._planes = [plane.select(rows) for plane in self._planes]
        return chosen


@dataclass(frozen=True)
class _ReferencePlane:
    """The original's share of one plane at one scale, (batch, height, width) each."""

    values: Tensor
    mean: Tensor
    variance: Tensor | None
    """None where the structure map has no weight."""
    recursive: bool

    @classmethod
    def of(cls, values: Tensor, weights: _Weights, recursive: bool) -> "_ReferencePlane":
        # Rounding counts in the structure map alone.
        recursive = recursive and _weighs_structure(weights)
        smooth = _recursive_blur if recursive else blur
        if not _weighs_structure(weights):
            return cls(values, smooth(values), None, recursive)
        mean, square = smooth(torch.stack((values, values.square())))
        return cls(values, mean, square - mean.square(), recursive)

    def select(self, rows: Tensor) -> "_ReferencePlane":
        variance = None if self.variance is None else self.variance[rows]
        return _ReferencePlane(self.values[rows], self.mean[rows], variance, self.recursive)

    def pooled(
        self, test: Tensor, weights: _Weights, pool: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "batch 6 *places"]:
        """What a pooling makes of the three error maps and of their fourth powers; 0 without weight."""
        pooled: dict[int, Tensor] = {}
        for kind, error in self.errors(test, weights):
            if weights[kind]:
                pooled[kind] = pool(error)
            if weights[kind + 3]:
                pooled[kind + 3] = pool(error.square().square())
        none = torch.zeros_like(next(iter(pooled.values())))
        return torch.stack([pooled.get(place, none) for place in range(6)], dim=1)

    def errors(self, test: Tensor, weights: _Weights) -> Iterator[tuple[int, Tensor]]:
        """Of the structure, ringing and smoothing maps (0, 1, 2) those that have weight."""
        change = test - self.values
        if self.variance is None:
            mean_change = blur(change)
        else:
            mean_change, structure = self._structure(test, change, self.variance)
            yield 0, structure
        kinds = [kind for kind in (1, 2) if weights[kind] or weights[kind + 3]]
        if not kinds:
            return
        detail = self.values - self.mean
        original = detail.abs()
        growth = (detail + change).sub_(mean_change).abs().sub_(original).div_(1 + original)
        for kind in kinds:
            yield kind, (growth if kind == 1 else -growth).relu()

    def _structure(self, test: Tensor, change: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """The blurred change and the structure map."""
        if self.recursive:
            mean, square, product = _recursive_blur(torch.stack((test, test.square(), test * self.values)))
            mean_change = mean - self.mean
            covariance = product - mean * self.mean
            floored = variance + (square - mean.square()) + STRUCTURE_FLOOR
            unlike = 1 - (2 * covariance + STRUCTURE_FLOOR) / floored
        else:
            # y^2 - x^2 = e (2 x + e), for the means too: var y - var x without the large squares.
            growth = (2 * self.values).add_(change).mul_(change)
            mean_change, gain, square = blur(torch.stack((change, growth, change.square())))
            gain = gain - (2 * self.mean).add_(mean_change).mul_(mean_change)
            floored = gain.add_(variance, alpha=2).add_(STRUCTURE_FLOOR)
            unlike = (square - mean_change.square()).div_(floored)
        shift = mean_change.square()
        return mean_change, (shift + (1 - shift) * unlike).relu()


def ssimulacra2_windows(
    reference: Shaped[Tensor, "batch channels height width"],
    test: Shaped[Tensor, "batch channels height width"],
    grid: WindowGrid,
) -> Float[Tensor, "batch down across"]:
    """The score that a large picture would have if it were everywhere as in a window.

    In small pictures ssimulacra2 itself says little: of 24x24 pixels all white and all black the score is 77.
    So pictures smaller than a window are continued, and each map keeps the weights that were fitted for it.

    Args:
        reference, test: as for ssimulacra2, but uint8 and uint16, too, each as it likes.
        grid: the windows of pictures of this size.

    Returns:
        As ssimulacra2; without gradients.
    """
    side = grid.side
    reference, test = (
        pad_to(picture, max(picture.shape[2], side), max(picture.shape[3], side))
        for picture in (reference, test)
    )
    grid = replace(grid, height=reference.shape[2], width=reference.shape[3])
    return score_from_distance(window_distances(reference, test, grid, aligned=True))


@torch.no_grad()
def window_distances(
    reference: Shaped[Tensor, "batch channels height width"],
    test: Shaped[Tensor, "batch channels height width"],
    grid: WindowGrid,
    *,
    aligned: bool = False,
) -> Float[Tensor, "batch down across"]:
    """The weighted sum with every mean taken over a window instead of the whole picture.

    It goes through the pictures in strips of rows and needs some 8 bytes a pixel beside them.

    Args:
        reference, test: as for ssimulacra2, but uint8 and uint16, too, each as it likes.
        grid: the windows of pictures of this size.
        aligned: as for :class:`Ssimulacra2Reference`.

    Returns:
        The distance that the whole picture would have if it were everywhere as in this window.
    """
    originals, tests = _enlarged(reference), _enlarged(test)
    total: Tensor | float = 0.0
    for scale, needed in enumerate(_weights_of_scales(originals, aligned)):
        height, width = tests.shape[2:]
        cells, halves = [], []
        for seen, _, own in overlapping(height, grid.strip_rows(tests, 2**scale), _REACH):
            before, after = originals[:, :, seen], tests[:, :, seen]
            if scale == 0:
                before, after = linear_planes(before), linear_planes(after)
            halves.append([halve(linear[:, :, own]) for linear in (before, after)])
            box_sums = partial(_cell_sums, grid, own, 2**scale)
            cells.append(_all_pooled(before, after, needed, box_sums))
        originals, tests = (torch.cat(strips, 2) for strips in zip(*halves, strict=True))
        means = grid.means(torch.cat(cells, 2), (height, width), 2**scale)
        for place, (_, row) in enumerate(needed):
            total = total + _weighted(means[:, 6 * place : 6 * place + 6], row)
    return torch.as_tensor(total)


def error_maps(
    reference: Float[Tensor, "batch channels height width"],
    test: Float[Tensor, "batch channels height width"],
) -> Iterator[list[tuple[Tensor, ...]]]:
    """The maps that the distance is made of, before they are weighted.

    Args:
        reference, test: as for ssimulacra2.

    Returns:
        From the finest scale on, of the planes X, Y and B: structure, ringing, smoothing, each
        ``[batch, height, width]``. Small pictures have fewer than ``SCALES`` scales.
    """
    every = (1.0,) * 6
    for (originals, _), (others, _) in zip(_pyramid(reference), _pyramid(test), strict=True):
        yield [
            tuple(error for _, error in _ReferencePlane.of(original, every, False).errors(other, every))
            for original, other in zip(originals, others, strict=True)
        ]


def _weighs_structure(weights: _Weights) -> bool:
    return bool(weights[0] or weights[3])


def _weighted(means: Float[Tensor, "batch 6 *places"], weights: _Weights) -> Float[Tensor, "batch *places"]:
    """A plane's share of the distance, from the means over its pixels."""
    total = torch.zeros_like(means[:, 0])
    for kind in range(3):
        mean_weight, root_weight = weights[kind::3]
        share = torch.zeros_like(total)
        if mean_weight:
            share = share + mean_weight * means[:, kind]
        if root_weight:
            fourth = means[:, kind + 3]
            # The root's slope is infinite at 0; below 1e-30 the root, 3e-8, counts for nothing in any score.
            present = ~(fourth <= 1e-30)  # what is not a number stays so
            root = torch.where(present, torch.where(present, fourth, 1).sqrt().sqrt(), 0)
            share = share + root_weight * root
        total = total + share
    return total


def _pyramid(
    picture: Tensor, aligned: bool = False
) -> Iterator[tuple[list[Tensor], list[tuple[int, _Weights]]]]:
    """From fine to coarse: the three planes, and which of them count with which weights."""
    picture = _enlarged(picture)
    linear = linear_planes(picture)
    for scale, needed in enumerate(_weights_of_scales(linear, aligned)):
        if scale:
            linear = halve(linear)
        yield xyb(linear), needed


def _distance_in_tiles(originals: Tensor, tests: Tensor, aligned: bool) -> Tensor:
    originals, tests = _enlarged(originals), _enlarged(tests)
    weights = _weights_of_scales(originals, aligned)
    steps = [partial(_step, scale, needed) for scale, needed in enumerate(weights)]
    total: Tensor | float = 0.0
    for needed, means in zip(weights, level_means(originals, tests, steps, _REACH), strict=True):
        for place, (_, row) in enumerate(needed):
            total = total + _weighted(means[:, 6 * place : 6 * place + 6], row)
    return torch.as_tensor(total)


def _step(
    scale: int, needed: list[tuple[int, _Weights]], originals: Tensor, tests: Tensor, own: Window
) -> tuple[Tensor, Tensor, Tensor]:
    """The sums of one scale, six for each plane that counts, and the linear light of the next one."""
    if scale == 0:
        originals, tests = linear_planes(originals), linear_planes(tests)
    sums = _all_pooled(originals, tests, needed, lambda errors: errors[own].sum((1, 2)))
    return sums, halve(originals), halve(tests)


def _all_pooled(
    linear: Tensor, other: Tensor, needed: list[tuple[int, _Weights]], pool: Callable[[Tensor], Tensor]
) -> Float[Tensor, "batch terms *places"]:
    """Of both pictures' linear light at one scale: six numbers for each plane that counts."""
    before, after = xyb(linear), xyb(other)
    return torch.cat(
        [
            _ReferencePlane.of(before[channel], row, recursive=False).pooled(after[channel], row, pool)
            for channel, row in needed
        ],
        dim=1,
    )


def _cell_sums(grid: WindowGrid, own: slice, pixels: int, errors: Tensor) -> Tensor:
    return grid.cell_sums(errors[:, own], pixels)


def _enlarged(picture: Tensor) -> Tensor:
    if picture.shape[1] not in (1, 3):
        raise ValueError(f"a picture has 1 or 3 channels, not {picture.shape[1]}")
    height, width = picture.shape[2:]
    return pad_to(picture, max(height, SMALLEST), max(width, SMALLEST))


def linear_planes(
    coded: Shaped[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch 3 height width"]:
    """Linear light of RGB or gray as three channels.

    Args:
        coded: sRGB, 0..1 (clamped), uint8 or uint16.
    """
    return as_rgb(linear_light(as_unit(coded)))


def halve(linear: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels _ _"]:
    """Means of 2x2 pixels; at odd sizes of what there is, as if the last sample were repeated."""
    height, width = linear.shape[-2:]
    linear = pad_to(linear, height + height % 2, width + width % 2)
    # Sums of slices: several times faster on a CPU than pooling, forward and backward.
    rows = linear[..., ::2, :] + linear[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def _weights_of_scales(picture: Tensor, aligned: bool) -> list[list[tuple[int, _Weights]]]:
    """For each scale the planes that count, with their weights."""
    scales = _scale_count(picture.shape[2], picture.shape[3])
    # The reference takes its weights one after the other: where there are fewer scales, Y and B start on
    # rows that were fitted for another place.
    stride = SCALES if aligned else scales
    rows = [[(channel, WEIGHTS[channel * stride + scale]) for channel in range(3)] for scale in range(scales)]
    return [[(channel, row) for channel, row in planes if any(row)] for planes in rows]


def _scale_count(height: int, width: int) -> int:
    """A scale is the last one if it is below 8 pixels on a side itself, not if the next one would be."""
    scales = 1
    while scales < SCALES and min(height, width) >= SMALLEST:
        height, width = -(-height // 2), -(-width // 2)
        scales += 1
    return scales


def linear_light(coded: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Linear light of sRGB values, 0..1, clamped (IEC 61966-2-1)."""
    coded = coded.clamp(0, 1)
    curve = _power(coded.add(0.055).div_(1.055), 2.4)
    return torch.where(coded <= 0.04045, coded / 12.92, curve)


def xyb(linear: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
    """The metric's positive XYB planes (about 0..1) of linear light."""
    red, green, blue = linear.unbind(1)
    # A root without its bias's is 0 in the dark; the bias's own goes where it does not cancel.
    long, medium, short = (
        _power((red * r).add_(green, alpha=g).add_(blue, alpha=b).add_(_CONE_BIAS), 1 / 3)
        for r, g, b in _CONES
    )
    luma = (long + medium).mul_(0.5)
    return [
        (long - medium).mul_(7).add_(0.42),
        luma + (0.01 - _CONE_BIAS_ROOT),
        (short - luma).add_(0.55),
    ]


def _power(base: Tensor, exponent: float) -> Tensor:
    """Of positive numbers; on a CPU twice as fast as pow, and as exact to a few units of the last place."""
    return base.log2().mul_(exponent).exp2_()


def blur(planes: Float[Tensor, "*leading height width"]) -> Float[Tensor, "*leading height width"]:
    """The metric's Gaussian, sigma 1.5 pixels, zero outside the picture.

    Args:
        planes: any values, float32 or float64.
    """
    blurred: Tensor = _Blur.apply(planes)
    return blurred


class _Blur(torch.autograd.Function):
    """The Gaussian along rows and columns, zero outside the picture: symmetric, so its own gradient.

    Sums of shifted slices instead of a convolution: cudnn's TF32 would drown the differences of squares, and
    on one CPU core they are faster, too.
    """

    @staticmethod
    def forward(planes: Tensor) -> Tensor:
        for dim in (-2, -1):
            length = planes.shape[dim]
            blurred = planes * TAPS[0]
            for shift, tap in enumerate(TAPS[1:length], start=1):
                rest = length - shift
                blurred.narrow(dim, shift, rest).add_(planes.narrow(dim, 0, rest), alpha=tap)
                blurred.narrow(dim, 0, rest).add_(planes.narrow(dim, shift, rest), alpha=tap)
            planes = blurred
        return planes

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return blur(gradient)


def _recursive_blur(planes: Tensor) -> Tensor:
    """The same Gaussian as the reference runs it: recursively, in float32, along rows and then columns."""
    rows = _recursive_pass(planes.float().mT.contiguous())
    return _recursive_pass(rows.mT.contiguous()).to(planes.dtype)


def _recursive_pass(planes: Tensor) -> Tensor:
    """Along columns: each cosine's state from the two before it (Charalampidis 2016, equation 35)."""
    padded = F.pad(planes, (0, 0, 2 * RADIUS, RADIUS - 1))
    steps = planes.shape[-2] + RADIUS - 1
    entering = padded.narrow(-2, 0, steps) + padded.narrow(-2, 2 * RADIUS, steps)
    gains = [-size * math.cos((RADIUS + 1) * f) for size, f in zip(_SIZES, _FREQUENCIES, strict=True)]
    turns = [2 * math.cos(f) for f in _FREQUENCIES]
    # The reference holds both in float32.
    gain, turn = (
        torch.tensor((gains, turns), device=planes.device).double().view(2, 3, *[1] * (planes.ndim - 1))
    )
    before = torch.zeros((3, *planes.shape[:-2], planes.shape[-1]), dtype=torch.float64, device=planes.device)
    state = before
    blurred = []
    for sample in entering.unbind(-2):
        # Its fused multiply-adds round once: float64 holds the products whole.
        carried = (turn * state - before).float()
        before, state = state, (gain * sample + carried).float().double()
        first, third, fifth = state.float()
        blurred.append(first + (third + fifth))
    return torch.stack(blurred[RADIUS - 1 :], dim=-2)
