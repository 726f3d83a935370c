"""ICC profiles: what they are called, whether they mean sRGB, and samples of theirs as sRGB."""

import contextlib
import io
from typing import Any

import torch
from torch import Tensor

from imgcompress.shapes import Shaped

_STRIP_PIXELS = 1 << 20
"""Converted at once, in 12 bytes a pixel."""
_BEYOND = 0.5 / 255
"""How far outside of 0..1 a color lies outside of sRGB, and is not rounding."""


class ProfileError(ValueError):
    """A profile is damaged, or meant for samples of another kind."""


def is_srgb(profile: bytes) -> bool:
    """Whether leaving a profile out changes no color by over one level of 255; also if it is unusable."""
    import numpy as np
    from PIL import Image, ImageCms

    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid: Any = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    if profile[16:20] == b"GRAY":
        grid = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        shown = ImageCms.profileToProfile(
            Image.fromarray(grid),
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
        assert shown is not None
        meant = np.asarray(Image.fromarray(grid).convert("RGB"), dtype=np.int16)
        return bool(np.abs(np.asarray(shown, dtype=np.int16) - meant).max() <= 1)
    return True


def profile_name(profile: bytes) -> str:
    """What a profile calls itself, for people; ``unnamed`` where it does not say."""
    from PIL import ImageCms

    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
        return name or "unnamed"
    return "unnamed"


def to_srgb(
    samples: Shaped[Tensor, "channels height width"], profile: bytes
) -> tuple[Shaped[Tensor, "3 height width"], bool]:
    """Samples as sRGB has them, by littleCMS, relative colorimetric.

    Args:
        samples: uint8, or uint16 of 0..65535; one channel for a gray profile, three for one of RGB.
        profile: what they mean.

    Returns:
        uint16 of 0..65535, and whether some colors lie outside of sRGB and were clipped.

    Raises:
        ProfileError: the profile cannot be used for these samples.
    """
    import imagecodecs
    import numpy as np
    from PIL import ImageCms

    is_gray = samples.shape[0] == 1
    if profile[16:20] != (b"GRAY" if is_gray else b"RGB "):
        raise ProfileError(f"a profile for {profile[16:20]!r} does not fit {'gray' if is_gray else 'RGB'}")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = samples.permute(1, 2, 0).contiguous().numpy()
    height, width = pixels.shape[:2]
    shown = np.empty((3, height, width), np.uint16)
    is_clipped = False
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = pixels[top : top + rows]
        try:
            colors = imagecodecs.cms_transform(
                strip[..., 0] if is_gray else strip,
                profile,
                srgb,
                colorspace="gray" if is_gray else "rgb",
                outcolorspace="rgb",
                outdtype=np.float32,
                intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
            )
        except (imagecodecs.CmsError, ValueError) as error:
            raise ProfileError(str(error)) from error
        is_clipped |= bool(colors.min() < -_BEYOND or colors.max() > 1 + _BEYOND)
        colors = (colors.clip(0, 1) * 65535 + 0.5).astype(np.uint16)
        shown[:, top : top + rows] = colors.transpose(2, 0, 1)
    return torch.from_numpy(shown), is_clipped
