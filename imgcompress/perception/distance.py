"""How different two pictures look: the distance of their VGG16 features, mixed with SSIMULACRA2's errors.

At each location of a tap, a and b are the channel vectors in one of the forms of ``normalization.py`` (by
default at unit length), w the channel weights (softmax of the logits times the number of channels, so that
equal logits give plain sums), f the vectors without normalization, s the share of scaled L2:

    d_l = sum_c w_c (a_c - b_c)^2                               in [0, 2] for unit length, equal weights
    V   = sum_l weight_l [(1 - s) d_l / scale_l + s sum_c (f_ac - f_bc)^2 / plain_scale_l]
                                                                layers conv2_2, conv3_3, conv4_3

V of two pictures is its power mean over the 8x8 blocks. With E the weighted sum of SSIMULACRA2's errors and t
its share, the distance is

    D   = V^(1 - t) (E / SSIMULACRA2_SCALE)^t

Why unit length: of the forms tried against human scores it ranks pictures best on MICT (rank correlation
.963; plain squared differences .669). Why scales: the weights .3/.5/.2 shall say what each layer contributes,
but the raw d_l differ; divided by their means over a set of judged JPEGs they do not, and a mean V of 1 is
that set's average damage. Why SSIMULACRA2: neither agrees best with both sets of human scores, the mixture
with fitted channels with both (``checkpoints/``); and fine detail and color count at all
sizes.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from imgcompress.config import DEFAULT_WEIGHTS, Normalization, PerceptionConfig
from imgcompress.image.color import pad_to
from imgcompress.perception.normalization import LAYER_SCALES, WINDOW, normalize
from imgcompress.perception.ssimulacra2 import Ssimulacra2Reference, window_distances
from imgcompress.perception.vgg import REACH, TAP_CHANNELS, Taps, VggFeatures, load_trunk
from imgcompress.perception.weights import load_weights
from imgcompress.perception.window_grid import WindowGrid
from imgcompress.resources import default_trunk, default_weights
from imgcompress.shapes import Float

CELL = 8
"""Pixels along the side of a conv4_3 location, which is one location of the map."""
SMALLEST = 16
SSIMULACRA2_SCALE = 24.1
"""SSIMULACRA2's mean distance over the JPEGs that ``LAYER_SCALES`` was measured on."""
WHOLE_TILES = 3
"""SSIMULACRA2, which needs less memory, takes so many tiles at once."""
LEAST = 1e-6
"""A part that is smaller counts as this in the mixture, where its logarithm's slope would be infinite."""


