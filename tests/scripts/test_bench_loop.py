"""The loop's figures, and what is called worse: decided on given numbers, as seconds are never the same."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import bench_loop
import pytest
import torch
from closed_loop import one_side
from closed_loop.history import KIND, Entry, Score, append, last_like, read_history
from closed_loop.verdict import pace, slower_stages, worse_results
from PIL import Image

from imgcompress.config import Config
from imgcompress.errors import UsageError

ENTRY = Entry(
    "2026-01-01T00:00:00+00:00",
    "0" * 40,
    False,
    {"preset": "instant"},
    "c0ffee",
    {"device": "cpu"},
    bytes=1000,
    scores={"ssimulacra2": Score(80.0, 70.0), "psnr": Score(30.0, 28.0)},
)


class Prepared:
    """A side that has been round the loop before."""

    def __init__(self, root: Path, request: dict[str, Any]) -> None:
        files = [Path(name).read_bytes() for name in request["files"]]
        side = one_side.Side(one_side.resolve(request["asked"], request["device"]))
        self.facts = {
            "content": one_side.content_digest(files),
            "machine": one_side.machine_facts(side.device),
        }
        self.round = lambda: side.round(files)

    def close(self) -> None: ...


@pytest.fixture
def folder(tmp_path: Path, photo: torch.Tensor) -> Path:
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for name, left in (("one.png", 0), ("below/two.png", 200)):
        crop = photo[:, 100:164, left : left + 96].permute(1, 2, 0).contiguous()
        Image.fromarray(crop.numpy()).save(folder / name)
    (folder / "none.jpg").write_text("no picture")
    return folder


def words(folder: Path, history: Path, *more: str) -> list[str]:
    return [str(folder), "--preset", "instant", "--device", "cpu", "--history", str(history), *more]


def test_a_run_in_processes_of_its_own_fills_the_history(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history.json"
    assert bench_loop.main(words(folder, history, "--repeats", "1", "--limit", "2")) == 0
    [entry] = read_history(history)
    assert (entry.pictures, entry.left_out, entry.failed) == (1, 1, 0)
    assert list(entry.stages) == ["read", "compress", "decode", "compare: ssimulacra2", "compare: psnr"]
    assert all(stage.seconds > 0 for stage in entry.stages.values())
    assert entry.bytes < entry.bytes_in == (folder / "below" / "two.png").stat().st_size
    assert "0.01 Mpx (1 left out), cpu" in capsys.readouterr().out


@pytest.mark.parametrize(
    "case",
    [
        (lambda entry: entry, 0, "nothing is worse than the entry of"),
        (lambda entry: replace(entry, bytes=entry.bytes // 2), 1, ": bytes: "),
        (lambda entry: replace(entry, scores={"psnr": Score(60.0, 1.0)}), 1, ": psnr, mean: "),
        (lambda entry: replace(entry, asked={}, bytes=1), 0, "nothing to compare with"),
        (lambda entry: replace(entry, worse=["bytes"], bytes=1), 0, "nothing to compare with"),
    ],
)
def test_a_history_with_better_figures_ends_in_1(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: tuple[Any, int, str],
) -> None:
    then, code, said = case
    history = folder / "history.json"
    monkeypatch.setattr(bench_loop, "Child", Prepared)
    monkeypatch.setattr(bench_loop, "checked_out", lambda: ("1" * 40, False))
    assert bench_loop.main(words(folder, history, "--repeats", "1")) == 0
    [entry] = read_history(history)
    history.write_text(json.dumps({"kind": KIND, "entries": [asdict(then(entry))]}))
    capsys.readouterr()
    assert bench_loop.main(words(folder, history, "--fail-if-worse", "5")) == code
    out = capsys.readouterr().out
    assert said in out
    assert ("speed is not compared with the last entry" in out) == ("nothing to compare" not in out)
    assert bool(read_history(history)[-1].worse) == (code == 1)


def test_an_unknown_commit_is_said_and_leaves_no_worktree(capsys: pytest.CaptureFixture[str]) -> None:
    before = bench_loop.git("worktree", "list")
    with bench_loop.ExitStack() as stack:
        assert bench_loop.earlier_side(stack, ENTRY, {}) is None
    assert "commit 000000000000 does not run here: " in capsys.readouterr().out
    assert bench_loop.git("worktree", "list") == before


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        "\x00\xff",
        '{"kind": "another"}',
        json.dumps({"kind": KIND, "entries": [{"date": "today"}]}),
        json.dumps({"kind": KIND, "entries": [asdict(ENTRY) | {"bytes": "many"}]}),
        json.dumps({"kind": KIND, "entries": [asdict(ENTRY) | {"machine": []}]}),
    ],
)
def test_a_foreign_history_is_left_as_it_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    history = tmp_path / "history.json"
    history.write_text(content, encoding="latin-1")
    assert bench_loop.main(words(folder, history)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert history.read_text(encoding="latin-1") == content


def test_wrong_options_end_in_2(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_loop, "Child", Prepared)
    assert bench_loop.main([str(tmp_path / "nowhere")]) == 2
    assert bench_loop.main([str(folder), "--preset", "slow"]) == 2
    assert bench_loop.main([str(folder), "--quality", "0"]) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith("bench loop: ")
    for wrong in (
        ["--format", "gif"],
        ["--repeats", "0"],
        ["--fail-if-worse", "5"],
        ["--fail-if-worse", "nan", "--history", "x"],
    ):
        with pytest.raises(SystemExit) as stopped:
            bench_loop.main([str(folder), *wrong])
        assert stopped.value.code == 2


def test_only_entries_that_are_alike_and_not_worse_are_compared_with(tmp_path: Path) -> None:
    history = tmp_path / "history.json"
    newest = replace(ENTRY, date="2026-01-02")
    others = ({"content": "tea"}, {"machine": {"device": "a GPU"}}, {"asked": {}}, {"worse": ["bytes"]})
    for entry in (ENTRY, newest, *(replace(ENTRY, **other) for other in others)):
        append(history, entry)
    assert last_like(read_history(history), ENTRY) == newest


@pytest.mark.parametrize(
    ("new", "is_slower"),
    [
        ([1.2] * 7, True),
        ([1.04] * 7, False),  # slower for certain, but by less than the limit
        ([1.2] * 6 + [0.9], False),  # one pair of seven says otherwise: 8 in 128 by chance
        ([1.2] * 10 + [0.9], True),  # one of eleven: 12 in 2048
        ([0.8] * 7, False),
    ],
)
def test_slower_is_what_the_pairs_agree_on(new: list[float], is_slower: bool) -> None:
    drift = [1.0 + 0.5 * index for index in range(len(new))]  # the machine itself becomes slower: no matter
    found = pace([value * by for value, by in zip(new, drift, strict=True)], drift, percent=5)
    assert found.is_slower == is_slower
    assert found.ratio == pytest.approx(sorted(new)[len(new) // 2])
    assert len(slower_stages({"compress": found})) == is_slower


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bytes": 1049}, None),
        ({"bytes": 1051}, "bytes: 1,051 are 5.1 % more than 1,000"),
        ({"failed": 1}, "1 pictures have no result, 0 before"),
        ({"scores": ENTRY.scores | {"ssimulacra2": Score(79.1, 70.0)}}, None),
        ({"scores": ENTRY.scores | {"ssimulacra2": Score(78.9, 70.0)}}, "ssimulacra2, mean: 78.900 after 80"),
        ({"scores": ENTRY.scores | {"ssimulacra2": Score(80.0, 68.4)}}, "ssimulacra2, worst: 68.400 after"),
        ({"scores": ENTRY.scores | {"ssimulacra2": Score(None, None)}}, "ssimulacra2, mean: not a number"),
        ({"scores": ENTRY.scores | {"psnr": Score(29.8, 28.0)}}, None),
        (
            {"scores": ENTRY.scores | {"psnr": Score(29.7, 28.0)}},
            "psnr, mean: 29.700 after 30.000 lacks 7.2",
        ),
    ],
)
def test_bytes_and_scores_are_compared_by_percent(change: dict[str, Any], said: str | None) -> None:
    found = worse_results(replace(ENTRY, **change), ENTRY, percent=5)
    assert found[:1] == [] if said is None else found[0].startswith(said)


def test_after_a_perfect_copy_any_loss_is_worse() -> None:
    perfect = replace(ENTRY, scores={"ssimulacra2": Score(100.0, 100.0)})
    assert worse_results(perfect, perfect, percent=5) == []
    assert worse_results(replace(perfect, scores=ENTRY.scores), perfect, percent=5)


def test_the_request_stands_for_the_command_lines_settings() -> None:
    asked = {"preset": "instant", "quality": 60, "format": "webp"}
    config = one_side.resolve(asked, "cpu")
    assert (config.quality, config.format, config.loop.rounds) == (60, "webp", 0)
    assert one_side.resolve({}, "cpu") == replace(Config(), device="cpu")
    with pytest.raises(UsageError, match="quality"):
        one_side.resolve({"quality": 0}, "cpu")
