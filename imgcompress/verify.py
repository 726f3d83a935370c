"""The closed loop: open what was written with somebody else's decoder and measure it against the source."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from imgcompress.config import Config, PerceptionConfig
from imgcompress.errors import PictureError, Reason
from imgcompress.perception.distance import PerceptualDistance
from imgcompress.perception.vgg import load_trunk
from imgcompress.resources import default_trunk
from imgcompress.shapes import UInt8

MIN_SIDE = 16
"""SSIM's window and the trunk's pooling need this many pixels; smaller pictures repeat their edges."""


def decode_again(data: bytes) -> UInt8[Tensor, "channels height width"]:
    """Decodes a JPEG with Pillow, which shares no code with the encoder.

    Args:
        data: the file.

    Returns:
        Gray or RGB pixels as stored.

    Raises:
        PictureError: it does not open (``verify_refused``).
    """
    try:
        with Image.open(BytesIO(data), formats=["JPEG"]) as image:
            pixels = np.array(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureError(Reason.VERIFY_REFUSED, f"the result does not decode: {error}") from error
    tensor = torch.from_numpy(pixels)
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class Verdict:
    """What was measured, and whether it passes the floor."""

    scores: dict[str, float]
    accepted: bool


class Verifier:
    """Measures results against their sources, on the device.

    Args:
        config: which measure, its floor, and how the VGG distance is taken.
        device: where it is taken.

    Raises:
        UsageError: the trunk's file is missing or not the one expected.
    """

    def __init__(self, config: Config, device: torch.device) -> None:
        automatic = "vgg" if device.type == "cuda" else "ssim"
        self.mode = automatic if config.verify == "auto" else config.verify
        self._floors = config.verification
        self._megapixels = config.limits.batch_megapixels
        self._device = device
        self._distance = load_distance(config.perception, device) if self.mode == "vgg" else None

    def judge(
        self,
        references: Sequence[UInt8[Tensor, "_ _ _"]],
        results: Sequence[UInt8[Tensor, "_ _ _"]],
    ) -> list[Verdict]:
        """Compares pictures pair by pair; pairs of one size are measured together.

        Args:
            references: source pixels, 0..255, any sizes.
            results: decoded results.

        Returns:
            One verdict a pair. A result of another size is refused without being measured; a score that is
            not a number is refused too.
        """
        verdicts = [Verdict({}, accepted=False)] * len(references)
        groups: dict[torch.Size, list[int]] = {}
        for index, (reference, result) in enumerate(zip(references, results, strict=True)):
            if reference.shape == result.shape:
                groups.setdefault(reference.shape, []).append(index)
        for shape, group in groups.items():
            together = max(1, int(self._megapixels * 1e6 / (shape[1] * shape[2])))
            for start in range(0, len(group), together):
                indices = group[start : start + together]
                scores = self._measure(
                    self._stack([references[index] for index in indices]),
                    self._stack([results[index] for index in indices]),
                )
                for row, index in enumerate(indices):
                    verdicts[index] = self._verdict({name: values[row] for name, values in scores.items()})
        return verdicts

    def _stack(self, pictures: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(pictures)).to(self._device, torch.float32) / 255.0

    @torch.inference_mode()
    def _measure(self, reference: Tensor, result: Tensor) -> dict[str, list[float]]:
        scores = {"psnr": psnr(reference, result)}
        if self.mode == "decode":
            return {name: values.tolist() for name, values in scores.items()}
        height, width = reference.shape[-2:]
        padding = (0, max(0, MIN_SIDE - width), 0, max(0, MIN_SIDE - height))
        reference = functional.pad(reference, padding, mode="replicate")
        result = functional.pad(result, padding, mode="replicate")
        if self._distance is not None:
            scores["vgg"] = self._distance(_as_rgb(reference), _as_rgb(result))
        else:
            from piq import ssim

            scores["ssim"] = torch.as_tensor(ssim(result, reference, data_range=1.0, reduction="none"))
        return {name: values.tolist() for name, values in scores.items()}

    def _verdict(self, scores: dict[str, float]) -> Verdict:
        accepted = True
        if self.mode == "ssim":
            accepted = scores["ssim"] >= self._floors.min_ssim
        elif self.mode == "vgg":
            accepted = scores["vgg"] <= self._floors.max_vgg
        return Verdict({name: round(value, 6) for name, value in scores.items()}, accepted)


def psnr(reference: Tensor, result: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over all channels, dB, one a pair; 100 for equal pictures.

    Args:
        reference: [batch, channels, height, width], 0..1.
        result: the same shape.
    """
    error = (reference - result).square().mean(dim=(1, 2, 3))
    return (-10.0 * torch.log10(error)).clamp(max=100.0)


def _as_rgb(pixels: Tensor) -> Tensor:
    return pixels.expand(-1, 3, -1, -1)


def load_distance(perception: PerceptionConfig, device: torch.device) -> PerceptualDistance:
    """The VGG distance as the settings describe it: bfloat16 on CUDA, float32 and shrunk on a CPU.

    Raises:
        UsageError: the trunk's file is missing or not the one expected.
    """
    on_cuda = device.type == "cuda"
    path = Path(perception.trunk) if perception.trunk is not None else default_trunk()
    return PerceptualDistance(
        load_trunk(path, device, torch.bfloat16 if on_cuda else torch.float32),
        perception.layer_weights,
        scale=1.0 if on_cuda else perception.cpu_scale,
        max_tile_pixels=round(perception.tile_megapixels * 1e6),
    )
