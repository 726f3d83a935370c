"""Outputs of real runs that are looked at again after something has happened to them."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from imgcompress.config import Config, LoopConfig
from imgcompress.dataset.audit import Auditor
from imgcompress.dataset.audited import Audited, Condition
from imgcompress.dataset.claims import open_past_run
from imgcompress.dataset.ledger import FILE_NAME, Ledger
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.runner import Runner
from imgcompress.dataset.sources import STATE_FOLDER, Listing
from imgcompress.measure import Measure
from imgcompress.perception.ssimulacra2 import ssimulacra2
from imgcompress.records import FileRecord, Status

CONFIG = Config(device="cpu", verify="ssim", jobs=2, batch_size=2, quality=60, loop=LoopConfig(rounds=0))
Alter = Callable[[str, bytes], None]


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, 100:148, 150:214].permute(1, 2, 0).contiguous().numpy()


def make_run(source: Path, out: Path | None, config: Config = CONFIG) -> list[FileRecord]:
    """A run with its report, as the command line writes it."""
    state = (out or source) / STATE_FOLDER
    records = list(Runner(config, RunOptions(state=state)).run(Listing(source, out, format=config.format)))
    (state / "report.jsonl").write_text("".join(record.to_json() + "\n" for record in records))
    return records


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> Path:
    """Two recompressed pictures, one optimized, one kept, one broken, a tar and a Parquet file."""
    root = tmp_path_factory.mktemp("run")
    source = root / "in"
    source.mkdir()
    pictures = {f"{index}.png": encoded(np.roll(pixels, 9 * index, axis=1)) for index in range(2)}
    for name, data in pictures.items():
        (source / name).write_bytes(data)
    (source / "alpha.png").write_bytes(encoded(np.dstack([pixels, pixels[..., :1]])))
    (source / "broken.png").write_bytes(pictures["0.png"][:500])
    (source / "crushed.jpg").write_bytes(encoded(pixels, "JPEG", quality=8))
    with tarfile.open(source / "s.tar", "w") as tar:
        for name, data in (pictures | {"2.png": data_of_third(pixels), "2.txt": b"words"}).items():
            info = tarfile.TarInfo(f"deep/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    write_parquet(source / "t.parquet", list(pictures.values()))
    records = make_run(source, root / "out")
    statuses = [record.status.value for record in records]
    assert statuses == ["recompressed"] * 2 + ["kept", "failed", "optimized"] + ["recompressed"] * 5
    return root / "out"


def data_of_third(pixels: np.ndarray) -> bytes:
    return encoded(pixels[::-1])


def write_parquet(path: Path, pictures: list[bytes]) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": data, "path": f"{index}.png"} for index, data in enumerate(pictures)]
    parquet.write_table(pa.table({"image": pa.array(cells, kind)}), path)


@pytest.fixture
def out(finished: Path) -> Iterator[Path]:
    """The same for tests that change something; it is put back."""
    folders = [finished, finished.parent / "in"]
    before = {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}
    yield finished
    for path, data in before.items():
        path.write_bytes(data)


def report_of(out: Path) -> Path:
    return out / STATE_FOLDER / "report.jsonl"


def audit(past: Path, config: Config = CONFIG) -> list[Audited]:
    with open_past_run(past) as run:
        return [found for found in Auditor(config).audit(run.items) if found is not None]


def conditions(past: Path) -> dict[str, str]:
    """Of all that is not well, by the last two parts of its path."""
    return {
        "/".join(Path(found.name).parts[-2:]): found.condition.value
        for found in audit(past)
        if found.condition is not Condition.OK
    }


def change_report(out: Path, name: str, **values: object) -> Path:
    """A copy of the report in which a record says something else."""
    lines = [json.loads(line) for line in report_of(out).read_text().splitlines()]
    (found,) = [line for line in lines if (line["output"] or "").endswith(name)]
    found |= values
    changed = out.parent / "changed.jsonl"
    changed.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return changed


def as_written(data: bytes) -> dict[str, object]:
    return {"sha256_out": hashlib.sha256(data).hexdigest(), "bytes_out": len(data)}


def test_all_is_well_after_a_run_and_nothing_is_written(finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.parent.rglob("*") if path.is_file()}
    of_report, of_ledger = audit(report_of(finished)), audit(finished)
    assert {found.condition for found in of_report + of_ledger} == {Condition.OK}
    # The ledger knows of the shards themselves, too.
    assert (len(of_report), len(of_ledger)) == (9, 11)
    assert {path: path.read_bytes() for path in finished.parent.rglob("*") if path.is_file()} == before
    with open_past_run(report_of(finished)) as past:
        assert past.records == 10


def test_scores_are_those_that_the_run_has_measured(finished: Path) -> None:
    records = {record["output"]: record for record in map(json.loads, report_of(finished).open())}
    scored = [found for found in audit(report_of(finished)) if found.scores]
    assert len(scored) == 7
    for found in scored:
        promised = records[found.name]["promised"]
        assert promised.keys() == found.scores.keys() == {"ssimulacra2", "ssim"}
        assert found.promised == promised
        for name, value in found.scores.items():
            assert value == pytest.approx(records[found.name]["scores"][name], abs=1e-3)
        target = float(records[found.name]["settings"]["target"].partition("=")[2])
        assert promised["ssimulacra2"] == pytest.approx(target - 0.5, abs=1e-3)


@pytest.mark.parametrize("from_ledger", [False, True])
def test_what_is_gone_or_altered_is_named(out: Path, pixels: np.ndarray, from_ledger: bool) -> None:
    (out / "0.jpg").unlink()
    data = bytearray((out / "1.jpg").read_bytes())
    data[-3] ^= 1
    (out / "1.jpg").write_bytes(data)  # of the same size
    (out / "crushed.jpg").write_bytes((out / "crushed.jpg").read_bytes()[:-40])
    (out / "alpha.png").write_bytes(encoded(pixels, "JPEG"))
    past = out if from_ledger else report_of(out)
    altered = dict.fromkeys(("out/1.jpg", "out/alpha.png", "out/crushed.jpg"), "altered")
    assert conditions(past) == {"out/0.jpg": "missing"} | altered


def test_a_folder_in_an_outputs_place_is_no_output(out: Path) -> None:
    data = (out / "0.jpg").read_bytes()
    (out / "0.jpg").unlink()
    (out / "0.jpg").mkdir()
    try:
        assert conditions(report_of(out)) == {"out/0.jpg": "missing"}
    finally:
        (out / "0.jpg").rmdir()
        (out / "0.jpg").write_bytes(data)


@pytest.mark.parametrize("name", ["0.jpg", "alpha.png", "crushed.jpg"])
def test_bytes_that_do_not_open_are_unreadable_though_they_are_those_written(out: Path, name: str) -> None:
    data = (out / name).read_bytes()
    data = data[: len(data) // 2]
    (out / name).write_bytes(data)
    assert conditions(change_report(out, f"out/{name}", **as_written(data))) == {f"out/{name}": "unreadable"}


def test_another_size_is_unreadable(out: Path, pixels: np.ndarray) -> None:
    data = encoded(pixels[:40], "JPEG")
    (out / "0.jpg").write_bytes(data)
    (found,) = [
        each
        for each in audit(change_report(out, "out/0.jpg", **as_written(data)))
        if each.condition is not Condition.OK
    ]
    assert found.condition is Condition.UNREADABLE
    assert found.message == "it has another size than its source had"


@pytest.mark.parametrize("from_ledger", [False, True])
def test_a_worse_picture_with_the_right_checksum_is_below_target(
    out: Path, pixels: np.ndarray, from_ledger: bool
) -> None:
    data = encoded(pixels, "JPEG", quality=10)
    (out / "0.jpg").write_bytes(data)
    if from_ledger:
        past = out
        with Ledger(out / STATE_FOLDER) as ledger:
            row = ledger.find("0.png")
            assert row is not None
            values = as_written(data)
            record = replace(row.record, **values)  # type: ignore[arg-type]
            ledger.put([replace(row, record=record, output_sha256=values["sha256_out"])])  # type: ignore[arg-type]
    else:
        past = change_report(out, "out/0.jpg", **as_written(data))
    (found,) = [each for each in audit(past) if each.condition is not Condition.OK]
    assert found.condition is Condition.BELOW_TARGET
    paths = (out.parent / "in" / "0.png", out / "0.jpg")
    before, after = (torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255 for path in paths)
    expected = ssimulacra2(before[None], after[None]).item()
    assert found.scores["ssimulacra2"] == pytest.approx(expected, abs=1e-3)
    assert f"ssimulacra2 is {found.scores['ssimulacra2']:.6g}, promised was" in found.message


@pytest.mark.parametrize(
    ("promised", "is_met"),
    [
        ({"ssimulacra2": 99.0}, False),
        ({"ssimulacra2": 5.0}, True),
        ({"bytes": 100.0}, False),
        ({"bytes": 1e6, "bpp": 20.0}, True),
        ({"bpp": 0.1}, False),
        ({"psnr": 60.0, "ssim": 0.1}, False),
        ({}, True),
    ],
)
def test_a_promise_is_held_to(out: Path, promised: dict[str, float], is_met: bool) -> None:
    found = conditions(change_report(out, "out/0.jpg", promised=promised))
    assert found == ({} if is_met else {"out/0.jpg": "below_target"})


@pytest.mark.parametrize(("beyond", "is_met"), [(0.005, True), (0.02, False)])
def test_rounding_breaks_no_promise(out: Path, beyond: float, is_met: bool) -> None:
    found = next(each for each in audit(report_of(out)) if each.name.endswith("out/0.jpg"))
    changed = change_report(out, "out/0.jpg", promised={"ssimulacra2": found.scores["ssimulacra2"] + beyond})
    assert conditions(changed) == ({} if is_met else {"out/0.jpg": "below_target"})


def test_what_is_not_a_number_never_passes(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nans = {"ssimulacra2": float("nan"), "ssim": 0.99}
    monkeypatch.setattr(Measure, "scores", lambda _self, before, _after: [nans for _ in before])
    found = [each for each in audit(report_of(out)) if each.scores]
    assert len(found) == 7 and {each.condition for each in found} == {Condition.BELOW_TARGET}


def test_what_cannot_be_measured_does_not_pass_and_ends_nothing(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, calls = Measure.scores, []

    def breaking(self: Measure, before: list[object], after: list[object]) -> object:
        calls.append(len(before))
        if len(calls) in (1, 2):
            raise RuntimeError("broke down")
        return measure(self, before, after)  # type: ignore[arg-type]

    monkeypatch.setattr(Measure, "scores", breaking)
    found = audit(report_of(out))
    # The first batch as a whole, then the first of its pictures alone.
    assert calls[0] > 1 and calls[1] == 1
    assert [each.condition for each in found] == [Condition.BELOW_TARGET] + [Condition.OK] * 8
    assert "broke down" in found[0].message


def test_pixels_that_are_to_be_the_sources_are_compared(out: Path, pixels: np.ndarray) -> None:
    data = encoded(np.dstack([pixels[::-1], pixels[..., :1]]))
    (out / "alpha.png").write_bytes(data)
    changed = change_report(out, "out/alpha.png", **as_written(data))
    assert conditions(changed) == {"out/alpha.png": "below_target"}
    again = encoded(np.dstack([pixels, pixels[..., :1]]), compress_level=1)
    (out / "alpha.png").write_bytes(again)
    changed = change_report(out, "out/alpha.png", **as_written(again))
    assert conditions(changed) == {}
    jpeg = encoded(pixels, "JPEG", quality=9)
    (out / "crushed.jpg").write_bytes(jpeg)
    assert conditions(change_report(out, "out/crushed.jpg", **as_written(jpeg)))["out/crushed.jpg"] == (
        "below_target"
    )


def test_sources_that_are_gone_or_others_by_now_are_no_fault_of_the_outputs(
    out: Path, pixels: np.ndarray
) -> None:
    source = out.parent / "in"
    (source / "0.png").unlink()
    (source / "1.png").write_bytes(encoded(pixels[:, ::-1]))
    (source / "alpha.png").unlink()  # a copy by its checksum, which needs no source
    expected = {"out/0.jpg": "source_missing", "out/1.jpg": "source_changed"}
    assert conditions(report_of(out)) == conditions(out) == expected
    data = (out / "0.jpg").read_bytes()[:300]
    (out / "0.jpg").write_bytes(data)
    changed = change_report(out, "out/0.jpg", **as_written(data))
    assert conditions(changed)["out/0.jpg"] == "unreadable"  # opened all the same


def test_a_later_run_that_left_all_alone_claims_the_same(out: Path) -> None:
    records = make_run(out.parent / "in", out)
    assert sum(record.status is Status.SKIPPED for record in records) == 9
    assert [found.condition for found in audit(report_of(out))] == [Condition.OK] * 9
    (out / "0.jpg").write_bytes(b"words")
    assert conditions(report_of(out)) == {"out/0.jpg": "altered"}


def test_pictures_in_a_tar_are_told_apart(out: Path, pixels: np.ndarray) -> None:
    with tarfile.open(out / "s.tar") as tar:
        parts = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    assert [info.name for info, _ in parts] == ["deep/0.jpg", "deep/1.jpg", "deep/2.jpg", "deep/2.txt"]
    with tarfile.open(out / "s.tar", "w") as tar:
        for info, data in parts[1:]:
            changed = encoded(pixels, "JPEG", quality=5) if info.name == "deep/2.jpg" else data
            info.size = len(changed)
            tar.addfile(info, io.BytesIO(changed))
    # One is gone, another is altered, and the one between them is found, though it has moved.
    expected = {"deep/0.png": "altered", "deep/2.png": "altered"}
    assert conditions(report_of(out)) == expected
    assert conditions(out) == expected | {"out/s.tar": "altered"}


def test_pictures_in_a_shard_are_measured(out: Path) -> None:
    for name in ("deep/1.png", "1/image"):
        changed = change_report(out, name, promised={"ssimulacra2": 99.0})
        assert conditions(changed) == {name: "below_target"}


def test_pictures_in_a_parquet_file_are_told_apart(out: Path) -> None:
    table = parquet.read_table(out / "t.parquet").column("image").to_pylist()
    write_parquet(out / "t.parquet", [table[0]["bytes"], table[0]["bytes"]])
    assert conditions(report_of(out)) == {"1/image": "altered"}
    assert conditions(out) == {"1/image": "altered", "out/t.parquet": "altered"}
    (out / "t.parquet").write_bytes(b"words")
    names = dict.fromkeys(("0/image", "1/image"), "unreadable")
    assert conditions(report_of(out)) == names


def test_a_shard_that_is_gone_and_one_without_its_source(out: Path) -> None:
    (out / "s.tar").unlink()
    (out.parent / "in" / "t.parquet").unlink()
    members = {f"deep/{index}.png": "missing" for index in range(3)}
    members |= dict.fromkeys(("0/image", "1/image"), "source_missing")
    assert conditions(report_of(out)) == members
    assert conditions(out) == members | {"out/s.tar": "missing"}


def test_in_place_there_is_nothing_to_measure_against(tmp_path: Path, pixels: np.ndarray) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "a.png").write_bytes(encoded(pixels))
    (root / "b.jpg").write_bytes(encoded(pixels, "JPEG", quality=97))
    (root / "c.png").write_bytes(encoded(np.dstack([pixels, pixels[..., :1]])))
    make_run(root, None)
    # The third was kept: its checksum says that it is what it was.
    expected = {"in/a.jpg": "source_missing", "in/b.jpg": "source_missing"}
    assert conditions(root) == conditions(report_of(root)) == expected
    (root / "b.jpg").write_bytes(encoded(pixels, "JPEG", quality=5))
    assert conditions(root) == conditions(report_of(root)) == expected | {"in/b.jpg": "altered"}


def test_with_its_backup_a_run_in_place_is_measured(tmp_path: Path, pixels: np.ndarray) -> None:
    root, backup = tmp_path / "in", tmp_path / "backup"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.png").write_bytes(encoded(pixels))
    (root / "b.jpg").write_bytes(encoded(pixels, "JPEG", quality=97))
    write_parquet(root / "t.parquet", [encoded(pixels)])
    options = RunOptions(state=root / STATE_FOLDER, backup=backup)
    assert len(list(Runner(CONFIG, options).run(Listing(root, None)))) == 3

    def look() -> list[str]:
        with open_past_run(root, backup) as past:
            found = [each for each in Auditor(CONFIG).audit(past.items) if each is not None]
        assert all(each.scores for each in found if each.condition is Condition.OK and each.promised)
        return [each.condition.value for each in found]

    assert look() == ["ok"] * 4
    (backup / "sub" / "a.png").write_bytes(encoded(pixels[::-1]))
    (backup / "t.parquet").unlink()
    assert look() == ["ok", "source_changed", "ok", "source_missing"]


@pytest.mark.parametrize("form", ["webp", "avif", "png"])
def test_other_formats_are_turned_as_their_sources_are(tmp_path: Path, pixels: np.ndarray, form: str) -> None:
    root = tmp_path / "in"
    root.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "a.tif").write_bytes(encoded(pixels[:32], "TIFF"))
    (root / "b.jpg").write_bytes(encoded(pixels, "JPEG", quality=98, exif=exif.tobytes()))
    config = replace(CONFIG, format=form, convert=True)
    assert {record.status for record in make_run(root, tmp_path / "out", config)} == {Status.RECOMPRESSED}
    found = audit(tmp_path / "out")
    assert [each.condition for each in found] == [Condition.OK] * 2
    assert all(bool(each.scores) == (form != "png") for each in found)
    if form == "png":  # lossless: every pixel is looked at
        data = encoded(pixels[:32, ::-1])
        (tmp_path / "out" / "a.png").write_bytes(data)
        changed = change_report(tmp_path / "out", "a.png", **as_written(data))
        assert conditions(changed) == {"out/a.png": "below_target"}


def test_a_ledger_that_a_run_is_writing_can_be_read(out: Path) -> None:
    with Ledger(out / STATE_FOLDER) as ledger:
        row = ledger.find("1.png")
        assert row is not None
        ledger.put([replace(row, confirmed=False)])
        with open_past_run(out / STATE_FOLDER / FILE_NAME) as past:
            assert past.unconfirmed == 1
            found = [each for each in Auditor(CONFIG).audit(past.items) if each is not None]
        assert len(found) == 10 and {each.condition for each in found} == {Condition.OK}
        ledger.put([row])


def test_pictures_beyond_the_limit_are_not_decoded(out: Path) -> None:
    config = replace(CONFIG, limits=replace(CONFIG.limits, max_megapixels=0.001))
    found = audit(report_of(out), config)
    assert {each.condition for each in found} == {Condition.UNREADABLE}
    assert "limits.max_megapixels" in found[0].message
