"""How near one picture is to another."""

from dataclasses import dataclass

from imgcompress.comparison.common_space import as_seen
from imgcompress.comparison.comparer import BACKGROUNDS
from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.errors import PictureError
from imgcompress.image.picture import Picture
from imgcompress.measure import Measure
from imgcompress.serve.answers import RequestError
from imgcompress.serve.compressors import Compressors

METRICS = ("ssimulacra2", "ssim", "psnr", "vgg")


@dataclass(frozen=True)
class Answer:
    """What is told of a pair.

    Attributes:
        scores: metric to value; where there is alpha, over the background on which it is the worst.
        notes: differences that no score tells, as sentences.
    """

    scores: dict[str, float]
    notes: tuple[str, ...]


class Comparison:
    """Measures pairs. For the thread that computes.

    Args:
        config: the device, and how the VGG distance is taken.
        compressors: where the perceptual model comes from.
    """

    def __init__(self, config: Config, compressors: Compressors) -> None:
        self._compressors = compressors
        device = find_device(config.device)
        self._measure = Measure(METRICS, config, device, compressors.distance, backgrounds=BACKGROUNDS)

    def compare(self, reference: Picture, test: Picture) -> Answer:
        """Compares pictures as they are seen, like ``imgcompress compare``.

        Args:
            reference: the original, of any depth, with or without alpha.
            test: what became of it.

        Raises:
            RequestError: 422, they are of different sizes, or of a kind that is not read.
        """
        try:
            seen = as_seen(reference, test)
        except PictureError as error:
            raise RequestError(422, error.reason, str(error)) from error
        with self._compressors.model():
            [scores] = self._measure.scores([seen.reference], [seen.test])
        return Answer(scores, seen.notes)
