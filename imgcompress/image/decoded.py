"""Decoded samples as pictures, and pictures of which the samples are nobody's business."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from imgcompress.errors import PictureError, Reason
from imgcompress.image.depth import scale_to_16
from imgcompress.image.picture import Metadata, Picture


@dataclass(frozen=True)
class Probe:
    """What a file says about itself before decoding.

    Attributes:
        format: of ``imgcompress.image.containers.format_of``.
        width, height: pixels, as stored; None where nobody here can tell.
        frames: how many pictures the file holds, as far as that is looked at.
    """

    format: str
    width: int | None
    height: int | None
    frames: int = 1


def planes(samples: Any) -> Tensor:
    """Channels first, from a numpy array (height, width) or (height, width, channels)."""
    tensor = torch.from_numpy(samples)
    return tensor[None].clone() if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()


def decoded_picture(samples: Any, alpha: Any, size: Probe, depth: int, metadata: Metadata) -> Picture:
    """A picture of numpy samples of so many bits; where they have 2 or 4 channels, the last one is alpha."""
    import numpy as np

    if 8 < depth < 16:
        samples = scale_to_16(torch.from_numpy(samples), depth).numpy()
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    if samples.shape[:2] != (size.height, size.width):
        raise PictureError(Reason.DECODE_ERROR, "the file decodes to another size than it says")
    opaque = alpha is None or bool((alpha == np.iinfo(alpha.dtype).max).all())
    return Picture(
        planes(np.ascontiguousarray(samples)),
        size.format,
        depth,
        None if opaque else torch.from_numpy(np.array(alpha)),
        metadata,
        frames=size.frames,
    )


def plain(image: Image.Image) -> Image.Image:
    """Gray or RGB, with alpha where the file has transparency in any form."""
    transparent = "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa")
    gray = image.mode in ("1", "L", "LA", "La")
    return image.convert(("LA" if gray else "RGBA") if transparent else ("L" if gray else "RGB"))


def stand_in(size: Probe, reason: Reason, message: str, metadata: Metadata | None = None) -> Picture:
    """A picture that stays as it is; nobody is to look at its pixel."""
    pixel = torch.zeros((1, 1, 1), dtype=torch.uint8)
    known = metadata or Metadata(complete=False)
    if reason is Reason.UNCHECKED:
        known = replace(known, complete=False)
    return Picture(pixel, size.format, metadata=known, frames=size.frames, keep=(reason, message))


def is_stand_in(picture: Picture, size: Probe) -> bool:
    """Whether the pixels are not the file's: a single black one stands in for them."""
    return picture.keep is not None and (picture.width, picture.height) != (size.width, size.height)


def in_other_colors(picture: Picture, colors: str) -> Picture:
    """Without a profile a JPEG would be shown in other colors."""
    return replace(
        picture, keep=(Reason.COLOR_SPACE, f"the colors are meant otherwise than as sRGB: {colors}")
    )
