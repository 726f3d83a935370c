import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from imgcompress.comparison.given import as_picture
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.image.picture import Picture

RGB = data.coffee()[:33, :47].copy()
RGBA = np.dstack([RGB, np.arange(33 * 47, dtype=np.uint8).reshape(33, 47)])


def _samples(picture: Picture) -> np.ndarray:  # type: ignore[type-arg]
    planes = list(picture.pixels.numpy())
    if picture.alpha is not None:
        planes.append(picture.alpha.numpy())
    return np.dstack(planes)


def _png(samples: np.ndarray, **options: Any) -> bytes:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_every_kind_of_the_same_picture_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_png(RGBA))
    planes = torch.from_numpy(RGBA).permute(2, 0, 1)
    for given in (path, str(path), path.read_bytes(), Image.fromarray(RGBA), RGBA, planes):
        picture = as_picture(given, "test")
        assert (picture.bit_depth, picture.format) == (8, "png")
        assert np.array_equal(_samples(picture), RGBA)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, ">u2", np.float32, np.float64])
def test_samples_of_any_kind_keep_their_values(channels: int, kind: Any) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (7, 9, channels))
    deep = samples if kind != np.uint8 else samples >> 8
    array = (samples / 65535).astype(kind) if np.dtype(kind).kind == "f" else deep.astype(kind)
    assert np.array_equal(_samples(as_picture(array, "test")), deep)
    assert np.array_equal(_samples(as_picture(array[::-1, ::-1], "test")), deep[::-1, ::-1])
    if kind != ">u2":
        tensor = torch.from_numpy(array).permute(2, 0, 1)
        assert np.array_equal(_samples(as_picture(tensor, "test")), deep)
    if channels == 1:
        assert np.array_equal(_samples(as_picture(array[..., 0], "test")), deep)


def test_half_precision_on_the_device(device: torch.device) -> None:
    tensor = torch.tensor([[0.0, 1.0]], dtype=torch.bfloat16, device=device, requires_grad=True)
    assert _samples(as_picture(tensor, "test"))[..., 0].tolist() == [[0, 65535]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_images_of_any_mode_are_as_pillow_shows_them(mode: str) -> None:
    image = Image.fromarray(RGBA).convert(mode)
    shown = Image.fromarray(np.squeeze(_samples(as_picture(image, "test"))))
    assert np.array_equal(np.array(shown.convert("RGBA")), np.array(image.convert("RGBA")))


def test_deep_images_profiles_and_orientation_are_heeded() -> None:
    deep = np.arange(63, dtype=np.uint16).reshape(7, 9) * 1040
    assert np.array_equal(_samples(as_picture(Image.fromarray(deep), "test"))[..., 0], deep)
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(io.BytesIO(_png(RGB, exif=exif, icc_profile=profile)))
    picture = as_picture(opened, "test")
    assert picture.metadata.icc == profile
    assert picture.metadata.orientation == 1
    assert np.array_equal(_samples(picture), np.rot90(RGB, -1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4, 5), np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "shape"),
        (torch.zeros(1, 3, 4, 4), "shape"),
        (np.full((4, 4), 255.0), "0 to 1"),
        (np.full((4, 4), np.nan), "0 to 1"),
        (Image.new("CMYK", (4, 4)), "CMYK"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_role(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=f"^reference: .*{message}"):
        as_picture(given, "reference")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"reference: .*gone.png cannot be read") as caught:
        as_picture(tmp_path / "gone.png", "reference")
    assert caught.value.reason is Reason.READ_ERROR
    with pytest.raises(PictureError, match="test: ") as caught:
        as_picture(_png(RGB)[:200], "test")
    assert caught.value.reason is Reason.DECODE_ERROR