class MapDistance(nn.Module, ABC):
    """The distance D, from whatever computes the map of V in a tile.

    Pictures are padded by edge replication to multiples of 8 (of 16 pixels at half size) and to at least 16
    (32); the padding takes part in the mean. Pictures above ``max_tile_pixels`` are cut in tiles that overlap
    by ``overlap``; only a tile's core counts, so that the result is the untiled one. With gradients, tiles
    are recomputed in the backward pass, which bounds the memory.

    Args:
        overlap: pixels on each side that a tile shares with its neighbors: at least what a location of the
            map sees, in multiples of 8.
        pooling: exponent of the power mean over blocks, at least 1.
        ssimulacra2: share t of SSIMULACRA2's errors, in [0, 1).
        scale: 1, or 0.5 to average 2x2 pixels first.
        max_tile_pixels: the largest area of a picture that ``tile_map`` gets at once, at least the square of
            three overlaps.

    Raises:
        ValueError: another scale.
    """

    def __init__(
        self, *, overlap: int, pooling: float, ssimulacra2: float, scale: float, max_tile_pixels: int
    ) -> None:
        super().__init__()
        if scale not in (1.0, 0.5):
            raise ValueError(f"scale is 1 or 0.5, not {scale}")
        assert max_tile_pixels >= (3 * overlap) ** 2
        assert pooling >= 1
        assert 0 <= ssimulacra2 < 1
        self.overlap = overlap
        self.pooling = pooling
        self.ssimulacra2 = ssimulacra2
        self.shrink = 2 if scale == 0.5 else 1
        self.max_tile_pixels = max_tile_pixels

    @property
    @abstractmethod
    def digest(self) -> str:
        """Names what is computed, in hexadecimal digits: equal models have equal ones."""

    @abstractmethod
    def tile_map(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch down across"]:
        """V of every 8x8 block.

        Args:
            a: RGB, 0..1, gamma-coded, float32, sides are multiples of 8 and at least 16.
            b: the same.

        Returns:
            One value a block, float32, 0 where both are equal.
        """

    def forward(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """One distance a pair.

        Args:
            a: RGB, 0..1, gamma-coded, float32, any size. With a share of SSIMULACRA2 the originals: it tells
                ringing, which b has and a has not, from smoothing.
            b: the same.

        Returns:
            0 for equal pictures, float32, finite gradients; symmetric without SSIMULACRA2.
        """
        pooled = _power_mean(self._vgg_map(a, b), self.pooling)
        return self._mixed(pooled, a, b) if self.ssimulacra2 else pooled

    def distance_map(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch down across"]:
        """Where the pair differs.

        Args:
            a: RGB, 0..1, gamma-coded, float32, any size.
            b: the same.

        Returns:
            Of every 8x8 block (16x16 at half size) of the padded pictures, V with finer layers averaged over
            the block, times a factor a pair: the power mean of the map is the distance. Not so for a pair
            whose V is below ``LEAST`` and whose E is not 0: its map is about 0, its distance is not.
        """
        blocks = self._vgg_map(a, b)
        if not self.ssimulacra2:
            return blocks
        pooled = _power_mean(blocks, self.pooling)
        factors = self._mixed(pooled, a, b) / pooled.clamp(min=LEAST)
        return blocks * factors[:, None, None]

    @torch.no_grad()
    def window_distances(
        self,
        a: Float[Tensor, "batch 3 height width"],
        b: Float[Tensor, "batch 3 height width"],
        grid: WindowGrid,
    ) -> Float[Tensor, "batch down across"]:
        """The distance with every mean, of VGG and of SSIMULACRA2, taken over a window.

        Args:
            a: RGB, 0..1, gamma-coded, float32, any size.
            b: the same.
            grid: the windows of pictures of this size.
        """
        blocks = self._vgg_map(a, b)
        # Divided by the largest, nothing over- or underflows.
        largest = blocks.amax((1, 2), keepdim=True).clamp(min=1e-30)
        pixels = CELL * self.shrink
        powers = grid.cell_sums((blocks / largest).pow(self.pooling), pixels)
        size = (int(blocks.shape[1]), int(blocks.shape[2]))
        pooled = largest * grid.means(powers, size, pixels).pow(1.0 / self.pooling)
        if not self.ssimulacra2:
            return pooled
        return self._mixture(pooled, window_distances(a.float(), b.float(), grid, aligned=True))

    def _mixed(self, vgg: Tensor, a: Tensor, b: Tensor) -> Tensor:
        tiled = a[:, 0].numel() > WHOLE_TILES * self.max_tile_pixels
        reference = Ssimulacra2Reference(a.float(), aligned=True, tiled=tiled)
        return self._mixture(vgg, reference.distance(b.float()))

    def _mixture(self, vgg: Tensor, distance: Tensor) -> Tensor:
        errors = distance / SSIMULACRA2_SCALE
        logs = [torch.log(part.clamp(min=LEAST)) for part in (vgg, errors)]
        mixed = torch.exp((1 - self.ssimulacra2) * logs[0] + self.ssimulacra2 * logs[1])
        return torch.where((vgg <= 0) & (errors <= 0), 0, mixed)

    def _vgg_map(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = prepare(a, self.shrink), prepare(b, self.shrink)
        height, width = a.shape[-2:]
        rows, columns = _tile_sizes(height, width, self.max_tile_pixels)
        across_spans = _spans(width, columns, self.overlap)
        spans = [[(top, left) for left in across_spans] for top in _spans(height, rows, self.overlap)]
        if len(spans) == len(spans[0]) == 1:
            return self.tile_map(a, b)
        bands = []
        for row in spans:
            cores = []
            for (outer_top, top, bottom, outer_bottom), (outer_left, left, right, outer_right) in row:
                window = (..., slice(outer_top, outer_bottom), slice(outer_left, outer_right))
                tile = checkpoint(
                    self.tile_map, a[window], b[window], use_reentrant=False, preserve_rng_state=False
                )
                down = slice((top - outer_top) // CELL, (bottom - outer_top) // CELL)
                across = slice((left - outer_left) // CELL, (right - outer_left) // CELL)
                cores.append(tile[:, down, across])
            bands.append(torch.cat(cores, dim=2))
        return torch.cat(bands, dim=1)


class PerceptualDistance(MapDistance):
    """The distance D of the module's head, for batches of pairs.

    Its tiles overlap by 48 pixels on each side (``divisive``: 64), more than the 46 (62) that a conv4_3
    location sees.

    Args:
        trunk: frozen features; the distance itself is float32.
        layer_weights: of conv2_2, conv3_3, conv4_3.
        channel_logits: (128,), (256,) and (512,); None for equal weights. Frozen parameters: a fit sets
            ``requires_grad``.
        normalization: how features are scaled before they are compared.
        scaled_l2: share s, in [0, 1).
        pooling: exponent of the power mean over blocks, at least 1. Above 1, an average damage is no longer
            1 but what its places make of it.
        ssimulacra2: share t of SSIMULACRA2's errors, in [0, 1); 0 leaves them out. They are taken of the
            whole pictures at full size, in one piece up to three times ``max_tile_pixels`` (some 200 bytes a
            pixel).
        scale: 1, or 0.5 to average 2x2 pixels first for VGG. That takes a quarter of the time, for the CPU;
            what is one pixel wide (grain, ringing) counts less, and every layer looks at structures twice as
            large. The scale_l are other ones there, so that V = 1 is still the same set's average, but light
            damage gives less (JPEG quality 80: 0.05 on average instead of 0.16). E is the same.
        max_tile_pixels: the largest area of a picture that the trunk sees at once, at least 192 squared.

    Raises:
        ValueError: another scale.

    Source: source document, section 2.1, with unit lengths as in LPIPS (Zhang et al., arXiv 1801.03924).
    """

    layer_weights: Tensor
    layer_scales: Tensor
    plain_scales: Tensor

    def __init__(
        self,
        trunk: VggFeatures,
        layer_weights: Sequence[float] = (0.3, 0.5, 0.2),
        channel_logits: Sequence[Tensor] | None = None,
        *,
        normalization: Normalization = "unit",
        scaled_l2: float = 0.0,
        pooling: float = 1.0,
        ssimulacra2: float = 0.0,
        scale: float = 1.0,
        max_tile_pixels: int = 1 << 20,
    ) -> None:
        super().__init__(
            overlap=_overlap(normalization),
            pooling=pooling,
            ssimulacra2=ssimulacra2,
            scale=scale,
            max_tile_pixels=max_tile_pixels,
        )
        assert 0 <= scaled_l2 < 1
        device = trunk.mean.device
        if channel_logits is None:
            channel_logits = [torch.zeros(channels) for channels in TAP_CHANNELS]
        self.trunk = trunk
        self.normalization: Normalization = normalization
        self.scaled_l2 = scaled_l2
        self.channel_logits = nn.ParameterList(
            nn.Parameter(logits.to(device, torch.float32), requires_grad=False) for logits in channel_logits
        )
        self.register_buffer("layer_weights", torch.tensor(layer_weights, device=device))
        for name, form in (("layer_scales", normalization), ("plain_scales", "none")):
            self.register_buffer(name, torch.tensor(LAYER_SCALES[form][self.shrink], device=device))

    @property
    def digest(self) -> str:
        """Of all weights and settings."""
        scalars = (self.normalization, self.scaled_l2, self.pooling, self.ssimulacra2, self.shrink)
        state = hashlib.sha256(repr((scalars, self.trunk.dtype)).encode())
        for name, tensor in self.state_dict().items():
            state.update(name.encode())
            state.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return state.hexdigest()

    def tile_map(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch down across"]:
        """V of every 8x8 block, see :meth:`MapDistance.tile_map`."""
        # One picture after the other: half the memory of one call with both.
        features_a: Taps = self.trunk(a)
        features_b: Taps = self.trunk(b)
        total = torch.zeros((), device=a.device)
        factors = (1.0 - self.scaled_l2) * self.layer_weights / self.layer_scales
        plain_factors = self.scaled_l2 * self.layer_weights / self.plain_scales
        for layer, (tap_a, tap_b) in enumerate(zip(features_a, features_b, strict=True)):
            weights = self.channel_logits[layer].softmax(0) * TAP_CHANNELS[layer]
            normal_a, normal_b = (normalize(tap, layer, self.normalization) for tap in (tap_a, tap_b))
            distances = ((normal_a - normal_b).square() * weights[:, None, None]).sum(1)
            total = total + factors[layer] * F.avg_pool2d(distances, CELL >> (layer + 1))
            if self.scaled_l2:
                plain = (tap_a.float() - tap_b.float()).square().sum(1)
                total = total + plain_factors[layer] * F.avg_pool2d(plain, CELL >> (layer + 1))
        return total


def prepare(
    rgb: Float[Tensor, "batch 3 height width"], shrink: int = 1
) -> Float[Tensor, "batch 3 padded_height padded_width"]:
    """Pictures as the trunk gets them.

    Args:
        rgb: 0..1, gamma-coded, any size.
        shrink: 1, or 2 for the distance at half size.

    Returns:
        float32; padded by edge replication and, with 2, averaged over 2x2 pixels; height and width are then
        multiples of 8 and at least 16.
    """
    rgb = rgb.float()
    height, width = rgb.shape[-2:]
    cell, smallest = CELL * shrink, SMALLEST * shrink
    rgb = pad_to(rgb, max(smallest, -(-height // cell) * cell), max(smallest, -(-width // cell) * cell))
    return F.avg_pool2d(rgb, 2) if shrink == 2 else rgb


def load_distance(perception: PerceptionConfig, device: torch.device) -> PerceptualDistance:
    """The distance as the settings describe it: VGG in bfloat16 on CUDA, in float32 and shrunk on a CPU.

    Raises:
        UsageError: the file of the trunk or of the fitted weights is missing or not the one expected.
    """
    on_cuda = device.type == "cuda"
    path = Path(perception.trunk) if perception.trunk is not None else default_trunk()
    trunk = load_trunk(path, device, torch.bfloat16 if on_cuda else torch.float32)
    channel_logits = None
    if perception.weights is not None:
        default = perception.weights == DEFAULT_WEIGHTS
        fitted = load_weights(default_weights() if default else Path(perception.weights), path)
        perception, channel_logits = fitted.over(perception), fitted.channel_logits
    return PerceptualDistance(
        trunk,
        perception.layer_weights,
        channel_logits,
        normalization=perception.normalization,
        scaled_l2=perception.scaled_l2,
        pooling=perception.pooling,
        ssimulacra2=perception.ssimulacra2,
        scale=1.0 if on_cuda else perception.cpu_scale,
        max_tile_pixels=round(perception.tile_megapixels * 1e6),
    )


def _power_mean(values: Float[Tensor, "batch down across"], exponent: float) -> Float[Tensor, " batch"]:
    if exponent == 1:
        return values.mean((1, 2))
    # Divided by the largest, nothing over- or underflows. The result does not depend on the divisor, which
    # therefore needs no gradient.
    largest = values.detach().amax((1, 2), keepdim=True)
    shares = values / largest.clamp(min=1e-30)
    # The mean is at least 1 / count, unless all values are 0: the floor keeps the root's gradient finite.
    floor = 0.5 / shares[0].numel()
    means: Tensor = shares.pow(exponent).mean((1, 2)).clamp(min=floor)
    return largest[:, 0, 0] * means.pow(1.0 / exponent)


def _overlap(normalization: Normalization) -> int:
    """Pixels that a conv4_3 location's value depends on to each side, in whole locations."""
    reach = REACH + (WINDOW // 2 * CELL if normalization == "divisive" else 0)
    return -(-reach // CELL) * CELL


def _tile_sizes(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Rows and columns of the largest tile: square, or longer where the picture is narrow."""
    side = int(pixels**0.5)
    if height <= side:
        return height, min(width, pixels // height)
    if width <= side:
        return min(height, pixels // width), width
    return side, side


def _spans(length: int, longest: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Cut a multiple of 8 into about equal cores: (start with overlap, start, stop, stop with overlap)."""
    if length <= longest:
        return [(0, 0, length, length)]
    count = -(-length // ((longest - 2 * overlap) // CELL * CELL))
    edges = [length // CELL * index // count * CELL for index in range(count + 1)]
    return [
        (max(0, start - overlap), start, stop, min(length, stop + overlap)) for start, stop in pairwise(edges)
    ]
