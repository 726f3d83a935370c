"""The page in a real browser: Debian's chromium, or any of its kin, driven by Playwright."""

import io
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgcompress.config import Config
from imgcompress.dataset.html_report import RunFacts, write_html
from imgcompress.dataset.sample_pairs import SamplePairs
from imgcompress.errors import Reason
from imgcompress.records import FileRecord, Status

MANY = 100_000
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>.png"


class Opened:
    """A page, and all it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.add_init_script(
            "window.violations = [];"
            "addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective));"
        )
        self.url = path.as_uri()
        self.page.goto(self.url)

    def is_clean(self) -> bool:
        """Whether nothing was fetched but the file itself, and nothing was complained about."""
        fetched = [url for url in self.requests if not url.startswith("data:")]
        return fetched == [self.url] and self.complaints == [] and self.page.evaluate("violations") == []

    def column(self, index: int) -> list[str]:
        return self.page.locator(f"#table tbody tr:not(.space) td:nth-child({index})").all_inner_texts()

    def sort(self, name: str) -> str | None:
        """Clicks a column's head and says which way it then sorts."""
        head = self.head(name)
        head.get_by_role("button").click()
        return head.get_attribute("aria-sort")

    def head(self, name: str) -> Any:
        return self.page.locator("#table").get_by_role("columnheader", name=name, exact=True)


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opened]:
    records, samples = [], SamplePairs(each=2)
    for number, (bytes_out, score) in enumerate([(900, 9.5), (1000, 70.0), (90, 100.0), (2000, 8.25)]):
        name = f"in/{(10, 9, 1, 2)[number]}.png"
        record = FileRecord(
            name,
            name,
            Status.RECOMPRESSED,
            Reason.SMALLER,
            "jpeg",
            64,
            48,
            10_000,
            bytes_out,
            {"psnr": score},
        )
        records.append(record)
        samples.offer(record, lambda: picture(0), lambda: picture(30))
    records.append(FileRecord(f"in/{HOSTILE}", None, Status.FAILED, Reason.DECODE_ERROR, error="cut off"))
    records.append(FileRecord("in/kept.png", "k", Status.KEPT, Reason.ALPHA, "png", 9, 9, 500, 500))
    path = tmp_path / "report.html"
    write_html(path, RunFacts("in → out", Config(), 1.0), records, samples.draw())
    found = Opened(browser, path)
    yield found
    assert found.is_clean(), (found.requests, found.complaints)
    found.page.close()


