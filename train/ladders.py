"""Damage of known order: ladders of files whose every step looks worse than the one before."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
"""Height, width, RGB, 0..255."""
QUALITIES = tuple(float(quality) for quality in range(95, 20, -5))


@dataclass(frozen=True)
class Ladder:
    """One kind of damage.

    Attributes:
        name: in names of files.
        steps: its sizes, the lightest first.
        damage: pixels, a step and a generator to a file, JPEG or PNG. All steps of a picture get generators
            of one state, so that what is drawn is common to them.
    """

    name: str
    steps: tuple[float, ...]
    damage: Callable[[Pixels, float, np.random.Generator], bytes]


def jpeg_ladder(name: str, encode: Callable[[Pixels, int], bytes]) -> Ladder:
    """An encoder's qualities.

    Args:
        name: of the encoder.
        encode: pixels and a quality, 1 to 100, to a file.
    """
    return Ladder(name, QUALITIES, lambda pixels, quality, _: encode(pixels, int(quality)))


def _chroma(pixels: Pixels, sampling: float, generator: np.random.Generator) -> bytes:
    quality = int(generator.choice(QUALITIES))
    return _file(Image.fromarray(pixels), "JPEG", quality=quality, subsampling=int(sampling))


def _blur(pixels: Pixels, sigma: float, generator: np.random.Generator) -> bytes:  # noqa: ARG001
    return _file(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)), "PNG")


def _noise(pixels: Pixels, deviation: float, generator: np.random.Generator) -> bytes:
    noisy = pixels + deviation * generator.standard_normal(pixels.shape)
    return _file(Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8)), "PNG")


def _resize(pixels: Pixels, factor: float, generator: np.random.Generator) -> bytes:  # noqa: ARG001
    image = Image.fromarray(pixels)
    small = image.resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor))), Image.Resampling.LANCZOS
    )
    return _file(small.resize(image.size, Image.Resampling.BICUBIC), "PNG")


def _file(image: Image.Image, form: str, **settings: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


CHROMA = Ladder("chroma", (0.0, 2.0), _chroma)
"""libjpeg-turbo at one drawn quality, 4:4:4 before 4:2:0; the steps are Pillow's numbers of these."""
BLUR = Ladder("blur", (0.4, 0.55, 0.7, 0.9, 1.2, 1.6, 2.1), _blur)
"""Gaussian; sigma in pixels."""
NOISE = Ladder("noise", (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0), _noise)
"""Gaussian, each channel its own; standard deviation of 255. One pattern, the stronger the worse."""
RESIZE = Ladder("resize", (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3), _resize)
"""Down by a factor (Lanczos) and up again (bicubic)."""
