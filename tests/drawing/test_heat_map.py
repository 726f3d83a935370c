from collections.abc import Callable
from math import nan

import numpy as np
import pytest
import torch

from imgcompress.drawing.heat_map import LONGEST_SIDE, draw_heat_map, heat_panel
from imgcompress.drawing.legend import WIDTH
from imgcompress.perception.windows import Window, WindowMap

Maps = Callable[..., WindowMap]


def saturation(pixels: np.ndarray) -> np.ndarray:
    return np.ptp(pixels.astype(int), axis=-1)


def test_the_picture_is_gray_and_dimmed_where_it_is_good(photo: torch.Tensor, even_map: Maps) -> None:
    panel = np.asarray(heat_panel(photo, even_map(600, 400), (), (600, 400)))
    gray = photo.permute(1, 2, 0).numpy().astype(float) @ np.array([0.299, 0.587, 0.114])
    assert saturation(panel).max() == 0
    assert np.corrcoef(panel[..., 0].ravel(), gray.ravel())[0, 1] > 0.999
    assert panel.mean() < 0.8 * gray.mean()


def test_the_colors_are_where_it_is_bad(photo: torch.Tensor, even_map: Maps) -> None:
    scores = even_map(600, 400)
    scores.values[10:14, 20:24] = 30.0
    panel = saturation(np.asarray(heat_panel(photo, scores, (), (600, 400))))
    assert panel[88:112, 168:192].min() > 40
    panel[64:136, 144:216] = 0
    assert panel.max() == 0


def test_the_worst_windows_are_boxed(photo: torch.Tensor, even_map: Maps) -> None:
    worst = [Window(64, 96, 64, 64, 12.34), Window(320, 160, 64, 64, 45.0)]
    boxed, plain = (np.asarray(heat_panel(photo, even_map(600, 400), w, (300, 200))) for w in (worst, ()))
    changed = np.argwhere((boxed != plain).any(-1))
    for window in worst:
        x, y = window.x // 2, window.y // 2
        assert (boxed[y + 2, x + 2 : x + 30] == 255).all() and (boxed[y + 2 : y + 30, x + 2] == 255).all()
        assert (boxed[y, x : x + 32] == 0).all()
        assert (boxed[y + 8 : y + 24, x + 8 : x + 24] == plain[y + 8 : y + 24, x + 8 : x + 24]).all()
        near = (abs(changed - (y, x + 16)) <= (40, 40)).all(1)
        changed = changed[~near]
    assert len(changed) == 0


def test_the_legend_stands_below(photo: torch.Tensor, even_map: Maps) -> None:
    worst = (Window(0, 0, 64, 64, 12.3),)
    scores = even_map(600, 400, 30.0)
    sheet = np.asarray(draw_heat_map(photo, scores, worst))
    assert sheet.shape[1] == 600 and sheet.shape[0] > 460
    assert (sheet[:400] == np.asarray(heat_panel(photo, scores, worst, (600, 400)))).all()
    assert saturation(sheet[400:]).max() > 100
    more = draw_heat_map(photo, scores, worst * 3)
    assert more.height > sheet.shape[0]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (1, 3000), (3000, 1), (3000, 40), (257, 265)])
def test_sizes(even_map: Maps, size: tuple[int, int], channels: int) -> None:
    width, height = size
    pixels = torch.full((channels, height, width), 90, dtype=torch.uint8)
    worst = [Window(0, 0, min(64, width), min(64, height), nan), Window(width - 1, height - 1, 1, 1, -1234.5)]
    sheet = draw_heat_map(pixels, even_map(width, height, nan), worst)
    assert sheet.mode == "RGB" and WIDTH <= sheet.width <= LONGEST_SIDE


def test_large_pictures_are_shrunk(even_map: Maps) -> None:
    pixels = torch.zeros((1, 1500, 4000), dtype=torch.uint8)
    assert draw_heat_map(pixels, even_map(4000, 1500), ()).width == LONGEST_SIDE
