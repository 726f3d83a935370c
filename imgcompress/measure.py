"""Scores of pictures against their originals, a batch at a time."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from imgcompress.config import Config
from imgcompress.image.color import as_rgb, pad_to
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
        self._megapixels = config.limits.batch_megapixels
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
            together = max(1, int(self._megapixels * 1e6 / (shape[1] * shape[2])))
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
        return torch.stack(list(pictures)).to(self._device, torch.float32) / 255.0

    @torch.no_grad()
    def _measure(self, name: str, original: Tensor, result: Tensor) -> list[float]:
        if name == "psnr":
            values = psnr(original, result)
        elif name == "ssimulacra2":
            values = ssimulacra2(original, result)
        elif name == "ssim":
            from piq import ssim

            padded = (_enlarge(result), _enlarge(original))
            values = torch.as_tensor(ssim(*padded, data_range=1.0, reduction="none"))
        else:
            assert self._distance is not None
            values = self._distance(as_rgb(original), as_rgb(result))
        numbers: list[float] = values.tolist()
        return numbers


def psnr(original: Tensor, result: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over all channels, dB, one a pair; 100 for equal pictures.

    Args:
        original: [batch, channels, height, width], 0..1.
        result: the same shape.
    """
    error = (original - result).square().mean(dim=(1, 2, 3))
    return (-10.0 * torch.log10(error)).clamp(max=100.0)


def _enlarge(pixels: Tensor) -> Tensor:
    height, width = pixels.shape[-2:]
    return pad_to(pixels, max(height, MIN_SIDE), max(width, MIN_SIDE))
