import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from math import nan
from pathlib import Path

import pytest

from imgcompress.config import Config
from imgcompress.dataset.html import gathered, wording
from imgcompress.dataset.html_report import RunFacts, read_records, write_html
from imgcompress.dataset.sample_pairs import Group, Pair
from imgcompress.drawing.html.page import text_of
from imgcompress.drawing.pair import PairDrawing
from imgcompress.errors import Reason, UsageError
from imgcompress.records import FileRecord, Status

RUN = RunFacts("photos → smaller", Config(quality=31), 90.0)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'&<!--.png"


def recompressed(name: str, score: float = 74.0, bytes_out: int = 250) -> FileRecord:
    scores = {"psnr": 35.125, "ssimulacra2": score}
    return FileRecord(
        name, name, Status.RECOMPRESSED, Reason.SMALLER, "jpeg", 40, 30, 1000, bytes_out, scores,
        {"target": "ssimulacra2=73.9"}, 0.25,
    )  # fmt: skip


def failed(name: str, error: str = "damaged", reason: Reason = Reason.DECODE_ERROR) -> FileRecord:
    return FileRecord(name, None, Status.FAILED, reason, bytes_in=7, error=error)


RECORDS = [
    recompressed("in/a.png", 74.0, 250),
    recompressed("in/sub/b.png", 73.5, 750),
    FileRecord("in/c.png", "out/c.png", Status.KEPT, Reason.ALPHA, "png", 9, 9, 500, 500),
    FileRecord("in/d.png", "out/d.jpg", Status.SKIPPED, Reason.EXISTS),
    failed("in/e.png"),
    failed("in/f.png", "gone", Reason.READ_ERROR),
]


