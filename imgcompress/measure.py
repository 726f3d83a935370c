"""Scores of pictures against their originals, a batch at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from typing import NamedTuple

import torch
from torch import Tensor

from imgcompress.config import Config
from imgcompress.image.color import as_rgb, as_unit, over
from imgcompress.image.picture import Decoded
from imgcompress.perception.distance import MapDistance, load_distance
from imgcompress.perception.pixel_error import max_error, psnr, psnr_windows
from imgcompress.perception.ssim import ms_ssim, ssim, ssim_windows
from imgcompress.perception.ssimulacra2 import ssimulacra2, ssimulacra2_windows
from imgcompress.perception.window_grid import WindowGrid, strip_rows
from imgcompress.perception.windows import SIDE, STRIDE, WindowMap
from imgcompress.targets import METRICS

LOWER_IS_BETTER = frozenset(
    {"max_error", *(name for name, metric in METRICS.items() if metric.is_ceiling and not metric.is_size)}
)
"""Of what is measured; of all else a higher value is better."""
WINDOWED = ("psnr", "ssim", "ssimulacra2", "vgg")
"""What can be measured window by window."""
BACKGROUNDS = (0.1, 0.9)
"""Gray levels, gamma-coded, that show through where alpha is below 1.

Source: cloudinary/ssimulacra2, ssimulacra2_main.cc.
"""


class _Batch(NamedTuple):
    """Pictures of one kind: [batch, channels, height, width] and [batch, height, width]."""

    pixels: Tensor
    alpha: Tensor | None


class Measure:
    """Measures results against their originals, on the device.

    Depths need not agree: 8-bit and deep values alike are 0..1 before they are compared. A gray picture and
    one in color are compared as RGB. Where either has alpha, both are laid over several grays, and the worst
    value counts; a picture without alpha is opaque. What is not a number is the worst.

    Args:
        metrics: any of "psnr", "ssim", "ms_ssim", "max_error", "ssimulacra2", "vgg".
        config: how the VGG distance is taken, and how many megapixels are measured together.
        device: where.
        distance: what to take as "vgg", of two batches ``[batch, 3, height, width]`` of 0..1; None to load
            what the settings say.
        backgrounds: the grays, 0..1, gamma-coded, at least one.

    Raises:
        UsageError: the trunk's file is missing or not the one expected.
    """

    def __init__(
        self,
        metrics: Iterable[str],
        config: Config,
        device: torch.device,
        distance: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        backgrounds: Sequence[float] = BACKGROUNDS,
    ) -> None:
        self._metrics = tuple(metrics)
        self._limits = config.limits
        self._device = device
        self._backgrounds = tuple(backgrounds)
        self._distance = distance
        if distance is None and "vgg" in self._metrics:
            self._distance = load_distance(config.perception, device)

    def scores(self, originals: Sequence[Decoded], results: Sequence[Decoded]) -> list[dict[str, float]]:
        """Compares pictures pair by pair; pairs of one kind are measured together.

        Args:
            originals: uint8, or uint16 of 0..65535, any sizes.
            results: decoded results.

        Returns:
            Metric to value, one dictionary a pair; an empty one where the sizes differ.
        """
        scores: list[dict[str, float]] = [{} for _ in originals]
        for indices, before, after in self._batches(originals, results):
            for name in self._metrics:
                values = self._worst(name, before, after, self._measure)
                for index, value in zip(indices, values.tolist(), strict=True):
                    scores[index][name] = value
        return scores

    def windows(
        self,
        metrics: Iterable[str],
        originals: Sequence[Decoded],
        results: Sequence[Decoded],
        side: int = SIDE,
        stride: int = STRIDE,
    ) -> list[dict[str, WindowMap]]:
        """Compares pictures pair by pair in overlapping windows, with the same views as for the scores.

        Args:
            metrics: any of ``WINDOWED``; "vgg" only if it is measured at all, with a distance that has maps.
            originals: uint8, or uint16 of 0..65535, any sizes.
            results: decoded results.
            side: of a window, in pixels.
            stride: from one window to the next, in pixels, at most the side.

        Returns:
            Metric to map, one dictionary a pair; an empty one where the sizes differ.
        """
        maps: list[dict[str, WindowMap]] = [{} for _ in originals]
        names = tuple(metrics)
        for indices, before, after in self._batches(originals, results):
            height, width = before.pixels.shape[2:]
            grid = WindowGrid(height, width, side, stride)
            for name in names:
                values = self._worst(name, before, after, partial(self._measure_windows, grid=grid))
                for index, value in zip(indices, values.cpu(), strict=True):
                    maps[index][name] = WindowMap(value, side, stride, width, height)
        return maps

    def _batches(
        self, originals: Sequence[Decoded], results: Sequence[Decoded]
    ) -> Iterator[tuple[list[int], _Batch, _Batch]]:
        """Pairs of one kind, as many as are measured together, and their places; none whose sizes differ."""
        groups: dict[tuple[object, object], list[int]] = {}
        for index, (original, result) in enumerate(zip(originals, results, strict=True)):
            if original.pixels.shape[1:] == result.pixels.shape[1:]:
                groups.setdefault((_kind(original), _kind(result)), []).append(index)
        for group in groups.values():
            height, width = originals[group[0]].pixels.shape[1:]
            together = max(1, int(self._limits.batch_megapixels * 1e6 / (height * width)))
            for first in range(0, len(group), together):
                indices = group[first : first + together]
                before, after = (
                    self._stack([pictures[index] for index in indices]) for pictures in (originals, results)
                )
                yield indices, before, after

    def _stack(self, pictures: Sequence[Decoded]) -> _Batch:
        """A batch on the device; a large one keeps its whole numbers."""
        pixels = torch.stack([picture.pixels for picture in pictures]).to(self._device)
        alphas = [picture.alpha for picture in pictures if picture.alpha is not None]
        alpha = torch.stack(alphas).to(self._device) if alphas else None
        if self._is_large(pixels):
            return _Batch(pixels, alpha)
        return _Batch(as_unit(pixels), None if alpha is None else as_unit(alpha))

    def _is_large(self, pixels: Tensor) -> bool:
        return pixels[:, 0].numel() > 1e6 * self._limits.tile_megapixels

    @torch.no_grad()
    def _worst(
        self, name: str, before: _Batch, after: _Batch, measure: Callable[[str, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The worst of all views."""
        worse = torch.maximum if name in LOWER_IS_BETTER else torch.minimum  # they pass on NaN
        return reduce(worse, (measure(name, *view) for view in _views(before, after, self._backgrounds)))

    def _measure(self, name: str, original: Tensor, result: Tensor) -> Tensor:
        if name == "ssimulacra2":
            return ssimulacra2(original, result, tiled=self._is_large(original))
        if name == "vgg":
            assert self._distance is not None
            return self._distance(as_rgb(as_unit(original)), as_rgb(as_unit(result)))
        return _BY_NAME[name](original, result)

    def _measure_windows(self, name: str, original: Tensor, result: Tensor, grid: WindowGrid) -> Tensor:
        if name == "vgg":
            assert isinstance(self._distance, MapDistance)
            return self._distance.window_distances(as_rgb(as_unit(original)), as_rgb(as_unit(result)), grid)
        return _WINDOWS_BY_NAME[name](original, result, grid)