@pytest.fixture(scope="module")
def many(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    path = tmp_path_factory.mktemp("many") / "report.html"
    template = FileRecord(
        "", "o", Status.RECOMPRESSED, Reason.SMALLER, "jpeg", 64, 48, 0, 500
    )  # fmt: skip

    def records() -> Iterator[FileRecord]:
        for number in range(MANY):
            record = copy(template)  # to make each from scratch takes the checker of types long
            record.__dict__.update(source=f"in/{number}.png", bytes_in=1000 + number * 7919 % MANY)
            yield record

    write_html(path, RunFacts("in → out", Config(), 1.0), records())
    found = Opened(browser, path)
    yield found
    assert found.is_clean(), (found.requests, found.complaints)
    found.page.close()


def picture(change: int) -> bytes:
    pixels = np.random.default_rng(0).integers(100, 140, (48, 64, 3), dtype=np.uint8)
    pixels[:24] += np.uint8(change)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def shown_sample(opened: Opened) -> Any:
    return opened.page.locator(".pair:not([hidden])")


def clip(opened: Opened) -> str:
    return shown_sample(opened).locator(".after").evaluate("image => getComputedStyle(image).clipPath")


def test_the_slider_moves_by_keys_and_by_pointer(opened: Opened) -> None:
    slider = shown_sample(opened).get_by_role("slider")
    assert clip(opened) == "inset(0px 0px 0px 50%)"
    slider.focus()
    opened.page.keyboard.press("ArrowRight")
    assert clip(opened) == "inset(0px 0px 0px 50.5%)"
    opened.page.keyboard.press("Home")
    assert clip(opened) == "inset(0px 0px 0px 0%)"
    assert slider.get_attribute("aria-valuetext") == "0 % before, 100 % after"
    box = slider.bounding_box()
    opened.page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    assert clip(opened) == "inset(0px 0px 0px 75%)"
    handle = shown_sample(opened).locator(".handle").bounding_box()
    assert abs(handle["x"] + 1 - (box["x"] + 0.75 * box["width"])) < 2


def test_what_the_slider_uncovers_is_the_result(opened: Opened) -> None:
    """Its upper half is brighter than the source's."""
    shots = []
    for key in ("End", "Home"):
        shown_sample(opened).get_by_role("slider").focus()
        opened.page.keyboard.press(key)
        shot = shown_sample(opened).locator(".stage").screenshot()
        pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("L"), dtype=float)
        height, width = pixels.shape
        # Away from the handle and the labels.
        shots.append(pixels[height // 4 : height * 2 // 5, width // 3 : width * 2 // 5].mean())
    assert 20 < shots[1] - shots[0] < 40


def test_the_heat_map_toggles(opened: Opened) -> None:
    heat = shown_sample(opened).locator(".heat")
    toggle = shown_sample(opened).get_by_role("button", name="Where it differs")
    assert not heat.is_visible() and toggle.get_attribute("aria-pressed") == "false"
    toggle.press("Enter")
    assert heat.is_visible() and toggle.get_attribute("aria-pressed") == "true"
    assert heat.evaluate("image => image.decode().then(() => true)")
    toggle.click()
    assert not heat.is_visible() and toggle.get_attribute("aria-pressed") == "false"


def test_samples_are_chosen(opened: Opened) -> None:
    names = opened.page.locator("#strip button img").evaluate_all(
        "images => images.map((image) => image.alt)"
    )
    assert names == ["2.png", "10.png", "1.png", "9.png", "1.png", "10.png"]
    assert shown_sample(opened).locator(".name").inner_text() == "2.png"
    opened.page.locator("#strip button").nth(3).click()
    assert shown_sample(opened).locator(".name").inner_text() == "9.png"
    current = opened.page.locator("#strip button[aria-current=true] img")
    assert current.evaluate_all("images => images.map((image) => image.alt)") == ["9.png"]
    assert shown_sample(opened).locator("img").evaluate_all("all => all.every(i => i.naturalWidth === 64)")


def test_numbers_are_sorted_as_numbers_both_ways(opened: Opened) -> None:
    assert opened.sort("Bytes out") == "ascending"
    assert opened.column(7) == ["90", "500", "900", "1,000", "2,000", ""]
    assert opened.sort("Bytes out") == "descending"
    assert opened.column(7) == ["2,000", "1,000", "900", "500", "90", ""]
    assert opened.sort("PSNR") == "ascending"
    assert opened.column(9) == ["8.25", "9.50", "70.00", "100.00", "", ""]
    assert opened.head("Bytes out").get_attribute("aria-sort") == "none"


def test_names_are_sorted_as_people_count(opened: Opened) -> None:
    opened.sort("File")
    assert opened.column(1)[-5:] == ["1.png", "2.png", "9.png", "10.png", "kept.png"]
    opened.page.keyboard.press("Enter")  # the head has the focus
    assert opened.column(1)[:5] == ["kept.png", "10.png", "9.png", "2.png", "1.png"]


def test_filters(opened: Opened) -> None:
    count = opened.page.locator("#count")
    assert count.inner_text() == "6 files"
    opened.page.get_by_role("searchbox").fill("CUT")
    assert opened.column(1) == [HOSTILE] and count.inner_text() == "1 of 6 files"
    opened.page.get_by_role("searchbox").fill("")
    opened.page.get_by_text("kept", exact=True).first.click()
    assert opened.column(1) == ["kept.png"]
    opened.page.keyboard.press("ArrowLeft")  # from radio button to radio button
    assert opened.column(2) == ["recompressed"] * 4
    opened.page.get_by_role("searchbox").fill("nowhere")
    assert opened.column(1) == [] and count.inner_text() == "0 of 6 files"
    assert [chip.strip() for chip in opened.page.locator("#statuses label").all_inner_texts()] == [
        "all", "recompressed", "kept", "failed",
    ]  # fmt: skip


def test_formats(opened: Opened) -> None:
    chips = opened.page.locator("#formats label")
    assert [chip.strip() for chip in chips.all_inner_texts()] == ["all formats", "none", "jpeg", "png"]
    chips.nth(3).click()
    assert opened.column(1) == ["kept.png"] and opened.column(4) == ["png"]
    chips.nth(0).click()
    assert opened.sort("Format") == "ascending" and opened.column(4) == ["", *["jpeg"] * 4, "png"]


def test_what_each_format_would_cost(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    costs = {"costs": {"jpeg": 1234, "avif": 500}}
    record = FileRecord(
        "a.png", "a.avif", Status.RECOMPRESSED, Reason.SMALLER, "avif", 64, 48, 9000, 500, {}, costs
    )
    write_html(path, RunFacts("a", Config(), 1.0), [record])
    found = Opened(browser, path)
    assert found.page.locator("#table td.format").get_attribute("title") == "bytes: jpeg 1,234, avif 500"
    assert not found.page.locator("#formats").is_visible() and found.is_clean()
    found.page.close()


def test_a_hostile_name_does_nothing(opened: Opened) -> None:
    assert opened.page.title() == "in → out: imgcompress report"
    assert HOSTILE in opened.column(1)
    assert opened.page.locator("img[src='x']").count() == 0


def test_a_script_from_elsewhere_is_refused(browser: Any, tmp_path: Path) -> None:
    """That the policy is in force."""
    path = tmp_path / "report.html"
    write_html(path, RunFacts("a", Config(), 1.0), [])
    text = path.read_text(encoding="utf-8")
    intruder = "<script>document.title='owned'</script><img src='http://127.0.0.1:9/x.png'></body>"
    path.write_text(text.replace("</body>", intruder), encoding="utf-8")
    found = Opened(browser, path)
    assert found.page.title() == "a: imgcompress report"
    assert {"img-src", "script-src-elem"} <= set(found.page.evaluate("violations")) and not found.is_clean()
    found.page.close()


def test_a_hundred_thousand_rows_scroll_to_the_end(many: Opened) -> None:
    rows = many.page.locator("#table tbody tr")
    assert many.page.locator("#count").inner_text() == "100,000 files"
    assert many.column(1)[0] == "0.png" and rows.count() < 100
    many.page.locator("#scroller").focus()
    many.page.keyboard.press("End")
    many.page.get_by_text("99999.png", exact=True).wait_for(state="visible")
    assert many.column(1)[-1] == "99999.png" and rows.count() < 100
    assert rows.last.get_attribute("aria-rowindex") == "100001"
    box, row = (many.page.locator(place).last.bounding_box() for place in ("#scroller", "#table tbody tr"))
    assert abs(box["y"] + box["height"] - (row["y"] + row["height"])) < 3
    middle = "scroller => { scroller.scrollTop = (scroller.scrollHeight - scroller.clientHeight) / 2 }"
    many.page.locator("#scroller").evaluate(middle)
    many.page.get_by_text("50000.png", exact=True).wait_for(state="visible")


def test_a_hundred_thousand_rows_are_sorted_and_filtered(many: Opened) -> None:
    many.sort("Bytes in")
    assert many.column(6)[:3] == ["1,000", "1,001", "1,002"]
    many.sort("Bytes in")
    assert many.column(6)[:2] == ["100,999", "100,998"]
    many.page.get_by_role("searchbox").fill("4321.png")
    assert many.page.locator("#count").inner_text() == "10 of 100,000 files"
    many.page.get_by_role("searchbox").fill("")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_fits_the_window_and_the_color_scheme(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    path = tmp_path / "report.html"
    records = [FileRecord("x" * 300, None, Status.FAILED, Reason.DECODE_ERROR, error="y" * 300)]
    write_html(path, RunFacts("t" * 200, Config(), 1.0), records)
    found = Opened(browser, path, viewport={"width": width, "height": 700}, color_scheme=scheme)
    assert found.page.evaluate("document.documentElement.scrollWidth") == width
    ground = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(21, 23, 26)" if scheme == "dark" else "rgb(251, 251, 250)")
    assert found.is_clean()
    found.page.close()
