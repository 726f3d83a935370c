"""How near one picture is to another."""

import torch
from torch import Tensor

from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.image.picture import Picture
from imgcompress.measure import Measure
from imgcompress.serve.answers import RequestError
from imgcompress.serve.eight_bit import for_format

METRICS = ("ssimulacra2", "ssim", "psnr", "vgg")


class Comparison:
    """Measures pairs. For one thread at a time; models are loaded by the first pair.

    Args:
        config: the device, and how the VGG distance is taken.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._measure: Measure | None = None

    def scores(self, reference: Picture, test: Picture) -> dict[str, float]:
        """Compares pixels as stored, at 8 bits a channel; color profiles and orientations are not looked at.

        Args:
            reference: the original.
            test: what became of it.

        Returns:
            Metric to value.
        """
        if self._measure is None:
            self._measure = Measure(METRICS, self._config, find_device(self._config.device))
        channels = max(len(reference.pixels), len(test.pixels))
        pixels = [_pixels(picture, channels) for picture in (reference, test)]
        return self._measure.scores(pixels[:1], pixels[1:])[0]


def check_comparable(reference: Picture, test: Picture) -> None:
    """Looks whether two pictures can be compared.

    Raises:
        RequestError: 422, they are of different sizes, have alpha, or are of a kind that is not read.
    """
    for name, picture in (("reference", reference), ("test", test)):
        if picture.keep is not None:
            reason, message = picture.keep
            raise RequestError(422, reason, f"{name}: {message}")
        if picture.alpha is not None:
            raise RequestError(422, "alpha", f"{name}: what lies behind a transparent picture is not known")
    sizes = [f"{picture.width} x {picture.height}" for picture in (reference, test)]
    if sizes[0] != sizes[1]:
        raise RequestError(422, "sizes_differ", f"the pictures are {sizes[0]} and {sizes[1]} pixels")


def _pixels(picture: Picture, channels: int) -> Tensor:
    pixels = for_format(picture, "jpeg").pixels
    return pixels if len(pixels) == channels else torch.cat([pixels] * channels)
