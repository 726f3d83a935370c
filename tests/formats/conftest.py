import struct
from collections.abc import Callable

import pytest
import torch
from PIL import ImageCms

from imgcompress.image.jpeg_markers import COM
from imgcompress.image.picture import Decoded, Metadata, Picture

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_with_maker_note(orientation: int) -> bytes:
    """Pillow would move the unreferenced bytes at its end, as it does a maker note's."""
    fields = struct.pack(">HHI4s", 0x010F, 2, 4, b"us\0\0") + struct.pack(
        ">HHIHH", 0x0112, 3, 1, orientation, 0
    )
    return b"MM\0*" + struct.pack(">IH", 8, 2) + fields + bytes(4) + b"a maker's own bytes"


@pytest.fixture(params=range(1, 9))
def metadata(request: pytest.FixtureRequest) -> Metadata:
    """What each of the formats can hold, for every orientation."""
    return Metadata(exif_with_maker_note(request.param), SRGB, XMP, request.param)


@pytest.fixture
def jpegs_metadata() -> Metadata:
    """What only some can hold."""
    segments = ((COM, b"a comment"), (0xED, b"Photoshop 3.0\0"))
    return Metadata(density=(300, 200, 1), segments=segments, trailer=b"a film")


@pytest.fixture
def cut_out(photo: torch.Tensor) -> Picture:
    """A cut-out photograph over hidden colors that fight with it."""
    pixels = photo[:, 100:260, 200:400]
    y, x = torch.meshgrid(torch.arange(160), torch.arange(200), indexing="ij")
    distance = (((y - 80) * 1.3) ** 2 + (x - 100) ** 2).sqrt()
    alpha = ((70 - distance) * 100 + 128).clamp(0, 255).to(torch.uint8)
    hidden = torch.tensor([0, 255, 0], dtype=torch.uint8)[:, None, None]
    checks = torch.where(((y // 20 + x // 20) % 2).bool(), hidden, 255 - hidden)
    return Picture(torch.where(alpha == 0, checks, pixels), "png", alpha=alpha)


def _over(picture: Picture | Decoded, level: float) -> torch.Tensor:
    assert picture.alpha is not None
    share = picture.alpha.float() / 255
    return picture.pixels.float() * share + level * (1 - share)


def _worst_fringe(original: Picture, result: Decoded) -> float:
    """The largest mean error over white or black, along the border inside and out, in levels of 255."""
    assert original.alpha is not None
    partly = ((original.alpha > 0) & (original.alpha < 255)).float()[None, None]
    near = torch.nn.functional.max_pool2d(partly, 5, 1, 2)[0, 0] > 0
    errors = [(_over(original, level) - _over(result, level)).abs()[:, near].mean() for level in (0.0, 255.0)]
    return float(max(errors))


@pytest.fixture
def worst_fringe() -> Callable[[Picture, Decoded], float]:
    return _worst_fringe
