"""Scores of pictures against their originals, a batch at a time."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from imgcompress.config import Config
from imgcompress.image.color import as_rgb, as_unit, pad_to
from imgcompress.image.sampling import BLOCK
from imgcompress.image.strips import block_rows
from imgcompress.perception.distance import load_distance
from imgcompress.perception.ssimulacra2 import ssimulacra2
from imgcompress.shapes import UInt8

MIN_SIDE = 16
"""SSIM's window and the trunk's pooling need this many pixels; smaller pictures repeat their edges."""


class Measure:
    """Measures results against their originals, on the device.

    Args:
        metrics: any of "psnr", "ssim", "ssimulacra2", "vgg".
        config: how the VGG distance is taken, and how many megapixels are measured together.
        device: where.

    Raises:
        UsageError: the trunk's file is missing or not the one expected.
    """

    def __init__(self, metrics: Iterable[str], config: Config, device: torch.device) -> None:
        self._metrics = tuple(metrics)
        self._limits = config.limits
        self._device = device
        self._distance = load_distance(config.perception, device) if "vgg" in self._metrics else None

    def scores(
        self,
        originals: Sequence[UInt8[Tensor, "_ _ _"]],
        results: Sequence[UInt8[Tensor, "_ _ _"]],
    ) -> list[dict[str, float]]:
        """Compares pictures pair by pair; pairs of one size are measured together.

        Args:
            originals: channels, height, width; 0..255, any sizes.
            results: decoded results.

        Returns:
            Metric to value, one dictionary a pair; an empty one where the sizes differ.
        """
        scores: list[dict[str, float]] = [{} for _ in originals]
        groups: dict[torch.Size, list[int]] = {}
        for index, (original, result) in enumerate(zip(originals, results, strict=True)):
            if original.shape == result.shape:
                groups.setdefault(original.shape, []).append(index)
        for shape, group in groups.items():
            together = max(1, int(self._limits.batch_megapixels * 1e6 / (shape[1] * shape[2])))
            for first in range(0, len(group), together):
                indices = group[first : first + together]
                before, after = (
                    self._stack([pictures[index] for index in indices]) for pictures in (originals, results)
                )
                for name in self._metrics:
                    for index, value in zip(indices, self._measure(name, before, after), strict=True):
                        scores[index][name] = value
        return scores

    def _stack(self, pictures: Sequence[Tensor]) -> Tensor:
        """A batch on the device; a large one stays bytes."""
        batch = torch.stack(list(pictures)).to(self._device)
        return batch if self._is_large(batch) else as_unit(batch)

    def _is_large(self, batch: Tensor) -> bool:
        return batch[:, 0].numel() > 1e6 * self._limits.tile_megapixels

    @torch.no_grad()
    def _measure(self, name: str, original: Tensor, result: Tensor) -> list[float]:
        if name == "psnr":
            values = psnr(original, result)
        elif name == "ssimulacra2":
            values = ssimulacra2(original, result, tiled=self._is_large(original))
        elif name == "ssim":
            from piq import ssim

            shrunk = (_shrunk(_enlarge(result)), _shrunk(_enlarge(original)))
            values = torch.as_tensor(ssim(*shrunk, data_range=1.0, reduction="none", downsample=False))
        else:
            assert self._distance is not None
            values = self._distance(as_rgb(as_unit(original)), as_rgb(as_unit(result)))
        numbers: list[float] = values.tolist()
        return numbers


def psnr(original: Tensor, result: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over all channels, dB, one a pair; 100 for equal pictures.

    Args:
        original: [batch, channels, height, width], 0..1 or uint8.
        result: the same shape.
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