_BY_NAME = {"psnr": psnr, "max_error": max_error, "ssim": ssim, "ms_ssim": ms_ssim}
_WINDOWS_BY_NAME = {"psnr": psnr_windows, "ssim": ssim_windows, "ssimulacra2": ssimulacra2_windows}


def _kind(picture: Decoded) -> tuple[object, ...]:
    """Pictures of which this is the same fit into one batch."""
    return picture.pixels.shape, picture.pixels.dtype, picture.alpha is None


def _views(before: _Batch, after: _Batch, backgrounds: Iterable[float]) -> Iterator[tuple[Tensor, Tensor]]:
    """The pairs without alpha, of as many channels, that are to be compared."""
    if before.pixels.shape[1] != after.pixels.shape[1]:
        before, after = (_Batch(as_rgb(batch.pixels), batch.alpha) for batch in (before, after))
    if before.alpha is None and after.alpha is None:
        yield before.pixels, after.pixels
        return
    for level in backgrounds:
        yield _seen_over(before, level), _seen_over(after, level)


def _seen_over(batch: _Batch, level: float) -> Tensor:
    """What is seen over a gray; of large pictures as uint16, whose rounding is below any metric's."""
    pixels, alpha = batch
    if alpha is None:
        return pixels
    if pixels.is_floating_point():
        return over(pixels, alpha, level)
    seen = torch.empty(pixels.shape, dtype=torch.uint16, device=pixels.device)
    rows = strip_rows(pixels)
    for target, colors, shares in zip(
        torch.split(seen, rows, 2), torch.split(pixels, rows, 2), torch.split(alpha, rows, 1), strict=True
    ):
        target.copy_((over(as_unit(colors), as_unit(shares), level) * 65535).round())
    return seen
