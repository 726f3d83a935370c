import os
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from math import nan
from pathlib import Path

import pytest

from imgcompress.comparison import html_page
from imgcompress.comparison.html_page import write_page
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.drawing.pair import PairDrawing
from imgcompress.errors import UsageError
from imgcompress.perception.windows import Window

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'&<!--.png"
WORST = (Window(8, 4, 16, 16, 12.34), Window(0, 10, 16, 16, 56.78))
DRAWING = PairDrawing(b"before", b"after", b"heat", 40, 30, WORST)


def compared(name: str, outcome: Outcome = Outcome.PASSED, **facts: object) -> Compared:
    return replace(
        Compared(name, outcome, Path(name), Path(name), 40, 30, {"ssimulacra2": 91.5, "psnr": 40.0}), **facts
    )


def failed(name: str, **facts: object) -> Compared:
    known: dict[str, object] = {
        "scores": {"ssimulacra2": 61.2},
        "worst": {"ssimulacra2": WORST},
        "notes": ("the color profiles differ",),
        "failures": ("ssimulacra2 is 61.20, below 70",),
    }
    return compared(name, Outcome.FAILED, **(known | facts))


class Tags(HTMLParser):
    """The elements of a page and its words."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source, self.words, self.inside = source, "", ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.words += data + " "

    def count(self, kind: str) -> int:
        return sum(kind in (attributes.get("class") or "").split() for _, attributes in self.tags)


def page(
    tmp_path: Path, *results: Compared, title: str = "a → b", drawing: PairDrawing | None = DRAWING
) -> Tags:
    path = tmp_path / "page.html"
    write_page(path, title, iter(results), lambda name: drawing)
    return Tags(path.read_text(encoding="utf-8"))


def test_totals(tmp_path: Path) -> None:
    gone = Compared("c", Outcome.MISSING, Path("c"), None)
    found = page(tmp_path, compared("a"), compared("b"), failed("d"), gone)
    assert "2 of 4 passed" in found.words
    assert re.search(r"2\s+passed\s+1\s+failed\s+1\s+missing", found.words) and "extra" not in found.words
    assert "Nothing was compared" in page(tmp_path).words


def test_a_failure_is_drawn_with_all_that_is_known(tmp_path: Path) -> None:
    found = page(tmp_path, compared("good.png"), failed("bad.png"))
    assert found.count("pair") == 1 and found.count("edge") == len(WORST)
    for words in (
        "ssimulacra2 is 61.20, below 70",
        "the color profiles differ",
        "SSIMULACRA2 12.34 in 16x16 px at 8, 4",
        "SSIMULACRA2 56.78 in 16x16 px at 0, 10",
        "Reference",
        "Test",
        "Where it differs",
        "90 not seen",
    ):
        assert words in found.words, words
    boxes = [tags for tag, tags in found.tags if tag == "rect" and tags.get("class") == "edge"]
    assert boxes[0] == {"class": "edge", "x": "8", "y": "4", "width": "16", "height": "16"}


def test_a_failure_that_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    found = page(tmp_path, failed("bad.png"), drawing=None)
    assert found.count("pair") == 0 and found.count("plain") == 1
    assert found.words.count("ssimulacra2 is 61.20, below 70") == 2  # there, and in the table


def test_the_table_has_all_pairs_those_that_did_not_pass_first(tmp_path: Path) -> None:
    error = compared("e.png", Outcome.ERROR, scores={}, width=None, height=None, error="e.png is cut off")
    found = page(tmp_path, compared("a.png"), error, compared("b.png", scores={"vgg": nan}), failed("f.png"))
    table = found.words[found.words.index("All pairs") :]
    assert re.findall(r"[a-f]\.png(?= )", table) == ["e.png", "e.png", "f.png", "a.png", "b.png"]
    assert "e.png is cut off" in table and "91.50" in table and "nan" in table


def test_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_page, "MOST_FIGURES", 2)
    monkeypatch.setattr(html_page, "MOST_ROWS", 4)
    asked: list[str] = []

    def drawing_of(name: str) -> PairDrawing:
        asked.append(name)
        return DRAWING

    results = [*(compared(f"p{n}") for n in range(9)), *(failed(f"f{n}") for n in range(3))]
    path = tmp_path / "page.html"
    write_page(path, "many", results, drawing_of)
    found = Tags(path.read_text(encoding="utf-8"))
    assert asked == ["f0", "f1"] and found.count("pair") == 2
    assert "The first 2 of 3 are drawn; the table has all." in found.words
    assert "4 of 12 pairs" in found.words and "9 of 12 passed" in found.words
    names = re.findall(r"\b[fp]\d\b", found.words[found.words.index("All pairs") :])
    assert names == ["f0", "f1", "f2", "p0"]


def test_hostile_words_are_words(tmp_path: Path) -> None:
    facts = {"notes": (HOSTILE,), "failures": (HOSTILE,), "scores": {HOSTILE: 1.0}, "worst": {HOSTILE: WORST}}
    found = page(tmp_path, failed(HOSTILE, **facts), title=HOSTILE)
    plain = page(tmp_path, failed("a", notes=("a",), scores={"a": 1.0}, worst={"a": WORST}), title="a")
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert found.words.count(HOSTILE) >= 9
    error = compared("a", Outcome.ERROR, error=HOSTILE)
    assert [tag for tag, _ in page(tmp_path, error).tags].count("script") == 1


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9\\.png"), "x" * 100_000, "a\nb\x1b\u202e\u2028.png"])
def test_names_of_any_kind(tmp_path: Path, name: str) -> None:
    found = page(tmp_path, failed(name))
    assert name.encode("utf-8", "backslashreplace").decode() in found.words


def test_nothing_outside_is_referred_to(tmp_path: Path) -> None:
    found = page(tmp_path, failed("a"))
    for _, attributes in found.tags:
        for attribute in ("src", "href"):
            assert (attributes.get(attribute) or "#").startswith(("data:", "#"))
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes)
    policy = next(tags["content"] for _, tags in found.tags if "http-equiv" in tags)
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not re.search(r"https?:|url\(|unsafe|@import", found.source)


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")

    def results() -> Iterator[Compared]:
        yield compared("a")
        raise OSError("the run broke")

    with pytest.raises(OSError, match="the run broke"):
        write_page(path, "a", results(), lambda name: None)
    assert path.read_text() == "old"
    with pytest.raises(UsageError, match="cannot be written"):
        write_page(path / "page.html", "a", [], lambda name: None)
