import io
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from imgcompress.config import Config, load_config
from imgcompress.dataset.report import Follower, Summary, peak_megabytes
from imgcompress.errors import Reason, UsageError
from imgcompress.records import FileRecord, Status

RECORDS = [
    FileRecord("a.png", "a.jpg", Status.RECOMPRESSED, Reason.SMALLER, "jpeg", 1000, 500, 4000, 1000),
    FileRecord("b.png", "b.png", Status.KEPT, Reason.ALPHA, "png", 100, 100, 500, 500),
    FileRecord(
        "c.png", None, Status.FAILED, Reason.DECODE_ERROR, bytes_in=7, error="the file is [red]damaged[/]"
    ),
    FileRecord("d.png", "d.jpg", Status.SKIPPED, Reason.EXISTS),
]


def console() -> Console:
    return Console(file=io.StringIO(), width=60)


def follow(records: Iterable[FileRecord], config: Config, report: Path | None, console: Console) -> Summary:
    return Follower(config, report, console).follow(records)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_report_has_a_line_a_record_and_the_settings_beside_it(tmp_path: Path) -> None:
    report, config = tmp_path / "new" / "report.jsonl", Config(quality=31)
    summary = follow(iter(RECORDS), config, report, console())
    lines = report.read_text(encoding="utf-8").splitlines()
    assert lines == [record.to_json() for record in RECORDS]
    assert load_config(tmp_path / "new" / "report.config.yaml") == config
    assert yaml.safe_load((tmp_path / "new" / "report.config.yaml").read_text())["quality"] == 31
    assert summary.statuses == {
        Status.RECOMPRESSED: 1, Status.KEPT: 1, Status.FAILED: 1, Status.SKIPPED: 1,
    }  # fmt: skip
    assert summary.failed == 1 and summary.failures == [RECORDS[2]]


def test_totals_count_what_has_an_output_of_this_run() -> None:
    summary = Summary()
    assert summary.saved == 0
    for record in RECORDS:
        summary.add(record)
    assert (summary.bytes_in, summary.bytes_out) == (4500, 1500)
    assert summary.saved == pytest.approx(2 / 3)
    assert summary.megapixels == pytest.approx(0.51)


def test_formats_are_told_where_there_are_several() -> None:
    summary, place = Summary(), console()
    for record in RECORDS:
        summary.add(record)
    summary.show(place)
    assert (summary.formats, summary.format_bytes) == ({"jpeg": 1, "png": 1}, {"jpeg": 1000, "png": 500})
    assert "jpeg" in text(place) and "1 files, 1,000 bytes" in text(place)
    single, place = Summary(), console()
    single.add(RECORDS[0])
    single.show(place)
    assert "jpeg" not in text(place)


def test_lines_are_there_while_the_run_goes_on(tmp_path: Path) -> None:
    report, seen = tmp_path / "report.jsonl", []

    def records():
        for record in RECORDS:
            yield record
            seen.append(len(report.read_text(encoding="utf-8").splitlines()))

    follow(records(), Config(), report, console())
    assert seen == [1, 2, 3, 4]


def test_an_old_report_is_replaced(tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    report.write_text("old\n" * 100)
    follow(iter(RECORDS[:1]), Config(), report, console())
    assert len(report.read_text().splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="elsewhere names are text")
def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    record = FileRecord(name, None, Status.FAILED, Reason.DECODE_ERROR, error="damaged")
    report = tmp_path / "report.jsonl"
    follow(iter([record]), Config(), report, console())
    values = json.loads(report.read_text(encoding="utf-8"))
    assert os.fsencode(values["source"]) == b"caf\xe9.png"


@pytest.mark.parametrize("place", ["folder", "file/report.jsonl", "."])
def test_a_report_that_cannot_be_written(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the report cannot be written"):
        follow(iter(RECORDS), Config(), Path(place), console())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_disk_that_fills_up_during_the_run(tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    report.symlink_to("/dev/full")
    with pytest.raises(UsageError, match=r"report\.jsonl: the report cannot be written: No space left"):
        follow(iter(RECORDS), Config(), report, console())


def test_other_errors_are_not_taken_for_the_reports(tmp_path: Path) -> None:
    def records():
        yield RECORDS[0]
        raise OSError("something else")

    for report in (None, tmp_path / "report.jsonl"):
        with pytest.raises(OSError, match="something else"):
            follow(records(), Config(), report, console())


def test_the_summary_in_words() -> None:
    summary = follow(iter(RECORDS), Config(), None, console())
    shown = console()
    summary.show(shown)
    output = text(shown)
    assert "failed: c.png: the file is [red]damaged[/]\n" in output
    assert "1 recompressed, 1 kept, 1 failed, 1 skipped" in output
    assert "4,500 -> 1,500 (66.7 % saved)" in output


def test_a_failure_is_one_line_however_long() -> None:
    summary = Summary()
    summary.add(FileRecord("f" * 90 + ".png", None, Status.FAILED, Reason.READ_ERROR, error="gone"))
    shown = console()
    summary.show(shown)
    assert text(shown).splitlines()[0] == f"failed: {'f' * 90}.png: gone"


def test_the_summary_of_nothing() -> None:
    summary = follow(iter([]), Config(), None, console())
    summary.show(console())
    assert (summary.failed, summary.saved, summary.bytes_in) == (0, 0, 0)


def test_seconds_are_those_of_the_run() -> None:
    def records():
        time.sleep(0.02)
        yield RECORDS[0]

    assert follow(records(), Config(), None, console()).seconds >= 0.02


def test_peak_memory_counts_what_was_held() -> None:
    held = bytearray(os.urandom(1)) * 200_000_000
    assert peak_megabytes() > 200
    assert len(held) == 200_000_000
