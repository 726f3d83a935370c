"""The page in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from imgcompress.comparison.html_page import write_page
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.drawing.pair import pack_pair
from imgcompress.drawing.score_map import score_map
from imgcompress.perception.windows import Window

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>.png"


@pytest.fixture(scope="module")
def written(photo: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    test = photo.clone()
    test[:, 160:192, 320:352] = 255 - test[:, 160:192, 320:352]
    worst = (Window(320, 160, 64, 64, -7.0),)
    drawing = pack_pair(photo, test, score_map(photo, test), worst)
    results = [
        Compared(
            name, Outcome.FAILED, Path("a"), Path("b"), 600, 400, {"ssim": 0.5}, failures=("ssim is low",)
        )
        for name in ("a.png", HOSTILE, "x" * 300)
    ]
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, "a → b", results, lambda name: drawing)
    return path


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url[:80]))
    page.goto(written.as_uri())
    yield page
    fetched = [words for words in complaints if not words.startswith("data:")]
    assert fetched == [written.as_uri()] and page.title() == "a → b: imgcompress compare"
    page.close()


def test_slider_heat_and_boxes(opened: Any) -> None:
    first = opened.locator(".pair").first
    slider = first.get_by_role("slider", name="How much is reference")
    slider.focus()
    opened.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0 % reference, 100 % test"
    heat, boxes = first.locator(".heat"), first.locator(".boxes rect").first
    assert boxes.is_visible() and not heat.is_visible() and not first.locator(".legend").is_visible()
    first.get_by_role("button", name="Where it differs").click()
    assert heat.is_visible() and first.locator(".legend").is_visible()
    assert not opened.locator(".heat").nth(1).is_visible()
    first.get_by_role("button", name="Worst windows").click()
    assert not boxes.is_visible() and heat.is_visible()


def test_the_box_is_where_the_window_is(opened: Any) -> None:
    first = opened.locator(".pair").first
    picture, box = (first.locator(place).first.bounding_box() for place in (".before", ".boxes rect"))
    scale = picture["width"] / 600
    assert abs(box["x"] - picture["x"] - 320 * scale) < 4 and abs(box["width"] - 64 * scale) < 8
    assert abs(box["y"] - picture["y"] - 160 * scale) < 4 and abs(box["height"] - 64 * scale) < 8


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_narrow_window(browser: Any, written: Path, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 700}, color_scheme=scheme)
    page.goto(written.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.close()
