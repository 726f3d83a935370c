"""The closed loop: open what was written with somebody else's decoder and measure it against the source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imgcompress.config import Config
from imgcompress.errors import PictureError, Reason
from imgcompress.image.picture import Decoded
from imgcompress.measure import Measure


def decode_again(data: bytes) -> Decoded:
    """Decodes a JPEG with Pillow, which shares no code with the encoder.

    Args:
        data: the file.

    Returns:
        Gray or RGB pixels as stored, uint8.

    Raises:
        PictureError: it does not open (``verify_refused``).
    """
    try:
        with Image.open(BytesIO(data), formats=["JPEG"]) as image:
            pixels = np.array(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureError(Reason.VERIFY_REFUSED, f"the result does not decode: {error}") from error
    tensor = torch.from_numpy(pixels)
    return Decoded(tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous())


@dataclass(frozen=True)
class Verdict:
    """What was measured, and whether it passes the floor."""

    scores: dict[str, float]
    accepted: bool


class Verifier:
    """Measures results against their sources and refuses what is below the floor.

    Args:
        config: which measure, its floor, and how the VGG distance is taken.
        device: where it is taken.
        distance: what to take as the VGG distance, as for ``Measure``.

    Raises:
        UsageError: the trunk's file is missing or not the one expected.
    """

    def __init__(
        self,
        config: Config,
        device: torch.device,
        distance: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        automatic = "vgg" if device.type == "cuda" else "ssim"
        self.mode = automatic if config.verify == "auto" else config.verify
        self._floors = config.verification
        metrics = ("psnr",) if self.mode == "decode" else ("psnr", self.mode)
        self._measure = Measure(metrics, config, device, distance)

    @property
    def bounds(self) -> list[tuple[str, float]]:
        """The floor, as metrics of ``imgcompress.targets`` with the worst values that pass."""
        floors = {"ssim": self._floors.min_ssim, "vgg": self._floors.max_vgg}
        return [(name, floors[name]) for name in (self.mode,) if name in floors]

    def judge(self, references: Sequence[Decoded], results: Sequence[Decoded]) -> list[Verdict]:
        """Compares pictures pair by pair.

        Args:
            references: the sources, of any sizes.
            results: decoded results; depth may be another, and gray may have become RGB.

        Returns:
            One verdict a pair. A result of another size is refused without being measured; a score that is
            not a number is refused, and so is what has lost its colors or its alpha.
        """
        pairs = zip(references, results, self._measure.scores(references, results), strict=True)
        return [self._verdict(*pair) for pair in pairs]

    def _verdict(self, reference: Decoded, result: Decoded, scores: dict[str, float]) -> Verdict:
        has_channels = len(result.pixels) >= len(reference.pixels)
        has_alpha = result.alpha is not None or _is_opaque(reference)
        accepted = bool(scores) and has_channels and has_alpha
        if accepted and self.mode == "ssim":
            accepted = scores["ssim"] >= self._floors.min_ssim
        elif accepted and self.mode == "vgg":
            accepted = scores["vgg"] <= self._floors.max_vgg
        return Verdict({name: round(value, 6) for name, value in scores.items()}, accepted)


def _is_opaque(picture: Decoded) -> bool:
    """Whether all alpha is what fewer bits round to opaque."""
    if picture.alpha is None:
        return True
    alpha = picture.alpha.numpy()
    return bool(alpha.min() >= np.iinfo(alpha.dtype).max * (1 - 0.5 / 255))
