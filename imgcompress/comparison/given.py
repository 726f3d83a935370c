"""Pictures as programs have them: files, bytes, Pillow images, numpy arrays, tensors."""

import io
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.image.decoded import Probe, decoded_picture
from imgcompress.image.picture import Metadata, Picture
from imgcompress.image.read import read_picture

Given = str | PathLike[str] | bytes | Image.Image | NDArray[Any] | Tensor
"""A path, a file's bytes, an image, or samples.

Arrays are ``[height, width]`` or ``[height, width, channels]``, tensors ``[height, width]`` or
``[channels, height, width]``; 1 (gray) to 4 (RGB and alpha) channels of uint8, of uint16 (0..65535), or of
floating point (0..1), which becomes uint16.
"""

_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B")


def as_picture(given: Given, role: str) -> Picture:
    """A picture of whatever kind.

    Args:
        given: see ``Given``.
        role: what it is called in errors.

    Raises:
        UsageError: it is nothing that is a picture.
        PictureError: its file cannot be read.
    """
    if isinstance(given, bytes):
        return _read(given, role)
    if isinstance(given, str | PathLike):
        try:
            data = Path(given).read_bytes()
        except OSError as error:
            message = f"{role}: {given} cannot be read: {error.strerror or error}"
            raise PictureError(Reason.READ_ERROR, message) from error
        return _read(data, f"{role}: {given}")
    if isinstance(given, Image.Image):
        return _of_image(given, role)
    if isinstance(given, Tensor):
        values = given.detach().cpu()
        samples = (values.float() if values.is_floating_point() else values).numpy()
        return _of_samples(np.moveaxis(samples, 0, -1) if samples.ndim == 3 else samples, role)
    if isinstance(given, np.ndarray):
        return _of_samples(given, role)
    expected = "a path, bytes, a Pillow image, a numpy array or a tensor"
    raise UsageError(f"{role}: expected {expected}, got {type(given).__name__}")


def _read(data: bytes, role: str) -> Picture:
    try:
        return read_picture(data)
    except PictureError as error:
        raise PictureError(error.reason, f"{role}: {error}") from error


def _of_image(image: Image.Image, role: str) -> Picture:
    """By way of a PNG file, which Pillow fills with all samples, transparency and color profile."""
    if image.mode not in _MODES:
        expected = f"an image of a mode among {', '.join(_MODES)}"
        raise UsageError(f"{role}: expected {expected}, got {image.mode}; convert() it")
    buffer = io.BytesIO()
    ImageOps.exif_transpose(image).save(buffer, "PNG", compress_level=1)
    return read_picture(buffer.getvalue())


def _of_samples(samples: NDArray[Any], role: str) -> Picture:
    """Samples as [height, width] or [height, width, channels]."""
    shape = samples.shape
    if samples.ndim not in (2, 3) or (samples.ndim == 3 and not 1 <= shape[2] <= 4) or 0 in shape:
        raise UsageError(f"{role}: expected height, width and 1 to 4 channels, got the shape {shape}")
    if samples.dtype.kind == "f":
        if not (samples.min() >= 0 and samples.max() <= 1):
            raise UsageError(f"{role}: expected floating point samples of 0 to 1, got others")
        samples = (samples.astype(np.float64) * 65535).round().astype(np.uint16)
    if samples.dtype.kind != "u" or samples.dtype.itemsize > 2:
        expected = "samples of uint8, uint16 or floating point"
        raise UsageError(f"{role}: expected {expected}, got {samples.dtype}")
    samples = np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))
    size = Probe("png", shape[1], shape[0])
    return decoded_picture(samples, None, size, 8 * samples.dtype.itemsize, Metadata())
