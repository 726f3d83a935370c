"""A source and what was made of it, drawn for a page."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageCms
from torch import Tensor

from imgcompress.drawing.pair import PairDrawing, pack_pair
from imgcompress.drawing.score_map import score_map
from imgcompress.errors import PictureError, Reason
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture
from imgcompress.image.upright import upright
from imgcompress.shapes import Shaped, UInt8

MOST_MEGAPIXELS = 48.0
"""Larger pictures are not drawn: both in full would take too much memory beside a run."""


def draw_pair(source: bytes, output: bytes) -> PairDrawing:
    """Draws a source beside what was made of it, both upright.

    Args:
        source: the file.
        output: the file made from it.

    Raises:
        PictureError: one of them does not decode, is too large, or the two differ in size.
    """
    before, after = (in_srgb(upright(read_picture(data, MOST_MEGAPIXELS))) for data in (source, output))
    if before.shape[1:] != after.shape[1:]:
        raise PictureError(Reason.VERIFY_REFUSED, "source and output differ in size")
    return pack_pair(before, after, score_map(before, after))


def in_srgb(picture: Picture) -> UInt8[Tensor, "channels height width"]:
    """Pixels as they are seen, on white where they can be seen through.

    A color profile that is damaged, or meant for other samples, is passed over, as viewers do.
    """
    pixels = _in_bytes(picture)
    if picture.metadata.icc is None:
        return pixels
    samples = pixels.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(samples[..., 0] if picture.is_gray else samples)
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(picture.metadata.icc))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return pixels
    return torch.from_numpy(np.array(converted)).permute(2, 0, 1).contiguous()


def _in_bytes(picture: Picture) -> Shaped[Tensor, "channels height width"]:
    """Pixels of 0..255, whatever the picture's depth; on white where they can be seen through."""
    pixels = _high_byte(picture.pixels)
    if picture.alpha is None:
        return pixels
    alpha = _high_byte(picture.alpha).numpy().astype(np.uint16)
    seen = pixels.numpy() * alpha + 255 * (255 - alpha)
    return torch.from_numpy(((seen + 127) // 255).astype(np.uint8))


def _high_byte(samples: Tensor) -> Tensor:
    if samples.dtype == torch.uint8:
        return samples
    return torch.from_numpy((samples.numpy() >> 8).astype(np.uint8))
