"""The commands as a user runs them, with ten judgments of small pictures."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from imgcompress.cli.program import main as compress
from imgcompress.perception.weights import load_weights
from imgcompress.resources import default_trunk, default_weights
from train import checkpoint
from train.__main__ import main
from train.checkpoint import refusals

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/train/default.yaml"
Run = Callable[..., list[str]]


@pytest.fixture
def arguments(write_csv, ten_rows, tmp_path, monkeypatch) -> Run:
    """The words of a command on a user's CSV; keyword arguments are options."""
    monkeypatch.setattr("sys.argv", ["train"])
    file = write_csv(["reference", "test", "score"], ten_rows)

    def build(command: str, run: str = "run", **options: Any) -> list[str]:
        options = {
            "trainer.default_root_dir": tmp_path / run,
            "trainer.enable_progress_bar": "false",
            "trainer.max_epochs": 40,
            "data.judgments": json.dumps([str(file)]),
            "data.shared": "null",
            "data.cache": tmp_path / "cache",
            "data.cross_picture": "null",
            "data.folds": 5,
            "model.distance.scaled_l2": 0.0,
            "model.distance.terms": "null",
            "model.lambda_channels": 1.0,
            **options,
        }
        if command == "fit":
            options.setdefault("output", tmp_path / f"{run}.safetensors")
        words = [f"--{name}={value}" for name, value in options.items()]
        return [command, f"--config={CONFIG}", *words]

    return build


def test_fit_validate_test_and_report(arguments, tmp_path, capsys) -> None:
    main(arguments("fit"))
    assert "mine: srocc" in capsys.readouterr().out
    fitted = load_weights(tmp_path / "run.safetensors", default_trunk())
    assert fitted.normalization == "unit" and sum(fitted.layer_weights) == pytest.approx(1)
    assert [len(logits) for logits in fitted.channel_logits] == [128, 256, 512]
    card = json.loads((tmp_path / "run.json").read_text())
    assert card["data"]["items"] == 10 and card["data"]["folds"] == 5 and card["seed"] == 1
    assert card["trunk_sha256"].startswith("349b2b52") and card["out_of_fold"]["mine"]["srocc"] <= 1
    main(arguments("validate"))
    main(arguments("test"))
    main(arguments("report"))
    report = (tmp_path / "run/report/report.md").read_text()
    for name in ("fitted, out of fold", "PSNR", "HaarPSI", "SSIMULACRA2", "plain squares"):
        assert name in report
    assert "MS-SSIM" not in report  # the pictures are too small for it
    for plot in ("scatter-mine.png", "weights.png"):
        assert (tmp_path / "run/report" / plot).read_bytes().startswith(b"\x89PNG")
    logs = EventAccumulator(str(tmp_path / "run/logs"))
    logs.Reload()
    assert {"scatter-mine", "weights"} <= set(logs.Tags()["images"])
    assert "out_of_fold/mine/srocc" in logs.Tags()["scalars"]


def test_the_commands_of_the_readme_on_ten_rows(write_csv, ten_rows, tmp_path, monkeypatch, capsys) -> None:
    write_csv(["reference", "test", "score"], ten_rows)
    for name in ("configs", "checkpoints"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/p0.png").write_bytes((tmp_path / "set/p0.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "train/README.md").read_text(encoding="utf-8").partition("## Your own judgments")[2]
    commands = text.replace("\\\n", "").split("\n\n")[1].strip().splitlines()
    fit, use = (shlex.split(command) for command in commands)
    assert fit[:3] == [".venv/bin/python", "-m", "train"] and use[0] == ".venv/bin/imgcompress"
    monkeypatch.setattr("sys.argv", fit[2:])
    main()
    assert "saved out/train/mine.safetensors" in capsys.readouterr().out
    mine, shipped = (load_weights(path, default_trunk()) for path in (Path(fit[-1]), default_weights()))
    assert (mine.normalization, mine.scaled_l2) == (shipped.normalization, pytest.approx(shipped.scaled_l2))
    assert mine.ssimulacra2 == pytest.approx(shipped.ssimulacra2)
    for own, logits in zip(mine.channel_logits, shipped.channel_logits, strict=True):
        weights = own.softmax(0), logits.softmax(0)
        assert not torch.equal(*weights)
        torch.testing.assert_close(*weights, rtol=0.3, atol=0)  # few judgments move little
    compress(use[1:])
    assert (tmp_path / "out/p0.jpg").is_file()


