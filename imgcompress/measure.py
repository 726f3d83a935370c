"""Scores of pictures against their originals, a batch at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from imgcompress.config import Config
from imgcompress.image.color import as_rgb, as_unit, over, pad_to
from imgcompress.image.picture import Decoded
from imgcompress.image.sampling import BLOCK
from imgcompress.image.strips import block_rows
from imgcompress.perception.distance import load_distance
from imgcompress.perception.ssimulacra2 import ssimulacra2

MIN_SIDE = 16
"""SSIM's window and the trunk's pooling need this many pixels; smaller pictures repeat their edges."""
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
    one in color are compared as RGB. Where either has alpha, both are laid over a dark and a light gray, and
    the worse value counts; a picture without alpha is opaque.

    Args:
        metrics: any of "psnr", "ssim", "ssimulacra2", "vgg".
        config: how the VGG distance is taken, and how many megapixels are measured together.
        device: where.
        distance: what to take as "vgg", of two batches ``[batch, 3, height, width]`` of 0..1; None to load
            what the settings say.

    Raises:
        UsageError: the trunk's file is missing or not the one expected.
    """

    def __init__(
        self,
        metrics: Iterable[str],
        config: Config,
        device: torch.device,
        distance: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self._metrics = tuple(metrics)
        self._limits = config.limits
        self._device = device
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
                for name, values in self._measure_all(before, after).items():
                    for index, value in zip(indices, values.tolist(), strict=True):
                        scores[index][name] = value
        return scores

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
    def _measure_all(self, before: _Batch, after: _Batch) -> dict[str, Tensor]:
        """Of each metric one value a pair, the worst of all views."""
        worst: dict[str, Tensor] = {}
        for original, result in _views(before, after):
            for name in self._metrics:
                values = self._measure(name, original, result)
                if name in worst:  # unlike min(), these pass on what is not a number
                    values = (torch.maximum if name == "vgg" else torch.minimum)(values, worst[name])
                worst[name] = values
        return worst

    def _measure(self, name: str, original: Tensor, result: Tensor) -> Tensor:
        if name == "psnr":
            return psnr(original, result)
        if name == "ssimulacra2":
            return ssimulacra2(original, result, tiled=self._is_large(original))
        if name == "ssim":
            from piq import ssim

            shrunk = (_shrunk(_enlarge(result)), _shrunk(_enlarge(original)))
            return torch.as_tensor(ssim(*shrunk, data_range=1.0, reduction="none", downsample=False))
        assert self._distance is not None
        return self._distance(as_rgb(as_unit(original)), as_rgb(as_unit(result)))


def _kind(picture: Decoded) -> tuple[object, ...]:
    """Pictures of which this is the same fit into one batch."""
    return picture.pixels.shape, picture.pixels.dtype, picture.alpha is None


def _views(before: _Batch, after: _Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """The pairs without alpha, of as many channels, that are to be compared."""
    if before.pixels.shape[1] != after.pixels.shape[1]:
        before, after = (_Batch(as_rgb(batch.pixels), batch.alpha) for batch in (before, after))
    if before.alpha is None and after.alpha is None:
        yield before.pixels, after.pixels
        return
    for level in BACKGROUNDS:
        yield _seen_over(before, level), _seen_over(after, level)


def _seen_over(batch: _Batch, level: float) -> Tensor:
    """What is seen over a gray; of large pictures as uint16, whose rounding is below any metric's."""
    pixels, alpha = batch
    if alpha is None:
        return pixels
    if pixels.is_floating_point():
        return over(pixels, alpha, level)
    seen = torch.empty(pixels.shape, dtype=torch.uint16, device=pixels.device)
    rows = BLOCK * block_rows(len(pixels), -(-pixels.shape[3] // BLOCK))
    for target, colors, shares in zip(
        torch.split(seen, rows, 2), torch.split(pixels, rows, 2), torch.split(alpha, rows, 1), strict=True
    ):
        target.copy_((over(as_unit(colors), as_unit(shares), level) * 65535).round())
    return seen


def psnr(original: Tensor, result: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over all channels, dB, one a pair; 100 for equal pictures.

    Args:
        original: [batch, channels, height, width], 0..1, uint8 or uint16 (0..65535).
        result: the same shape; any of these types.
    """
    height, rows = original.shape[2], BLOCK * block_rows(len(original), -(-original.shape[3] // BLOCK))
    total = torch.zeros(len(original), dtype=torch.float64, device=original.device)
    for before, after in zip(torch.split(original, rows, 2), torch.split(result, rows, 2), strict=True):
        error = (as_unit(before) - as_unit(after)).square().mean(dim=(1, 2, 3))
        total += error.double() * before.shape[2]
    return (-10.0 * torch.log10((total / height).float())).clamp(max=100.0)


def _shrunk(pixels: Tensor) -> Tensor:
    """What SSIM is taken of: means of as many pixels as leave about 256 on the shorter side.

    Source: piq's ``downsample``, whose results these are, in strips.
    """
    height, width = pixels.shape[-2:]
    factor = max(1, round(min(height, width) / 256))
    rows = factor * max(1, BLOCK * block_rows(len(pixels), -(-width // BLOCK)) // factor)
    strips = torch.split(pixels[:, :, : height // factor * factor], rows, 2)
    return torch.cat([avg_pool2d(as_unit(strip), factor) for strip in strips], 2)


def _enlarge(pixels: Tensor) -> Tensor:
    height, width = pixels.shape[-2:]
    return pad_to(pixels, max(height, MIN_SIDE), max(width, MIN_SIDE))
