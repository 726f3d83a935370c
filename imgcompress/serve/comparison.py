"""How near one picture is to another."""

from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.image.picture import Picture
from imgcompress.image.upright import upright
from imgcompress.measure import Measure
from imgcompress.serve.answers import RequestError
from imgcompress.serve.compressors import Compressors

METRICS = ("ssimulacra2", "ssim", "psnr", "vgg")


class Comparison:
    """Measures pairs. For the thread that computes.

    Args:
        config: the device, and how the VGG distance is taken.
        compressors: where the perceptual model comes from.
    """

    def __init__(self, config: Config, compressors: Compressors) -> None:
        self._compressors = compressors
        self._measure = Measure(METRICS, config, find_device(config.device), compressors.distance)

    def scores(self, reference: Picture, test: Picture) -> dict[str, float]:
        """Compares pixels, turned as their EXIF orientation asks; color profiles are not looked at.

        Args:
            reference: the original, of any depth, with or without alpha.
            test: what became of it.

        Returns:
            Metric to value; where there is alpha, over a dark or a light background, whichever is worse.
        """
        with self._compressors.model():
            return self._measure.scores([upright(reference).decoded], [upright(test).decoded])[0]


def check_comparable(reference: Picture, test: Picture) -> None:
    """Looks whether two pictures can be compared.

    Raises:
        RequestError: 422, they are of different sizes, or of a kind that is not read.
    """
    for name, picture in (("reference", reference), ("test", test)):
        if picture.keep is not None:
            reason, message = picture.keep
            raise RequestError(422, reason, f"{name}: {message}")
    sizes = [_size_seen(picture) for picture in (reference, test)]
    if sizes[0] != sizes[1]:
        raise RequestError(422, "sizes_differ", f"the pictures are {sizes[0]} and {sizes[1]} pixels")


def _size_seen(picture: Picture) -> str:
    sides = (picture.width, picture.height)
    width, height = reversed(sides) if picture.metadata.orientation >= 5 else sides
    return f"{width} x {height}"