def test_a_fit_cut_off_goes_on_to_the_same_weights(arguments, tmp_path) -> None:
    main(arguments("fit", "whole"))
    main(arguments("fit", "parts", **{"trainer.max_epochs": 20}))
    cut = load_file(tmp_path / "parts.safetensors")
    main(arguments("fit", "parts"))
    whole, parts = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert not torch.equal(cut["channel_logits.0"], whole["channel_logits.0"])


def test_another_fit_does_not_go_on_from_this_one(arguments) -> None:
    main(arguments("fit"))
    with pytest.raises(SystemExit, match="holds a fit of other data or settings"):
        main(arguments("fit", **{"model.lambda_channels": 0.5}))
    with pytest.raises(SystemExit, match="holds a fit of other data or settings"):
        main(arguments("report", **{"data.folds": 4}))


def test_a_worse_fit_is_refused_without_force(arguments, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "TOLERANCE", -3.0)  # every fit is worse than that
    with pytest.raises(
        SystemExit, match=r"(?s)refused: not saved without --force.*mine: srocc .* without a fit"
    ):
        main(arguments("fit"))
    assert not (tmp_path / "run.safetensors").exists()
    main([*arguments("fit"), "--force"])
    assert "forced: mine: srocc" in capsys.readouterr().out
    assert json.loads((tmp_path / "run.json").read_text())["refused_but_forced"]


def test_what_is_refused() -> None:
    start = {"a": {"srocc": 0.9, "within": 1.0}, "b": {"pairs": 0.8}}
    assert not refusals({"a": {"srocc": 0.8951, "within": 0.5}, "b": {"pairs": 0.8}}, start, {}, {})
    assert len(refusals({"a": {"srocc": 0.8949, "within": 1.0}, "b": {"pairs": 0.7}}, start, {}, {})) == 2
    assert not refusals({"a": {"srocc": 0.1, "within": 1.0}, "b": {"pairs": 0.8}}, start, {"a": 0.0}, {})
    assert refusals({"a": {"srocc": float("nan")}}, start, {}, {})
    assert not refusals({"b": {"pairs": 0.1}}, start, {}, {"b": 0.0})


def test_given_pairs_are_fitted(arguments, write_csv, tmp_path, capsys) -> None:
    rows = [[f"set/p{n}.png", f"set/p{n}_10.jpg", f"set/p{n}_60.jpg", "b"] for n in range(5)]
    file = write_csv(["reference", "a", "b", "preferred"], rows)
    main(arguments("fit", **{"data.judgments": json.dumps([str(file)])}))
    assert "mine: pairs 1.0000 out of fold, 1.0000 without a fit" in capsys.readouterr().out
    main(arguments("report", **{"data.judgments": json.dumps([str(file)])}))
    assert "preferences agreed with" in (tmp_path / "run/report/report.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data.folds": 1}, "data.folds: expected an integer >= 2"),
        ({"data.judgments": "[none.csv]"}, "none.csv: cannot read"),
        ({"data.judgments": "null"}, "no file of judgments"),
        ({"model.lambda_channels": -1}, "model.lambda_channels"),
        ({"data.cross_picture": '{"mine": 2}'}, "data.cross_picture.mine"),
        ({"data.study_weights": '{"mine": -1}'}, "data.study_weights.mine"),
    ],
)
def test_a_wrong_setting_is_one_line(arguments, options, message, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments("fit", **options))
    assert message in str(stop.value) + capsys.readouterr().err


def test_a_report_needs_a_fit(arguments) -> None:
    with pytest.raises(SystemExit, match="there is no fit yet"):
        main(arguments("report"))
