import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from imgcompress.image.exif import orientation_only
from imgcompress.image.picture import Metadata, Picture
from imgcompress.image.read import read_picture
from imgcompress.image.upright import turned_back, upright


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pillow_turns_it_the_same_way(orientation: int) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (5, 8, 4), dtype=np.uint8)
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "us"
    Image.fromarray(samples).save(buffer, "PNG", exif=exif)
    picture = read_picture(buffer.getvalue())
    shown = upright(picture)
    theirs = np.array(ImageOps.exif_transpose(Image.open(buffer)))
    assert shown.alpha is not None
    ours = torch.cat([shown.pixels, shown.alpha[None]]).permute(1, 2, 0)
    np.testing.assert_array_equal(ours.numpy(), theirs)
    said = Image.Exif()
    said.load(shown.metadata.exif or b"")
    assert said[0x0112] == shown.metadata.orientation == 1 and said[0x010F] == "us"
    back = turned_back(shown.decoded, orientation)
    assert back.alpha is not None and picture.alpha is not None
    assert torch.equal(back.pixels, picture.pixels) and torch.equal(back.alpha, picture.alpha)


def test_deep_samples_are_turned_too() -> None:
    deep = torch.arange(6).reshape(1, 2, 3).to(torch.uint16)
    picture = Picture(deep, "png", 16, metadata=Metadata(orientation_only(6), orientation=6))
    assert upright(picture).pixels.tolist() == [[[3, 0], [4, 1], [5, 2]]]
