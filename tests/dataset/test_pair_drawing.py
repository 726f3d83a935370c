import io

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from imgcompress.dataset import pair_drawing
from imgcompress.dataset.pair_drawing import draw_pair
from imgcompress.drawing.pair import LONGEST_HEAT, LONGEST_SIDE, PairDrawing
from imgcompress.errors import PictureError


def file(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


def density(drawing: PairDrawing) -> np.ndarray:
    """How dense the heat is, 0 to 255."""
    with Image.open(io.BytesIO(drawing.heat), formats=["WEBP"]) as image:
        # A layer that is transparent nowhere comes without alpha.
        return np.asarray(image.convert("RGBA").getchannel("A"), dtype=float)


def sizes(drawing: PairDrawing) -> set[tuple[int, int]]:
    """Of the pictures that are shown."""
    return {(p.shape[1], p.shape[0]) for p in map(opened, (drawing.before, drawing.after))}


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, 100:228, 100:292].permute(1, 2, 0).contiguous().numpy()


def test_shows_the_source_and_the_output(pixels: np.ndarray) -> None:
    output = file(pixels, "JPEG", quality=10)
    drawing = draw_pair(file(pixels, "PNG"), output)
    assert sizes(drawing) == {(192, 128)}
    decoded = np.asarray(Image.open(io.BytesIO(output)), dtype=float)
    assert np.abs(opened(drawing.before) - pixels).mean() < 3
    assert np.abs(opened(drawing.after) - decoded).mean() < 3
    assert np.abs(opened(drawing.before) - opened(drawing.after)).mean() > 5


def test_the_heat_is_where_the_difference_is(photo: torch.Tensor) -> None:
    before = photo.permute(1, 2, 0).contiguous().numpy()
    after = before.copy()
    after[:64, 500:] //= 2
    heat = density(draw_pair(file(before, "PNG"), file(after, "PNG")))
    assert heat.shape == (200, LONGEST_HEAT)
    assert heat[:30, 252:].min() > 150
    # The coarsest of the score's scales see 160 pixels far.
    heat[: 32 + 96, 250 - 96 :] = 0
    assert heat.max() == 0


def test_results_of_other_formats(pixels: np.ndarray) -> None:
    sixteen = np.ascontiguousarray(pixels.astype(np.uint16) * 257)
    deep = imagecodecs.avif_encode(sixteen >> 6, level=60, bitspersample=10)
    for source, output in (
        (file(pixels, "PNG"), file(pixels, "WEBP", quality=60)),
        (file(pixels, "PNG"), file(pixels, "AVIF", quality=60)),
        (imagecodecs.png_encode(sixteen), deep),
    ):
        drawing = draw_pair(source, output)
        assert sizes(drawing) == {(192, 128)}
        assert np.abs(opened(drawing.before) - pixels).mean() < 3
        assert 0 < np.abs(opened(drawing.after) - pixels).mean() < 8


def test_what_cannot_be_seen_is_no_difference(pixels: np.ndarray) -> None:
    alpha = np.full((128, 192, 1), 255, np.uint8)
    alpha[:64] = 0
    hidden = np.where(alpha == 0, 7, pixels).astype(np.uint8)
    drawing = draw_pair(
        file(np.dstack([pixels, alpha]), "PNG"), file(np.dstack([hidden, alpha]), "WEBP", lossless=True)
    )
    assert density(drawing).max() == 0
    for side in (drawing.before, drawing.after):
        assert np.abs(opened(side)[:60] - 128.0).max() < 5
    half = alpha // 2 + 64
    seen = opened(draw_pair(*[file(np.dstack([pixels, half]), "PNG")] * 2).after)
    with Image.open(io.BytesIO(file(np.dstack([pixels, half]), "PNG"))) as image:
        gray = Image.new("RGBA", image.size, (128, 128, 128))
        expected = np.asarray(Image.alpha_composite(gray, image).convert("RGB"), dtype=float)
    assert np.abs(seen - expected).mean() < 3


def test_what_is_equal_is_not_colored(pixels: np.ndarray) -> None:
    assert density(draw_pair(file(pixels, "PNG"), file(pixels, "PNG"))).max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_by_the_exif_orientation(orientation: int) -> None:
    pixels = np.zeros((16, 32, 3), dtype=np.uint8)
    pixels[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    from PIL import ImageOps

    data = file(pixels, "PNG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), dtype=float)
    shown = opened(draw_pair(data, data).before)
    assert shown.shape == upright.shape and np.abs(shown - upright).mean() < 8


def test_the_heat_is_upright_too() -> None:
    before = np.full((64, 32), 128, dtype=np.uint8)
    after = before.copy()
    after[:8] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    drawing = draw_pair(file(before, "PNG", exif=exif), file(after, "PNG", exif=exif))
    heat = density(drawing)
    assert heat.shape == (32, 64)
    # Turned clockwise the top rows are at the right.
    assert heat[:, 56:].min() > 200 and heat[:, :8].max() == 0


def test_colors_are_those_of_the_profile() -> None:
    from imagecodecs import cms_profile

    profile = bytes(cms_profile("adobergb"))
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1] = 200, 60
    data = file(pixels, "PNG", icc_profile=profile)
    image = Image.fromarray(pixels)
    srgb = ImageCms.createProfile("sRGB")
    expected = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), srgb)
    shown = opened(draw_pair(data, data).before)
    assert (
        np.abs(shown - np.asarray(expected)).max()
        < 8
        < np.abs(np.asarray(expected) - pixels.astype(float)).max()
    )


def test_a_profile_that_is_none_is_passed_over() -> None:
    data = file(np.full((8, 8, 3), 90, dtype=np.uint8), "JPEG", icc_profile=b"words" * 40)
    assert np.abs(opened(draw_pair(data, data).before) - 90).max() < 4


@pytest.mark.parametrize("shape", [(1, 1), (7, 9, 3), (1, 2000, 3), (1700, 900), (257, 265, 3)])
def test_sizes(shape: tuple[int, ...]) -> None:
    data = file(np.full(shape, 90, dtype=np.uint8), "PNG")
    drawing = draw_pair(data, data)
    scale = min(1, LONGEST_SIDE / max(shape[:2]))
    assert sizes(drawing) == {(max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))}
    assert max(density(drawing).shape) <= LONGEST_HEAT
    assert (drawing.height, drawing.width) == shape[:2]


def test_deep_color_and_alpha_are_drawn() -> None:
    import imagecodecs

    deep = np.full((16, 16, 3), 128 * 257, dtype=np.uint16)
    drawing = draw_pair(imagecodecs.png_encode(deep), file(np.full((16, 16, 3), 128, np.uint8), "PNG"))
    assert np.abs(opened(drawing.before) - 128).max() < 3 and density(drawing).max() == 0


def test_what_cannot_be_drawn(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = file(pixels, "JPEG")
    for source, output in (
        (b"words", data),
        (data, data[: len(data) // 2]),
        (data, file(pixels[:64], "JPEG")),
    ):
        with pytest.raises(PictureError):
            draw_pair(source, output)
    monkeypatch.setattr(pair_drawing, "MOST_MEGAPIXELS", 0.02)
    with pytest.raises(PictureError, match="megapixels"):
        draw_pair(data, data)


def test_a_result_that_was_turned_for_its_format(pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    drawing = draw_pair(
        file(pixels, "PNG", exif=exif), file(np.rot90(pixels, -1).copy(), "WEBP", lossless=True)
    )
    assert drawing.before == drawing.after
    assert density(drawing).max() == 0 and (drawing.width, drawing.height) == (128, 192)