class Page(HTMLParser):
    """What a page consists of."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "path", "rect", "col", "image"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source, self.text, self.open, self.scripts, self.styles = text, "", [], [], []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "style":
            self.styles.append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data
        elif self.open[-1:] == ["style"]:
            self.styles[-1] += data
        else:
            self.text += data

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


def page(
    tmp_path: Path, records: Iterable[FileRecord], run: RunFacts = RUN, pairs: tuple[Pair, ...] = ()
) -> Page:
    path = tmp_path / "new" / "report.html"
    write_html(path, run, iter(records), pairs)
    found = Page(path.read_text(encoding="utf-8"))
    assert found.open == []
    return found


def pair(name: str, *groups: Group) -> Pair:
    drawing = PairDrawing(b"before", b"after", b"heat", 40, 30)
    return Pair(recompressed(name), drawing, dict.fromkeys(groups, 0), "ssimulacra2")


def test_the_table_holds_every_file(tmp_path: Path) -> None:
    data = page(tmp_path, RECORDS).data
    assert data["folder"] == "in/"
    assert data["names"] == ["a.png", "sub/b.png", "c.png", "d.png", "e.png", "f.png"]
    assert [data["statuses"][code] for code in data["status"]] == [str(record.status) for record in RECORDS]
    assert [data["reasons"][code] for code in data["reason"]] == [
        "smaller", "smaller", "alpha", "exists", "decode error", "read error",
    ]  # fmt: skip
    assert data["bytes_in"] == [1000, 1000, 500, None, 7, 7]
    assert data["bytes_out"] == [250, 750, 500, None, None, None]
    assert data["errors"] == {"4": "damaged", "5": "gone"}
    assert [(score["label"], score["values"]) for score in data["scores"]] == [
        ("SSIMULACRA2", [74.0, 73.5, None, None, None, None]),
        ("PSNR", [35.12, 35.12, None, None, None, None]),
    ]


def test_formats_and_what_each_would_cost(tmp_path: Path) -> None:
    settings = {"costs": {"jpeg": 1234, "<avif>": 250}}
    record = replace(recompressed("in/g.png"), format="avif", settings=settings)
    sample = replace(pair("in/g.png", Group.WORST), record=record)
    found = page(tmp_path, [*RECORDS, record], pairs=(sample,))
    data = found.data
    assert [data["formats"][code] for code in data["format"]] == ["jpeg", "jpeg", "png", "", "", "", "avif"]
    assert data["costs"] == {"6": "jpeg 1,234, <avif> 250"}
    assert "Formatsjpeg 2, png 1, avif 1" in found.text
    assert "Bytes as jpeg1,234Bytes as <avif>250" in found.text
    assert "Formats" not in page(tmp_path, RECORDS[:2]).text


def test_totals_in_words(tmp_path: Path) -> None:
    text = page(tmp_path, RECORDS).text
    for words in (
        "40.0 % saved", "2.5 kB before, 1.5 kB after", "2,500 → 1,500 bytes", "SSIMULACRA2 73.9",
        "1 min 30 s",
        "2 recompressed", "1 kept alpha 1", "1 skipped exists 1", "2 failed decode error 1, read error 1",
        "Median SSIMULACRA273.75", "target 73.9", "quality: 31",
    ):  # fmt: skip
        assert words in text, words


def test_failures_are_grouped_by_reason_with_their_errors(tmp_path: Path) -> None:
    records = [*RECORDS, failed("in/g.png", "cut off")]
    text = page(tmp_path, records).text
    section = text[text.index("Failures") : text.index("All files")]
    assert re.search(
        r"decode error\s*2 files.*e\.png\s*damaged.*g\.png\s*cut off.*read error\s*1 file.*gone", section
    )


def test_worst_and_best(tmp_path: Path) -> None:
    text = page(tmp_path, [recompressed(f"{score}.png", float(score)) for score in range(50, 80)]).text
    section = text[text.index("Worst and best by SSIMULACRA2") : text.index("All files")]
    names = re.findall(r"\d+(?=\.png)", section)
    assert names == [str(score) for score in (*range(50, 60), *range(79, 69, -1))]


def test_what_must_be_known_first(tmp_path: Path) -> None:
    run = RunFacts(
        "a & b", Config(), 1.0, dry_run=True, incomplete=True, extrapolation="All <12> files: 40 to 42 %."
    )
    found = page(tmp_path, RECORDS, run)
    for words in (
        "Dry run.",
        "Interrupted. The same command",
        "A random sample. All <12> files: 40 to 42 %.",
        "a & b",
    ):
        assert words in found.text
    plain = page(tmp_path, RECORDS)
    assert not {"Dry run", "Interrupted", "random"} & set(
        re.findall(r"Dry run|Interrupted|random", plain.text)
    )


def test_nothing_outside_is_referred_to(tmp_path: Path) -> None:
    found = page(tmp_path, RECORDS, pairs=(pair("a.png", Group.WORST),))
    for _, attributes in found.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("data:", "#"))
        assert "style" not in attributes and not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|image-set|src\(", "".join(found.styles))
    assert not re.search(
        r"https?:|fetch|XMLHttp|import\(|WebSocket|eval|innerHTML", "".join(found.scripts[1:])
    )
    policy = next(
        tag["content"] for _, tag in found.tags if tag.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy


def test_hostile_names_and_errors_are_words(tmp_path: Path) -> None:
    records = [recompressed(f"in/{HOSTILE}"), failed(f"in/x{HOSTILE}", HOSTILE)]
    run = RunFacts(HOSTILE, Config(), 1.0, extrapolation=HOSTILE)
    found = page(tmp_path, records, run, (pair(f"in/{HOSTILE}", Group.BEST),))
    harmless = [recompressed("in/a"), failed("in/b")]
    plain = page(tmp_path, harmless, replace(run, title="a", extrapolation="b"), (pair("in/a", Group.BEST),))
    names = [tag for tag, _ in found.tags]
    assert names == [tag for tag, _ in plain.tags] and names.count("script") == 2
    assert found.data["names"] == [HOSTILE, f"x{HOSTILE}"] and found.data["errors"] == {"1": HOSTILE}
    assert found.text.count(HOSTILE) >= 5
    assert "<" not in found.scripts[0]


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\\.png") if os.name == "posix" else "caf\udce9\\.png"
    found = page(tmp_path, [recompressed(name), failed(name, "bad \udcff")])
    assert found.data["names"] == ["caf\udce9\\.png"] * 2
    assert "caf\\udce9\\.png" in found.text and "bad \\udcff" in found.text


def test_control_characters(tmp_path: Path) -> None:
    names = ["a\nb\t\x00\x1b[31m.png", "\u202egnp.exe", "\u2028\u2029.png"]
    assert page(tmp_path, map(recompressed, names)).data["names"] == names


def test_a_run_of_nothing(tmp_path: Path) -> None:
    found = page(tmp_path, [])
    assert found.data["names"] == [] and found.data["scores"] == [] and found.data["folder"] == ""
    assert "0.0 % saved" in found.text
    assert not {"samples", "plots", "extremes", "failures"} & {tag.get("id") for _, tag in found.tags}


def test_scores_that_are_not_numbers_are_left_out(tmp_path: Path) -> None:
    found = page(tmp_path, [recompressed("a.png", nan), recompressed("b.png", 70.0)])
    assert found.data["scores"][0]["values"] == [None, 70.0]
    assert "nan" not in found.text.lower()
    only = page(tmp_path, [recompressed("a.png", nan)])
    assert [score["label"] for score in only.data["scores"]] == ["PSNR"]


def test_scores_of_what_was_not_taken_are_left_out(tmp_path: Path) -> None:
    kept = FileRecord("k", "k", Status.KEPT, Reason.NOT_SMALLER, "png", 9, 9, 5, 5, {"ssim": 0.1})
    assert page(tmp_path, [kept]).data["scores"] == []


def test_more_files_than_the_table_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered, "MOST_ROWS", 2)
    monkeypatch.setattr(gathered, "MOST_FAILURES", 3)
    found = page(tmp_path, [*RECORDS[:2], *(failed(f"in/{number}") for number in range(5))])
    assert found.data["names"] == ["a.png", "sub/b.png"]
    assert "The first 2 of 7" in found.text
    assert "decode error 5 files" in found.text and "and 2 files more" in found.text


def test_pairs_are_in_the_page_once(tmp_path: Path) -> None:
    pairs = (pair("in/a.png", Group.WORST, Group.SAVING), pair("in/b.png", Group.BEST))
    found = page(tmp_path, RECORDS, pairs=pairs)
    groups = [tag["data-samples"] for _, tag in found.tags if "data-samples" in tag]
    assert groups == ["0", "1", "0"]
    assert re.search("Worst by SSIMULACRA2.*Best by SSIMULACRA2.*Largest savings", found.text)
    sources = [tag.get("src") or tag["href"] for name, tag in found.tags if name in ("img", "image")]
    assert sources[:3] == [
        f"data:image/webp;base64,{packed}" for packed in ("YmVmb3Jl", "YWZ0ZXI=", "aGVhdA==")
    ]
    assert len(sources) == 8 and sources[3] == sources[7]  # the color bar
    assert "90 not seen70 high50 medium30 low" in found.text


def test_records_are_read_from_the_report_of_lines(tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    lines = "".join(record.to_json() + "\n" for record in [*RECORDS, recompressed("\u2028\r.png")])
    report.write_bytes(lines.encode("utf-8", "backslashreplace"))
    assert list(read_records(report)) == [*RECORDS, recompressed("\u2028\r.png")]


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def records() -> Iterator[FileRecord]:
        yield RECORDS[0]
        raise OSError("the run broke")

    with pytest.raises(OSError, match="the run broke"):
        write_html(path, RUN, records())
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]
    write_html(path, RUN, RECORDS)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"the report report\.html cannot be written"):
        write_html(tmp_path / "file" / "report.html", RUN, RECORDS)


def test_the_style_and_the_script_are_in_the_page_as_they_are(tmp_path: Path) -> None:
    found = page(tmp_path, RECORDS)
    styles = ("drawing/html/page.css", "drawing/html/pair.css", "dataset/html/report.css")
    scripts = ("drawing/html/pair.js", "dataset/html/report.js")
    assert found.styles == ["".join(map(text_of, styles))]
    assert found.scripts[1] == "".join(map(text_of, scripts))


def test_wording() -> None:
    assert [wording.size(count) for count in (0, 999, 1000, 999_499, 999_500, 12_345_678, 5 * 10**15)] == [
        "0 bytes", "999 bytes", "1 kB", "999 kB", "1 MB", "12.3 MB", "5e+03 TB",
    ]  # fmt: skip
    assert [wording.duration(s) for s in (0.04, 59.9, 59.97, 60.0, 3599.6, 36e3)] == [
        "0.0 s", "59.9 s", "1 min 00 s", "1 min 00 s", "1 h 00 min", "10 h 00 min",
    ]  # fmt: skip
    assert [wording.files(count) for count in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]
