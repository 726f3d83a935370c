"""Before, after and where they differ, as small pictures for a page."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageCms
from torch import Tensor
from torch.nn import functional

from imgcompress.dataset.heat import heat_colors
from imgcompress.errors import PictureError, Reason
from imgcompress.image.color import as_rgb, rgb_to_gray
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture
from imgcompress.image.sampling import BLOCK
from imgcompress.image.upright import upright
from imgcompress.shapes import Float, Shaped

LONGEST_SIDE = 1200
LONGEST_HEAT = 300
MOST_MEGAPIXELS = 48.0
"""Larger pictures are not drawn: both in full would take too much memory beside a run."""

_QUALITY = 92
_STRIP = 32 * BLOCK
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_FAINTEST = 0.02
"""What the brightest color stands for at least, so that hardly any difference does not look like much."""


@dataclass(frozen=True)
class Drawing:
    """A pair as it is shown: WebP files, upright, in sRGB, of one shape.

    Attributes:
        before, after: at most ``LONGEST_SIDE`` px long.
        heat: where they differ; smaller, to be stretched over them.
        brightest: 1 - SSIM at the heat's brightest color.
        width, height: pixels of ``before`` and ``after``.
    """

    before: bytes
    after: bytes
    heat: bytes
    brightest: float
    width: int
    height: int


def draw_pair(source: bytes, output: bytes) -> Drawing:
    """Draws a source beside what was made of it, both upright.

    Args:
        source: the file.
        output: the file made from it.

    Raises:
        PictureError: one of them does not decode, is too large, or the two differ in size.
    """
    before, after = (upright(read_picture(data, MOST_MEGAPIXELS)) for data in (source, output))
    if before.pixels.shape[1:] != after.pixels.shape[1:]:
        raise PictureError(Reason.VERIFY_REFUSED, "source and output differ in size")
    unlike = dissimilarity(in_bytes(before), in_bytes(after))
    brightest = max(float(np.quantile(unlike.numpy(), 0.99)), _FAINTEST)
    heat = Image.fromarray(unlike.numpy())
    heat = heat.resize(_within(heat.size, LONGEST_HEAT), Image.Resampling.BOX)
    colors = Image.fromarray(heat_colors(np.asarray(heat, dtype=np.float32) / np.float32(brightest)))
    first, second = _shown(before), _shown(after)
    return Drawing(
        _as_webp(first),
        _as_webp(second),
        _as_webp(colors),
        brightest,
        first.width,
        first.height,
    )


def dissimilarity(
    before: Shaped[Tensor, "_ height width"], after: Shaped[Tensor, "_ height width"]
) -> Float[Tensor, "down across"]:
    """How unlike two pictures' brightness is: errors weigh more in smooth places than in busy ones.

    Args:
        before: gray or RGB, 0..255.
        after: the same size.

    Returns:
        1 - SSIM of every 8x8 block, 0 (equal) to 2.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", 2004, equation 13; with plain means over blocks for the windows.
    """
    strips = zip(torch.split(before, _STRIP, dim=1), torch.split(after, _STRIP, dim=1), strict=True)
    return torch.cat([_dissimilarity(_luma(first), _luma(second)) for first, second in strips])


def _luma(pixels: Tensor) -> Tensor:
    return rgb_to_gray(as_rgb(pixels[None].float()))


def _dissimilarity(before: Tensor, after: Tensor) -> Tensor:
    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, BLOCK, ceil_mode=True)

    x, y = mean(before), mean(after)
    spread = mean(before.square()) + mean(after.square()) - x.square() - y.square()
    shared = mean(before * after) - x * y
    ssim = (2 * x * y + _C1) * (2 * shared + _C2) / ((x.square() + y.square() + _C1) * (spread + _C2))
    return (1 - ssim)[0].clamp(0, 2)


def in_bytes(picture: Picture) -> Shaped[Tensor, "channels height width"]:
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


def _shown(picture: Picture) -> Image.Image:
    samples = in_bytes(picture).permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(samples[..., 0] if picture.is_gray else samples)
    small = image.resize(_within(image.size, LONGEST_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _in_srgb(small, picture.metadata.icc)


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _in_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """A profile that is damaged, or meant for other samples, is passed over, as viewers do."""
    if icc is not None:
        try:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
            assert converted is not None
            return converted
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


def _as_webp(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "WEBP", quality=_QUALITY, method=4)
    return file.getvalue()
