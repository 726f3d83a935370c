"""The drawn pages, and the judges that need no extra package."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rd.scores import metrics
from rd.text_pages import SIZE, draw_text_pages


def test_pages_are_the_same_each_time_and_differ_from_each_other(tmp_path: Path) -> None:
    for name in ("first", "second"):
        draw_text_pages(tmp_path / name)
    pages = sorted((tmp_path / "first").iterdir())
    contents = [page.read_bytes() for page in pages]
    assert contents == [(tmp_path / "second" / page.name).read_bytes() for page in pages]
    assert len(set(contents)) == len(pages) >= 5
    for page in pages:
        with Image.open(page) as image:
            assert (image.size, image.mode) == (SIZE, "RGB")


def test_black_text_on_white_has_both(tmp_path: Path) -> None:
    draw_text_pages(tmp_path)
    pixels = np.array(Image.open(tmp_path / "text-small.png"))
    assert (pixels == 255).mean() > 0.5
    assert (pixels < 30).mean() > 0.02


def test_psnr_of_an_error_of_one(tmp_path: Path) -> None:
    psnr = next(metric for metric in metrics(vgg=False)[0] if metric.name == "psnr")
    gray = np.full((9, 7, 3), 100, dtype=np.uint8)
    assert psnr.measure(gray, gray + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)


def test_ms_ssim_says_when_a_picture_is_too_small() -> None:
    ms_ssim = next(metric for metric in metrics(vgg=False)[0] if metric.name == "ms_ssim")
    noise = np.random.default_rng(0).integers(0, 256, (161, 170, 3), dtype=np.uint8)
    assert math.isnan(ms_ssim.measure(noise[:160], noise[:160]))
    assert ms_ssim.measure(noise, noise) == pytest.approx(1.0)
    assert ms_ssim.axis(0.99) == pytest.approx(20.0)
