import math

import numpy as np
import piq
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from imgcompress.config import PerceptionConfig
from imgcompress.image.color import pad_to
from imgcompress.perception import window_grid
from imgcompress.perception.distance import load_distance
from imgcompress.perception.pixel_error import psnr_windows
from imgcompress.perception.ssim import ssim_map, ssim_windows
from imgcompress.perception.ssimulacra2 import ssimulacra2, ssimulacra2_windows
from imgcompress.perception.window_grid import WindowGrid
from imgcompress.perception.windows import Window, WindowMap, worst_windows

SCORES = [psnr_windows, ssim_windows, ssimulacra2_windows]
EACH = pytest.mark.parametrize("score", SCORES)


def pair(photo: Tensor, height: int, width: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Two crops of a photograph, with noise that grows to the right."""
    originals = torch.stack([photo[:, :height, :width], photo[:, -height:, -width:]]).to(dtype) / 255
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return originals, (originals + torch.linspace(0.01, 0.1, width) * noise).clamp(0, 1).to(dtype)


def corners(grid: WindowGrid) -> list[tuple[int, int, slice, slice]]:
    """Row, column and place of each window."""
    return [
        (
            row,
            column,
            slice(row * grid.stride, row * grid.stride + grid.side),
            slice(column * grid.stride, column * grid.stride + grid.side),
        )
        for row in range(grid.down)
        for column in range(grid.across)
    ]


# The grid


@pytest.mark.parametrize(
    "length, side, stride, count",
    [(1, 64, 32, 1), (64, 64, 32, 1), (65, 64, 32, 2), (97, 64, 32, 3), (9, 3, 3, 3)],
)
def test_windows_reach_the_end_and_no_further(length: int, side: int, stride: int, count: int) -> None:
    grid = WindowGrid(length, 2 * length, side, stride)
    assert grid.down == count
    assert (grid.down - 1) * stride < length <= (grid.down - 1) * stride + side
    assert (grid.across - 1) * stride < 2 * length <= (grid.across - 1) * stride + side


@pytest.mark.parametrize("side, stride", [(64, 32), (16, 8), (12, 9), (20, 20), (7, 3)])
@pytest.mark.parametrize("pixels", [1, 4, 32])
def test_means_are_weighted_by_area(side: int, stride: int, pixels: int) -> None:
    rng = np.random.default_rng(0)
    size = (-(-130 // pixels), -(-97 // pixels))
    samples = rng.random(size)
    grid = WindowGrid(130, 97, side, stride)
    fine = samples.repeat(pixels, 0).repeat(pixels, 1)  # each pixel has its sample's value
    cells = grid.cell_sums(torch.from_numpy(samples)[None], pixels)
    means = grid.means(cells, size, pixels)
    assert means.shape == (1, grid.down, grid.across)
    for row, column, rows, columns in corners(grid):
        assert means[0, row, column].item() == pytest.approx(fine[rows, columns].mean(), rel=1e-12)


# The scores


def test_psnr_is_that_of_another_library(photo: Tensor, device: torch.device) -> None:
    originals, results = pair(photo, 100, 130)
    grid = WindowGrid(100, 130, 64, 32)
    found = psnr_windows(originals.to(device), results.to(device), grid).cpu()
    for row, column, rows, columns in corners(grid):
        for index in range(2):
            crops = (picture[index, :, rows, columns].numpy() for picture in (originals, results))
            expected = peak_signal_noise_ratio(*crops, data_range=1.0)
            assert found[index, row, column].item() == pytest.approx(expected, abs=1e-3)


def test_ssim_is_that_of_another_library(photo: Tensor, device: torch.device) -> None:
    originals, results = pair(photo, 100, 130, torch.float64)
    grid = WindowGrid(100, 130, 64, 32)
    found = ssim_windows(originals.to(device), results.to(device), grid).cpu()
    around = ((0, 0), (5, 5), (5, 5))
    for index in range(2):
        arrays = (np.pad(picture[index].numpy(), around, "edge") for picture in (originals, results))
        _, whole = structural_similarity(
            *arrays, data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        inner = whole[:, 5:-5, 5:-5].mean(0)
        for row, column, rows, columns in corners(grid):
            assert found[index, row, column].item() == pytest.approx(inner[rows, columns].mean(), abs=1e-6)


def test_the_ssim_map_has_piqs_mean(photo: Tensor) -> None:
    originals, results = pair(photo, 90, 70)
    expected = piq.ssim(results, originals, data_range=1.0, reduction="none", downsample=False)
    torch.testing.assert_close(ssim_map(originals, results).mean((1, 2)), expected, rtol=0, atol=1e-5)


def test_a_window_that_holds_the_picture_has_its_score(photo: Tensor) -> None:
    originals, results = pair(photo, 128, 128)
    found = ssimulacra2_windows(originals, results, WindowGrid(128, 128, 128, 64))
    torch.testing.assert_close(found.flatten(), ssimulacra2(originals, results), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (40, 63), (63, 90)])
def test_small_pictures_are_continued(size: tuple[int, int], photo: Tensor) -> None:
    originals, results = pair(photo, *size)
    found = ssimulacra2_windows(originals, results, WindowGrid(*size, 64, 32))
    larger = [max(side, 64) for side in size]
    padded = [pad_to(pictures, *larger) for pictures in (originals, results)]
    torch.testing.assert_close(found, ssimulacra2_windows(*padded, WindowGrid(*larger, 64, 32)))


@pytest.mark.parametrize("side", [1, 8, 16, 24, 48, 64, 100])
def test_white_is_never_as_good_as_black(side: int) -> None:
    black, white = torch.zeros(1, 3, side, side), torch.ones(1, 3, side, side)
    assert (ssimulacra2_windows(white, black, WindowGrid(side, side, 64, 32)) < -100).all()


def test_a_window_has_the_score_of_a_picture_that_is_everywhere_like_it(photo: Tensor) -> None:
    # Mirrored at every edge, a tile repeats without seams.
    tile = torch.cat([picture[:1] for picture in pair(photo, 32, 32)])
    tile = torch.cat((tile, tile.flip(-1)), -1)
    original, result = torch.cat((tile, tile.flip(-2)), -2).repeat(1, 1, 16, 16).split(1)
    middle = ssimulacra2_windows(original, result, WindowGrid(1024, 1024, 64, 64))[:, 8, 8]
    # The whole has borders, too, that are blurred with 0: 8 of 32 samples at the coarsest scale.
    torch.testing.assert_close(middle, ssimulacra2(original, result), rtol=0, atol=1.5)


@EACH
@pytest.mark.parametrize("windows", [(64, 32), (16, 8), (12, 9)])
def test_strips_and_batches_change_nothing(
    score, windows: tuple[int, int], photo: Tensor, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    originals, results = (picture.to(device) for picture in pair(photo, 203, 141))
    grid = WindowGrid(203, 141, *windows)
    whole = score(originals, results, grid)
    assert whole.shape == (2, grid.down, grid.across)
    alone = torch.cat([score(originals[i : i + 1], results[i : i + 1], grid) for i in range(2)])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(window_grid, "STRIP_PIXELS", 1)
    torch.testing.assert_close(score(originals, results, grid), whole, rtol=1e-4, atol=1e-4)


@EACH
def test_whole_numbers_are_taken_as_they_are(score, photo: Tensor) -> None:
    shallow = [(255 * picture).round().to(torch.uint8) for picture in pair(photo, 70, 90)]
    deep = [(picture.int() * 257).to(torch.uint16) for picture in shallow]
    grid = WindowGrid(70, 90, 64, 32)
    expected = score(*(picture.float() / 255 for picture in shallow), grid)
    for before, after in (shallow, deep, (shallow[0], deep[1])):
        torch.testing.assert_close(score(before, after, grid), expected, rtol=1e-4, atol=1e-4)


def patched(photo: Tensor) -> tuple[Tensor, Tensor, WindowGrid]:
    """A photograph with a small square that has lost its detail, at rows and columns 96 to 111."""
    original = photo[None, :, :256, :320].float() / 255
    result = original.clone()
    result[..., 96:112, 96:112] = result[..., 96:112, 96:112].mean((2, 3), keepdim=True)
    return original, result, WindowGrid(256, 320, 64, 32)


def far(grid: WindowGrid, reach: int) -> Tensor:
    """Windows that end further from the square than that."""
    rows, columns = (32 * torch.arange(count) for count in (grid.down, grid.across))
    outside = [(start >= 112 + reach) | (start + 64 <= 96 - reach) for start in (rows, columns)]
    return outside[0][:, None] | outside[1]


@EACH
def test_an_error_shows_only_near_it(score, photo: Tensor) -> None:
    original, result, grid = patched(photo)
    (found,) = score(original, result, grid)
    best = score(original, original, grid).max().item()
    # SSIMULACRA2's coarsest sample is 32 pixels wide and sees four others on each side.
    reach = {psnr_windows: 0, ssim_windows: 5, ssimulacra2_windows: 0}[score]
    whole = [(row, column) for row in (2, 1, 3) for column in (2, 1, 3)]
    worst = divmod(int(found.argmin()), grid.across)
    assert worst in whole
    assert found[worst] < best - 1e-3
    if score is ssimulacra2_windows:
        assert found[far(grid, 0)].min() > found[worst] + 5
        assert found[far(grid, 5 * 32)].tolist() == [best] * int(far(grid, 5 * 32).sum())
    else:
        assert torch.allclose(found[far(grid, reach)], torch.tensor(best), atol=1e-6)


@EACH
def test_what_is_no_number_stays_so(score, photo: Tensor) -> None:
    original, result, grid = patched(photo)
    result[0, 1, 100, 100] = math.nan
    (found,) = score(original, result, grid)
    assert found[2:4, 2:4].isnan().all()
    assert not found[:, -3:].isnan().any() or score is ssimulacra2_windows  # whose coarse samples see far
    assert ssimulacra2(original, result).isnan().all()


def test_the_vgg_distance_is_no_number_where_a_sample_is_none(photo: Tensor) -> None:
    distance = load_distance(PerceptionConfig(), torch.device("cpu"))
    original, result, grid = patched(photo)
    result[0, 1, 100, 100] = math.nan
    assert distance.window_distances(original, result, grid)[0, 2:4, 2:4].isnan().all()
    assert distance(original, result).isnan().all()


def test_the_vgg_distance_of_a_window_is_that_of_the_picture_it_holds(photo: Tensor) -> None:
    distance = load_distance(PerceptionConfig(), torch.device("cpu"))
    originals, results = pair(photo, 64, 64)
    with torch.no_grad():
        expected = distance(originals, results)
    found = distance.window_distances(originals, results, WindowGrid(64, 64, 64, 32))
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-4, atol=0)


def test_the_vgg_distance_of_an_error_shows_near_it(photo: Tensor) -> None:
    distance = load_distance(PerceptionConfig(), torch.device("cpu"))
    original, result, grid = patched(photo)
    (found,) = distance.window_distances(original, result, grid)
    worst = divmod(int(found.argmax()), grid.across)
    assert worst in [(row, column) for row in (1, 2, 3) for column in (1, 2, 3)]
    assert found[far(grid, 96)].max() < 0.02 * found[worst]
    assert (distance.window_distances(original, original, grid) == 0).all()


# The worst ones


def test_the_worst_do_not_overlap() -> None:
    values = torch.full((3, 4), 90.0)
    values[0, 0], values[0, 1], values[2, 3], values[1, 2] = 10.0, 5.0, 20.0, 7.0
    found = worst_windows(WindowMap(values, 64, 32, 150, 120), 3, lower_is_worse=True)
    assert found == (
        Window(32, 0, 64, 64, 5.0),  # both 7 and 10 overlap it
        Window(96, 64, 54, 56, 20.0),
        Window(96, 0, 54, 64, 90.0),
    )
    highest = worst_windows(WindowMap(values, 64, 32, 150, 120), 1, lower_is_worse=False)
    assert highest == (Window(64, 0, 64, 64, 90.0),)
    assert worst_windows(WindowMap(values, 64, 32, 150, 120), 0, lower_is_worse=True) == ()


@pytest.mark.parametrize("lower_is_worse", [True, False])
def test_what_is_no_number_is_the_worst(lower_is_worse: bool) -> None:
    values = torch.tensor([[1.0, -math.inf, math.nan, math.inf]])
    found = worst_windows(WindowMap(values, 8, 8, 32, 8), 4, lower_is_worse=lower_is_worse)
    assert math.isnan(found[0].value)
    assert [window.x for window in found[1:]] == ([8, 0, 24] if lower_is_worse else [24, 0, 8])
