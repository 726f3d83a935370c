"""Pictures as they are seen, and what is named beside that."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from imgcompress.comparison.common_space import Seen, as_seen
from imgcompress.errors import PictureError, Reason
from imgcompress.image.icc_profile import ProfileError, is_srgb, profile_name, to_srgb
from imgcompress.image.read import read_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DISPLAY_P3 = imagecodecs.cms_profile(
    "rgb", whitepoint=(0.3127, 0.3290, 1), primaries=[0.68, 0.32, 1, 0.265, 0.69, 1, 0.15, 0.06, 1], gamma=2.2
)


def png(samples: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG", **options)
    return file.getvalue()


def gif(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "GIF", **options)
    return file.getvalue()


def seen(reference: bytes, test: bytes) -> Seen:
    return as_seen(read_picture(reference), read_picture(test))


@pytest.fixture(scope="module")
def colors() -> np.ndarray:
    return np.random.default_rng(1).integers(60, 190, (24, 32, 3), dtype=np.uint8)


def test_equal_pictures_have_nothing_to_be_named(colors: np.ndarray) -> None:
    pair = seen(png(colors), png(colors))
    assert pair.notes == ()
    assert torch.equal(pair.reference.pixels, pair.test.pixels)


def test_orientation_is_heeded_and_named(colors: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = png(np.rot90(colors).copy(), exif=exif.tobytes())  # 6: to be turned clockwise
    pair = seen(png(colors), turned)
    assert torch.equal(pair.reference.pixels, pair.test.pixels)
    assert pair.notes == ("EXIF orientation: 1 in the reference, 6 in the test",)


def test_sizes_are_those_of_upright_pictures(colors: np.ndarray) -> None:
    with pytest.raises(PictureError, match="the pictures are 32 x 24 and 24 x 32 pixels") as error:
        seen(png(colors), png(np.rot90(colors).copy()))
    assert error.value.reason is Reason.SIZES_DIFFER


def test_another_profile_that_means_the_same_colors(colors: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(colors).save(file, "PNG")
    with Image.open(io.BytesIO(png(colors))) as image:
        # littleCMS, as Pillow has it, is the witness: in 8 bits.
        p3 = ImageCms.ImageCmsProfile(io.BytesIO(DISPLAY_P3))
        converted = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), p3, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
    assert converted is not None
    assert np.abs(np.asarray(converted, int) - colors).max() > 10
    pair = seen(file.getvalue(), png(np.asarray(converted), icc_profile=DISPLAY_P3))
    difference = pair.reference.pixels.float() / 255 - pair.test.pixels.float() / 65535
    assert difference.abs().max() < 2 / 255
    [note] = pair.notes
    assert note.startswith("color profile: none in the reference,")


def test_one_profile_keeps_its_samples() -> None:
    vivid = np.zeros((8, 8, 3), np.uint8)
    vivid[..., 1] = 255  # outside of sRGB
    other = vivid.copy()
    other[..., 1] = 250
    pair = seen(png(vivid, icc_profile=DISPLAY_P3), png(other, icc_profile=DISPLAY_P3))
    assert pair.reference.pixels.dtype == torch.uint8
    assert not torch.equal(pair.reference.pixels, pair.test.pixels)


def test_clipped_colors_are_named() -> None:
    vivid = np.zeros((8, 8, 3), np.uint8)
    vivid[..., 1] = 255
    notes = seen(png(vivid), png(vivid, icc_profile=DISPLAY_P3)).notes
    assert "the test has colors outside of sRGB, which are clipped" in notes


def test_an_srgb_profile_changes_no_sample(colors: np.ndarray) -> None:
    pair = seen(png(colors), png(colors, icc_profile=SRGB))
    assert torch.equal(pair.reference.pixels, pair.test.pixels)
    assert len(pair.notes) == 1


def test_a_damaged_profile_is_passed_over(colors: np.ndarray) -> None:
    damaged = DISPLAY_P3[:200] + bytes(len(DISPLAY_P3) - 200)
    pair = seen(png(colors), png(colors, icc_profile=damaged))
    assert torch.equal(pair.reference.pixels, pair.test.pixels)
    assert pair.notes


def test_alpha(colors: np.ndarray) -> None:
    def rgba(alpha: int) -> bytes:
        return png(np.concatenate((colors, np.full((24, 32, 1), alpha, np.uint8)), axis=2))

    assert seen(png(colors), rgba(255)).notes == ()  # it hides nothing
    [note] = seen(png(colors), rgba(128)).notes
    assert note == "alpha: opaque in the reference, transparent in places in the test"
    [note] = seen(rgba(255 - 51), rgba(255 - 102)).notes
    assert note == "alpha differs by up to 20 %"


def test_depth_and_channels_are_named(colors: np.ndarray) -> None:
    deep = imagecodecs.png_encode(colors.astype(np.uint16) * 257)
    assert seen(png(colors), deep).notes == ("bits a channel: 8 in the reference, 16 in the test",)
    gray = png(colors[..., 0].copy())
    assert seen(gray, png(colors)).notes == ("channels: gray in the reference, color in the test",)


def test_other_pictures_in_the_file_are_named(colors: np.ndarray) -> None:
    first = Image.fromarray(colors)

    def file(*others: int) -> bytes:
        more = [Image.fromarray(colors // by) for by in others]
        return gif(first, save_all=True, append_images=more)

    what = "pictures in the file, of which only the first is compared"
    assert seen(file(), file()).notes == ()
    assert seen(file(2), file(3)).notes == (f"{what}: 2 in both",)
    assert seen(file(2), file(2, 3)).notes == (f"{what}: 2 in the reference, 3 in the test",)


def test_what_is_not_read_is_an_error_that_names_the_role(colors: np.ndarray) -> None:
    cmyk = io.BytesIO()
    Image.fromarray(colors).convert("CMYK").save(cmyk, "JPEG")
    with pytest.raises(PictureError, match="test: "):
        seen(png(colors), cmyk.getvalue())


def test_conversion_in_strips_and_of_any_kind(colors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = torch.from_numpy(colors).permute(2, 0, 1).contiguous()
    whole, _ = to_srgb(samples, DISPLAY_P3)
    assert whole.dtype == torch.uint16
    monkeypatch.setattr("imgcompress.image.icc_profile._STRIP_PIXELS", 100)
    assert torch.equal(whole, to_srgb(samples, DISPLAY_P3)[0])
    deep = torch.from_numpy(samples.numpy().astype(np.uint16) * 257)
    assert (whole.int() - to_srgb(deep, DISPLAY_P3)[0].int()).abs().max() <= 1
    gamma = imagecodecs.cms_profile("gray", whitepoint=(0.3127, 0.3290, 1), gamma=1.0)
    gray, _ = to_srgb(torch.tensor([[[55]]], dtype=torch.uint8), gamma)
    linear = 55 / 255
    assert gray.flatten().tolist() == pytest.approx(
        [65535 * (1.055 * linear ** (1 / 2.4) - 0.055)] * 3, abs=40
    )
    assert not to_srgb(torch.full((3, 2, 2), 128, dtype=torch.uint8), DISPLAY_P3)[1]
    with pytest.raises(ProfileError, match="does not fit gray"):
        to_srgb(samples[:1], DISPLAY_P3)


def test_profiles_that_are_srgb() -> None:
    assert is_srgb(SRGB)
    assert not is_srgb(DISPLAY_P3)
    assert "sRGB" in profile_name(SRGB)
    assert profile_name(b"junk") == "unnamed"


@pytest.mark.shared
def test_a_ring_in_two_color_spaces(shared: Path) -> None:
    data = (shared / "formats/weird/icc_P3-sRGB-color-ring.jpg").read_bytes()
    picture = read_picture(data)
    assert picture.metadata.icc is not None
    shown, _ = to_srgb(picture.pixels, picture.metadata.icc)
    with Image.open(io.BytesIO(data)) as image:
        witness = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(picture.metadata.icc)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    assert witness is not None
    error = shown.numpy().transpose(1, 2, 0) / 257 - np.asarray(witness, float)
    assert np.abs(error).max() <= 1.5
