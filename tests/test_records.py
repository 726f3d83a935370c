import json

import pytest

from imgcompress.errors import Reason
from imgcompress.records import FileRecord, Status

KEYS = [
    "source", "output", "status", "reason", "format", "width", "height", "bytes_in", "bytes_out", "scores",
    "settings", "seconds", "error", "was", "sha256_in", "sha256_out", "promised", "dry_run",
]  # fmt: skip


def test_a_line_has_the_keys_in_order() -> None:
    record = FileRecord("a.png", None, Status.FAILED, Reason.DECODE_ERROR, error='"quoted"\nand two lines')
    line = record.to_json()
    assert "\n" not in line
    assert list(json.loads(line)) == KEYS
    assert json.loads(line)["error"] == record.error


def test_values_survive() -> None:
    record = FileRecord(
        "b/ö €.png", "out/ö €.jpg", Status.RECOMPRESSED, Reason.SMALLER, "jpeg", 3, 4, 500, 300,
        {"ssim": 0.5}, {"quality": 75, "on_source_grid": False}, 0.123456789,
    )  # fmt: skip
    values = json.loads(record.to_json())
    assert "ö €" in record.to_json()
    assert (values["status"], values["reason"]) == ("recompressed", "smaller")
    assert (values["bytes_in"], values["bytes_out"], values["width"], values["height"]) == (500, 300, 3, 4)
    assert values["scores"] == {"ssim": 0.5} and values["seconds"] == 0.1235
    assert values["settings"] == {"quality": 75, "on_source_grid": False}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_a_number_is_valid_json(value: float) -> None:
    record = FileRecord("a", "b", Status.KEPT, Reason.VERIFY_REFUSED, scores={"vgg": value, "psnr": 30.0})
    values = json.loads(record.to_json(), parse_constant=pytest.fail)
    assert values["scores"] == {"vgg": None, "psnr": 30.0}


def test_statuses_are_those_of_the_report() -> None:
    assert {status.value for status in Status} == {"recompressed", "optimized", "kept", "skipped", "failed"}


def test_records_of_older_versions_are_read() -> None:
    record = FileRecord("a.png", "a.jpg", Status.KEPT, Reason.ALPHA)
    values = json.loads(record.to_json())
    for key in ("sha256_in", "sha256_out", "promised", "dry_run"):
        del values[key]
    assert FileRecord.from_json(json.dumps(values)) == record


@pytest.mark.parametrize(
    "values", [{"output": 5}, {"scores": []}, {"bytes_out": "7"}, {"promised": None}, {"dry_run": 1}]
)
def test_values_of_another_kind_are_refused(values: dict[str, object]) -> None:
    line = json.loads(FileRecord("a.png", None, Status.KEPT, Reason.ALPHA).to_json()) | values
    with pytest.raises(TypeError, match=next(iter(values))):
        FileRecord.from_json(json.dumps(line))
