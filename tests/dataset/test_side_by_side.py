import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.dataset.side_by_side import PANEL_WIDTH, draw_side_by_side, save_side_by_side
from imgcompress.drawing.legend import GROUND, MARGIN
from imgcompress.drawing.sheet import CAPTION_HEIGHT
from imgcompress.errors import PictureError


def file(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, 100:180, 100:260].permute(1, 2, 0).contiguous().numpy()


def panels(sheet: Image.Image, height: int) -> list[np.ndarray]:
    """The four places for panels of a height."""
    corners = [
        (MARGIN + x, MARGIN + y + CAPTION_HEIGHT)
        for y in (0, height + CAPTION_HEIGHT + MARGIN)
        for x in (0, PANEL_WIDTH + MARGIN)
    ]
    return [np.asarray(sheet.crop((x, y, x + PANEL_WIDTH, y + height)), dtype=float) for x, y in corners]


def test_four_panels(pixels: np.ndarray) -> None:
    sheet = draw_side_by_side(file(pixels, "PNG"), file(pixels, "JPEG", quality=60))
    assert sheet.width == 2 * PANEL_WIDTH + 3 * MARGIN
    original, result, _, _ = panels(sheet, PANEL_WIDTH // 2)
    shown = np.asarray(Image.fromarray(pixels).resize((PANEL_WIDTH, PANEL_WIDTH // 2)), dtype=float)
    assert np.array_equal(original, shown)
    assert 0 < np.abs(result - shown).mean() < 8


def test_a_result_that_is_no_jpeg_has_three_panels(pixels: np.ndarray) -> None:
    sheet = draw_side_by_side(file(pixels, "PNG"), file(pixels, "WEBP", quality=60))
    original, result, difference, nothing = panels(sheet, PANEL_WIDTH // 2)
    assert 0 < np.abs(original - result).mean() < 8
    assert difference.std() > 10 and (nothing == GROUND).all()


def test_the_maps_are_colored_where_the_bits_and_the_difference_are() -> None:
    generator = np.random.default_rng(0)
    pixels = np.full((128, 128, 3), 128, dtype=np.uint8)
    pixels[:64, 64:] = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    sheet = draw_side_by_side(file(pixels, "PNG"), file(pixels, "JPEG", quality=20))
    _, _, bits, difference = panels(sheet, PANEL_WIDTH)
    half = PANEL_WIDTH // 2
    edge = PANEL_WIDTH // 8  # what lies at the quarter's border is touched by it
    corners = [(y, x) for y in (0, half + edge) for x in (0, half + edge)]
    brightness = [bits[y : y + half - edge, x : x + half - edge].mean() for y, x in corners]
    assert brightness[1] > 100 and max(brightness[0], *brightness[2:]) < 30
    colors = [
        np.ptp(difference[y : y + half - edge, x : x + half - edge], axis=-1).mean() for y, x in corners
    ]
    assert colors[1] > 80 and max(colors[0], *colors[2:]) < 30


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (1, 2000)])
@pytest.mark.parametrize("gray", [True, False])
def test_odd_sizes_and_gray(gray: bool, size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, dtype=np.uint8)
    pixels = pixels[..., 0] if gray else pixels
    sheet = draw_side_by_side(file(pixels, "PNG"), file(pixels, "JPEG"))
    assert sheet.width == 2 * PANEL_WIDTH + 3 * MARGIN and sheet.height > 2 * CAPTION_HEIGHT


def test_saved_as_png(pixels: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(file(pixels, "PNG"))
    (tmp_path / "a.jpg").write_bytes(file(pixels, "JPEG"))
    save_side_by_side(tmp_path / "a.png", tmp_path / "a.jpg", tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").format == "PNG"


def test_a_damaged_file(pixels: np.ndarray) -> None:
    data = file(pixels, "JPEG")
    with pytest.raises(PictureError):
        draw_side_by_side(data, data[: len(data) // 2])
    with pytest.raises(PictureError):
        draw_side_by_side(b"words", data)
