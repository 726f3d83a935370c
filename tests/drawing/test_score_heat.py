from collections.abc import Callable
from math import inf, nan

import numpy as np
import pytest
from PIL import Image

from imgcompress.drawing.score_heat import BEST, SIDE, STRIDE, WORST, heat_layer, heat_of
from imgcompress.perception.windows import WindowMap

Maps = Callable[..., WindowMap]


def alpha(layer: Image.Image) -> np.ndarray:
    return np.asarray(layer.getchannel("A"), dtype=float)


def test_nothing_is_drawn_where_nothing_is_seen() -> None:
    assert (heat_of(np.array([[BEST, 95.0, 100.0, inf]], np.float32))[..., 3] == 0).all()


def test_worse_is_denser_and_brighter() -> None:
    colors = heat_of(np.arange(89, WORST - 1, -1, dtype=np.float32)[None])[0].astype(int)
    assert (np.diff(colors[:, 3]) >= 0).all() and colors[0, 3] > 0
    brightness = colors[:, :3] @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(brightness) >= 0).all()


def test_what_is_not_a_number_is_the_worst() -> None:
    colors = heat_of(np.array([[nan, -inf, -500.0, WORST]], np.float32))[0]
    assert (colors == colors[3]).all()


def test_one_scale_for_all_pictures(even_map: Maps) -> None:
    """A picture's own best and worst do not matter."""
    mild, harsh = even_map(128, 64, 80.0), even_map(128, 64, 80.0)
    harsh.values[:, 8:] = -100.0
    layers = [np.asarray(heat_layer(scores, (128, 64))) for scores in (mild, harsh)]
    assert (layers[0][:, :48] == layers[1][:, :48]).all()
    assert (layers[0][:, 80:] != layers[1][:, 80:]).any()


def test_color_is_where_the_window_is(even_map: Maps) -> None:
    scores = even_map(131, 99)
    scores.values[3, 5] = 40.0
    y, x = 3 * STRIDE, 5 * STRIDE
    layer = alpha(heat_layer(scores, (131, 99)))
    assert layer[y + 4 : y + SIDE - 4, x + 4 : x + SIDE - 4].min() > 0
    away = layer.copy()
    # Between the cells' middles colors pass into each other.
    away[y - STRIDE : y + SIDE + STRIDE, x - STRIDE : x + SIDE + STRIDE] = 0
    assert away.max() == 0


def test_a_place_has_the_mean_of_its_windows(even_map: Maps) -> None:
    scores = even_map(32, 32, 80.0)  # three by three windows, four by four cells
    scores.values[0, 0] = 40.0
    cells = np.asarray(heat_layer(scores, (4, 4)))
    expected = heat_of(np.array([[40.0, (40 + 80) / 2, (3 * 80 + 40) / 4, 80]], np.float32))[0]
    assert (cells[0, 0] == expected[0]).all() and (cells[3, 3] == expected[3]).all()
    assert (cells[0, 1] == cells[1, 0]).all() and (cells[0, 1] == expected[1]).all()
    assert (cells[1, 1] == expected[2]).all()


def test_a_small_bad_place_does_not_fade_when_shrunk(even_map: Maps) -> None:
    scores = even_map(4000, 3000)
    scores.values[200:202, 300:302] = -50.0
    assert alpha(heat_layer(scores, (60, 45))).max() > 150


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (9, 7), (16, 17), (2000, 1), (1, 2000), (257, 265)])
def test_sizes(even_map: Maps, size: tuple[int, int]) -> None:
    for shown in (size, (1, 1), (300, 200)):
        layer = heat_layer(even_map(*size, 30.0), shown)
        assert layer.size == shown and (np.asarray(layer) == np.asarray(layer)[0, 0]).all()
