import math
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from imgcompress.dataset.ledger import FILE_NAME, Ledger, Row, open_ledger
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
    failed = replace(row("b", Status.FAILED), output_sha256=None, ours=("0ld", "0lder"))
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
    ledger.put([row("a")])
    impossible = replace(row("c"), record=replace(row("c").record, bytes_in=2**70))
    with pytest.raises(OverflowError):
        ledger.put([row("b"), impossible])
    assert [found.key for found in ledger.rows()] == ["a"]


def test_names_that_differ_only_in_how_they_are_no_text(ledger: Ledger) -> None:
    names = ["x\udc80.png", "x\\udc80.png", "x\x80.png"]
    ledger.put(row(name) for name in names)
    assert [found.key for found in ledger.rows()] == sorted(
        names, key=lambda n: n.encode("utf-8", "surrogatepass")
    )
    for name in names:
        found = ledger.find(name)
        assert found is not None and (found.key, found.source) == (name, f"/in/{name}")


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


def test_one_writes_at_a_time_and_anybody_reads(ledger: Ledger, tmp_path: Path) -> None:
    ledger.put([row("a")])
    with pytest.raises(UsageError, match="another run is at work"):
        Ledger(tmp_path / "state")
    for path in (tmp_path / "state", tmp_path / "state" / FILE_NAME):
        with open_ledger(path) as reader:
            assert [found.key for found in reader.rows()] == ["a"]
            with pytest.raises(UsageError, match="cannot be written"):
                reader.put([row("b")])
    ledger.close()
    with Ledger(tmp_path / "state") as next_one:
        next_one.put([row("b")])
    with pytest.raises(UsageError, match="there is no ledger"):
        open_ledger(tmp_path)
    (tmp_path / "state" / "elsewhere").mkdir()
    with pytest.raises(UsageError, match="there is no ledger"):
        open_ledger(tmp_path / "state" / "elsewhere")


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from imgcompress.dataset.ledger import Ledger\n"
    script += "held = Ledger(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="another run is at work"):
            Ledger(tmp_path)
        process.kill()
        process.wait()
    Ledger(tmp_path).close()


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
