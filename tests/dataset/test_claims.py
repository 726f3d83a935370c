import json
from pathlib import Path

import pytest

from imgcompress.dataset.claims import Claim, Damage, ShardClaim, open_past_run
from imgcompress.dataset.ledger import Ledger
from imgcompress.errors import Reason, UsageError
from imgcompress.records import FileRecord, Status


def record(name: str, status: Status = Status.RECOMPRESSED, **values: object) -> FileRecord:
    return FileRecord(f"in/{name}.png", f"out/{name}.jpg", status, Reason.SMALLER, **values)  # type: ignore[arg-type]


def items_of(path: Path) -> list[object]:
    with open_past_run(path) as past:
        return list(past.items)


def test_what_has_no_output_of_the_run_claims_nothing(tmp_path: Path) -> None:
    records = [
        record("a"),
        FileRecord("in/b.png", None, Status.FAILED, Reason.DECODE_ERROR),
        FileRecord("in/c.png", "out/c.jpg", Status.SKIPPED, Reason.EXISTS),
        record("d", Status.SKIPPED, was=Status.KEPT),
        FileRecord("in/s.tar/e.png", "out/s.tar/e.png", Status.FAILED, Reason.DECODE_ERROR),
    ]
    report = tmp_path / "any.name"
    report.write_text("".join(each.to_json() + "\n" for each in records))
    first, *nothing, fourth, last = items_of(report)
    assert nothing == [None, None] and last is None
    assert isinstance(first, Claim) and (first.name, first.status) == ("out/a.jpg", Status.RECOMPRESSED)
    assert isinstance(fourth, Claim) and fourth.status is Status.KEPT


GOOD = json.loads(record("a").to_json())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"5",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps(GOOD | {"status": "gone"}).encode(),
        json.dumps(GOOD | {"source": None}).encode(),
        json.dumps(GOOD | {"output": 5}).encode(),
        json.dumps(GOOD | {"scores": []}).encode(),
        json.dumps(GOOD | {"bytes_out": "1"}).encode(),
        json.dumps(GOOD | {"promised": {"ssimulacra2": None}}).encode(),
        json.dumps(GOOD | {"promised": {"ssimulacra2": "80"}}).encode(),
        json.dumps(GOOD | {"promised": {"ssimulacra2": float("nan")}}).encode(),
        json.dumps(GOOD | {"promised": {"ssimulacra2": float("-inf")}}).encode(),
        json.dumps(GOOD | {"promised": {"bytes": 10**400}}).encode(),
        json.dumps(GOOD | {"promised": {"beauty": 1}}).encode(),
        json.dumps(GOOD | {"color": "red"}).encode(),
    ],
)
def test_a_damaged_line_is_named_and_the_rest_goes_on(tmp_path: Path, line: bytes) -> None:
    report = tmp_path / "report.jsonl"
    good = json.dumps(GOOD).encode()
    report.write_bytes(b"\n".join([good, line, good, b""]))
    first, damage, last = items_of(report)
    assert isinstance(first, Claim) and first == last
    assert isinstance(damage, Damage) and damage.line == 2 and damage.problem


def test_records_of_older_versions_are_read(tmp_path: Path) -> None:
    old = {key: GOOD[key] for key in GOOD if key not in ("sha256_in", "sha256_out", "promised")}
    (tmp_path / "report.jsonl").write_text(json.dumps(old) + "\n")
    (claim,) = items_of(tmp_path / "report.jsonl")
    assert isinstance(claim, Claim)
    assert (claim.record.sha256_out, claim.record.promised) == (None, {})


def test_pictures_of_a_shard_come_together(tmp_path: Path) -> None:
    names = ["s.tar/deep/1", "s.tar/deep/0", "t.parquet/0/image", "u.tar/x"]
    outputs = [f"{tmp_path}/out/{name}" for name in names]
    (tmp_path / "out" / "u.tar").mkdir(parents=True)  # a folder, whatever its name is
    records = [
        FileRecord(f"in/{name}", output, Status.RECOMPRESSED, Reason.SMALLER)
        for name, output in zip(names, outputs, strict=True)
    ]
    report = tmp_path / "report.jsonl"
    report.write_text("".join(each.to_json() + "\n" for each in records))
    tar, table, file = items_of(report)
    assert isinstance(tar, ShardClaim) and list(tar.members) == ["deep/1", "deep/0"]
    assert (tar.output, tar.source, tar.whole) == (tmp_path / "out" / "s.tar", Path("in/s.tar"), None)
    assert isinstance(table, ShardClaim) and list(table.members) == ["0/image"]
    assert isinstance(file, Claim)


@pytest.mark.parametrize("content", [b"", b"words\n", bytes(range(256)) * 9, b"\xff\xd8\xff\xe0"])
def test_what_is_neither_report_nor_ledger_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"report\.jsonl: neither a ledger nor a report"):
        items_of(path)


def test_wrong_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no report and no ledger"):
        items_of(tmp_path / "missing")
    with pytest.raises(UsageError, match="there is no ledger"):
        items_of(tmp_path)
    with Ledger(tmp_path) as ledger:
        path = ledger.path
    assert items_of(path) == items_of(tmp_path) == []
    path.rename(tmp_path / "other.sqlite")
    with pytest.raises(UsageError, match=r"is called ledger\.sqlite"):
        items_of(tmp_path / "other.sqlite")
    path.write_bytes(b"SQLite format 3\0" + b"words" * 99)
    with pytest.raises(UsageError, match="cannot be"):
        items_of(path)


def test_a_report_does_not_say_where_in_a_backup_a_source_is(tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    report.write_text(json.dumps(GOOD) + "\n")
    with pytest.raises(UsageError, match="--backup"), open_past_run(report, tmp_path):
        pass
