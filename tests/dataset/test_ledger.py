import math
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from imgcompress.dataset.ledger import FILE_NAME, Ledger, Row
from imgcompress.errors import Reason, UsageError
from imgcompress.records import FileRecord, Status


def row(key: str = "a.png", status: Status = Status.RECOMPRESSED, *, confirmed: bool = True) -> Row:
    reason = Reason.SMALLER if status is Status.RECOMPRESSED else Reason.DECODE_ERROR
    record = FileRecord(
        f"in/{key}", f"out/{key}", status, reason, "jpeg", 4, 3, 100, 40, {"ssim": 0.9}, {"q": 1}, 2.5
    )
    return Row(key, f"/in/{key}", "100 1", "c0ffee", "0.1 abc", record, "beef", confirmed)


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger(tmp_path / "state") as opened:
        yield opened


def test_rows_come_back_as_they_were(ledger: Ledger, tmp_path: Path) -> None:
    failed = replace(row("b", Status.FAILED), output_sha256=None, replaced_sha256="0ld")
    ledger.put([row(), failed])
    assert ledger.find("a.png") == row() and ledger.find("b") == failed
    assert ledger.find("c") is None
    ledger.close()
    with Ledger(tmp_path / "state") as again:
        assert again.find("a.png") == row()


def test_a_score_that_is_not_a_number_and_a_name_that_is_no_text(ledger: Ledger) -> None:
    odd = row("odd \udc80 name")
    record = replace(odd.record, source="in/odd \udc80 name", scores={"psnr": math.inf})
    ledger.put([replace(odd, record=record)])
    found = ledger.find("odd \udc80 name")
    assert found is not None and found.record.source == "in/odd \udc80 name"
    assert math.isnan(found.record.scores["psnr"])


def test_a_row_is_replaced(ledger: Ledger) -> None:
    ledger.put([row(confirmed=False)])
    assert list(ledger.rows()) == [] == ledger.totals()
    ledger.put([row()])
    assert list(ledger.rows()) == [row()]


def test_all_rows_of_a_call_are_written_or_none(ledger: Ledger) -> None:
    def rows():
        yield row("a")
        raise RuntimeError("the run ended here")

    with pytest.raises(RuntimeError):
        ledger.put(rows())
    assert ledger.find("a") is None


def test_totals_and_pages(ledger: Ledger) -> None:
    ledger.put(row(f"{number:05}") for number in range(2500))
    ledger.put([row("x", Status.FAILED)])
    assert ledger.totals() == [
        ("recompressed", "smaller", 2500, 250_000, 100_000),
        ("failed", "decode_error", 1, 100, 40),
    ]
    assert [found.key for found in ledger.rows()] == [*(f"{number:05}" for number in range(2500)), "x"]
    assert [found.key for found in ledger.rows([Status.FAILED])] == ["x"]


def test_threads_share_it(ledger: Ledger) -> None:
    def write(number: int) -> None:
        for index in range(20):
            ledger.put([row(f"{number} {index}")])
            assert ledger.find(f"{number} {index}") is not None

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(ledger.rows())) == 80


def test_two_at_once_wait_for_each_other(ledger: Ledger, tmp_path: Path) -> None:
    with Ledger(tmp_path / "state") as other:
        ledger.put([row("a")])
        other.put([row("b")])
        assert [found.key for found in ledger.rows()] == ["a", "b"] == [found.key for found in other.rows()]


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"these are words, and enough of them to be no data base" * 9)
    with pytest.raises(UsageError, match="ledger cannot be used"):
        Ledger(tmp_path)
    with pytest.raises(UsageError, match="ledger cannot be used"):
        Ledger(tmp_path / FILE_NAME / "below")
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("PRAGMA user_version = 7")
    other.close()
    (tmp_path / "other.sqlite").replace(tmp_path / FILE_NAME)
    with pytest.raises(UsageError, match="format 7"):
        Ledger(tmp_path)
