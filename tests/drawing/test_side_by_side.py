from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.drawing.legend import MARGIN
from imgcompress.drawing.sheet import CAPTION_HEIGHT
from imgcompress.drawing.side_by_side import CROP_SIDE, PANEL_SIDE, STRIP_SIDE, draw_comparison
from imgcompress.perception.windows import Window, WindowMap

Maps = Callable[..., WindowMap]
CAPTIONS = ("reference: a.png", "test: a.jpg")


def test_reference_test_and_map_beside_each_other(photo: torch.Tensor, even_map: Maps) -> None:
    test = 255 - photo
    sheet = draw_comparison(photo, test, even_map(600, 400), (), CAPTIONS)
    assert sheet.width == 3 * 600 + 4 * MARGIN
    top = MARGIN + CAPTION_HEIGHT
    for number, pixels in enumerate((photo, test)):
        left = MARGIN + number * (600 + MARGIN)
        shown = np.asarray(sheet.crop((left, top, left + 600, top + 400)))
        assert (shown == pixels.permute(1, 2, 0).numpy()).all()
    left = MARGIN + 2 * (600 + MARGIN)
    assert np.ptp(np.asarray(sheet.crop((left, top, left + 600, top + 400))).astype(int), axis=-1).max() == 0


def test_very_wide_pictures_stand_below_each_other(even_map: Maps) -> None:
    pixels = torch.zeros((3, 50, 3000), dtype=torch.uint8)
    sheet = draw_comparison(pixels, pixels, even_map(3000, 50), (), CAPTIONS)
    assert sheet.width == STRIP_SIDE + 2 * MARGIN and sheet.height > 3 * (24 + CAPTION_HEIGHT)


def test_the_worst_windows_are_enlarged(even_map: Maps) -> None:
    """A patch that is a pixel or two of the shrunk picture."""
    reference = torch.full((3, 3000, 4000), 60, dtype=torch.uint8)
    test = reference.clone()
    test[0, 1008:1040, 2016:2048] = 255
    worst = (Window(1984, 992, 64, 64, 20.0), Window(0, 0, 64, 64, 80.0), Window(3936, 2936, 64, 64, 85.0))
    sheet = np.asarray(draw_comparison(reference, test, even_map(4000, 3000), worst, CAPTIONS))
    panels = MARGIN + CAPTION_HEIGHT + PANEL_SIDE * 3 // 4
    below = sheet[panels + MARGIN + CAPTION_HEIGHT :][:CROP_SIDE]
    red = (below == (255, 60, 60)).all(-1)
    assert red.sum() == (2 * 32) ** 2
    rows, columns = np.nonzero(red)
    # In the test's crop, beside the reference's: 64 px to each side of the window's corner are 32 around it.
    assert rows.min() == 2 * (1008 - 992 + 32)
    assert columns.min() == MARGIN + CROP_SIDE + MARGIN + 2 * (2016 - 1984 + 32)


@pytest.mark.parametrize("channels", [(1, 1), (3, 1), (1, 3)])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (1, 2000), (2000, 1), (257, 265)])
def test_sizes_and_gray(even_map: Maps, size: tuple[int, int], channels: tuple[int, int]) -> None:
    width, height = size
    pictures = [torch.full((count, height, width), 90, dtype=torch.uint8) for count in channels]
    worst = [Window(0, 0, min(64, width), min(64, height), 5.0)]
    sheet = draw_comparison(*pictures, even_map(width, height, 5.0), worst, CAPTIONS)
    assert isinstance(sheet, Image.Image) and sheet.mode == "RGB"
    assert sheet.width <= 3 * PANEL_SIDE + 4 * MARGIN


def test_captions_of_any_kind(even_map: Maps) -> None:
    pixels = torch.zeros((3, 40, 40), dtype=torch.uint8)
    plain = draw_comparison(pixels, pixels, even_map(40, 40), (), CAPTIONS)
    odd = draw_comparison(pixels, pixels, even_map(40, 40), (), ("\udce9\n" * 9, "x" * 100_000))
    assert odd.size == plain.size
