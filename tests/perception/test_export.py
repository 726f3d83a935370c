import io
import json
import logging
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from imgcompress.cli.program import main
from imgcompress.config import PerceptionConfig
from imgcompress.errors import UsageError
from imgcompress.perception import model_file
from imgcompress.perception.distance import PerceptualDistance, load_distance
from imgcompress.perception.model_file import load_model
from imgcompress.perception.weights import file_sha256
from imgcompress.resources import PACKAGE, default_trunk, default_weights

CPU = torch.device("cpu")
ROOT = "model/"
PROGRAM = ROOT + "models/model.json"
SAMPLES = ROOT + "data/sample_inputs/model.pt"
TABLE = ROOT + "data/weights/model_weights_config.json"


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def pair(photo: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    a = photo[None, :, 90 : 90 + height, 150 : 150 + width].float() / 255
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    return a, (a + 0.05 * noise).clamp(0, 1)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_what_the_files_say_of_themselves(exported: Path):
    import onnx

    [entry] = onnx.load(exported / "model.onnx").metadata_props
    about = json.loads(entry.value)
    assert entry.key == "imgcompress"
    assert json.loads(members(exported / "model.pt2")[ROOT + "extra/imgcompress"]) == about
    distance = load_distance(PerceptionConfig(), CPU)
    assert about.pop("layer_weights") == distance.layer_weights.tolist()
    assert about == {
        "format": 1,
        "scale": 0.5,
        "overlap": distance.overlap,
        "pooling": distance.pooling,
        "ssimulacra2": distance.ssimulacra2,
        "normalization": distance.normalization,
        "scaled_l2": distance.scaled_l2,
        "trunk_sha256": file_sha256(default_trunk()),
    }


def test_sizes_are_free_in_the_onnx_file(exported: Path):
    import onnx

    graph = onnx.load(exported / "model.onnx").graph
    for value in graph.input:
        assert [bool(size.dim_param) for size in value.type.tensor_type.shape.dim] == [
            True,
            False,
            True,
            True,
        ]


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_the_weights_are_in_and_this_machine_is_not(name: str, exported: Path):
    data = (exported / name).read_bytes()
    assert 30_000_000 < len(data) < 32_000_000
    assert str(PACKAGE).encode() not in data
    assert b"site-packages" not in data


def test_torch_itself_reads_the_pt2_file(exported: Path, photo: torch.Tensor):
    program = torch.export.load(exported / "model.pt2").module()
    distance = load_distance(PerceptionConfig(), CPU)
    for size in ((16, 16), (64, 40)):
        a, b = pair(photo, *size)
        torch.testing.assert_close(program(a, b), distance.tile_map(a, b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("normalization", ["divisive", "none"])
def test_the_maps_mean_is_the_distance_without_extras(
    normalization: str, tmp_path: Path, photo: torch.Tensor
):
    path = tmp_path / "model.pt2"
    options = ["weights=null", f"normalization={normalization}", "scaled_l2=0.2", "cpu_scale=1"]
    assert main(["export", "--pt2", str(path), *(f"--perception.{option}" for option in options)]) == 0
    program = torch.export.load(path).module()
    a, b = pair(photo, 48, 32)
    settings = PerceptionConfig(weights=None, normalization=normalization, scaled_l2=0.2, cpu_scale=1.0)  # type: ignore[arg-type]
    torch.testing.assert_close(program(a, b).mean((1, 2)), load_distance(settings, CPU)(a, b))


def test_one_weights_digest_is_not_anothers(photo: torch.Tensor):
    default, equal, other, whole = (
        load_distance(settings, CPU)
        for settings in (
            PerceptionConfig(),
            PerceptionConfig(),
            PerceptionConfig(weights=None),
            PerceptionConfig(cpu_scale=1.0),
        )
    )
    assert default.digest == equal.digest
    assert len({default.digest, other.digest, whole.digest}) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--onnx or --pt2"),
        (["--onnx", "model.pt2"], r"model\.pt2.*\.onnx"),
        (["--pt2", "nowhere/model.pt2"], "nowhere"),
        (["--pt2", "model.pt2", "--perceptual-weights", "missing.safetensors"], "missing"),
        (["--pt2", "model.pt2", "--config", "no.yaml"], "perception"),
    ],
)
def test_wrong_usage(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    Path("no.yaml").write_text("perception: null\n")
    assert main(["export", *words]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not Path("model.pt2").exists()


def test_what_torch_unpickles_is_not_unpickled_here(
    exported: Path, tmp_path: Path, photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
):
    mark = tmp_path / "mark"
    samples = io.BytesIO()
    torch.save((Payload(mark),), samples)
    parts = members(exported / "model.pt2") | {SAMPLES: samples.getvalue()}
    path = write(tmp_path / "model.pt2", parts)
    model = load_model(path, PerceptionConfig(), CPU)
    assert not mark.exists()
    a, b = pair(photo, 40, 64)
    assert model(a, b).item() == pytest.approx(load_distance(PerceptionConfig(), CPU)(a, b).item(), rel=1e-5)
    monkeypatch.setattr(logging.getLogger("torch._export.serde.serialize"), "disabled", True)
    torch.export.load(path)
    assert mark.exists(), "torch has become safe: is the screening still needed?"


def test_what_torch_evaluates_is_not_evaluated_here(exported: Path, tmp_path: Path):
    mark = tmp_path / "mark"
    parts = members(exported / "model.pt2")
    program = json.loads(parts[PROGRAM])
    program["guards_code"] = [f"__import__('pathlib').Path({str(mark)!r}).touch() or True"]
    path = write(tmp_path / "model.pt2", parts | {PROGRAM: json.dumps(program).encode()})
    pixels = torch.zeros(1, 3, 16, 16)
    load_model(path, PerceptionConfig(), CPU)(pixels, pixels)
    assert not mark.exists()


def replaced(name: str, old: str, new: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def change(parts: dict[str, bytes]) -> dict[str, bytes]:
        text = parts[name].decode()
        assert old in text
        return parts | {name: text.replace(old, new, 1).encode()}

    return change


def added(name: str, data: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda parts: parts | {name: data}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (added(ROOT + "data.pkl", b"\x80\x02."), r"data\.pkl"),
        (added(ROOT + "data/weights/model.pt", b"\x80\x02."), r"model\.pt"),
        (added(ROOT + "data/constants/custom_obj_0", b"\x80\x02."), "custom_obj_0"),
        (added(ROOT + "data/aotinductor/model/lib.so", b"\x7fELF"), "aotinductor"),
        (added(ROOT + "data/weights/weight_0", b""), "weight_0"),
        (added(ROOT + "data/weights/weight_0", b"abcd"), "cannot load"),
        (added(ROOT + "extra/imgcompress", b"{}"), "format 1"),
        (added(ROOT + "extra/imgcompress", b"{"), "malformed"),
        (added(PROGRAM, b"[" * 100_000), "cannot load"),
        (added(PROGRAM, b"{}"), "cannot load"),
        (replaced(TABLE, '"use_pickle": false', '"use_pickle": true'), "unpickled"),
        (replaced(TABLE, '"path_name": "weight_0"', '"path_name": "../../x"'), "unpickled"),
        (replaced(PROGRAM, "Integer(", "__import__('os').abort("), "expr_str"),
        (replaced(PROGRAM, "Integer(", "9**9**9**9*Integer("), "expr_str"),
        (replaced(PROGRAM, '"8*s', '"9**9**9**9*s'), r"9\*\*9"),
        (replaced(PROGRAM, "torch.ops.aten.rsqrt.default", "torch.hub.load"), "hub"),
        (replaced(PROGRAM, "torch.ops.aten.rsqrt.default", "torch.ops.aten.from_file.default"), "from_file"),
        (replaced(PROGRAM, '"as_ints"', '"as_operator"'), "as_operator"),
        (replaced(PROGRAM, "builtins.dict", "builtins.list"), "in_spec"),
    ],
)
def test_a_pt2_file_with_something_else_in_it(
    change: Callable[[dict[str, bytes]], dict[str, bytes]], message: str, exported: Path, tmp_path: Path
):
    path = write(tmp_path / "odd.pt2", change(members(exported / "model.pt2")))
    with pytest.raises(UsageError, match=rf"odd\.pt2.*{message}"):
        load_model(path, PerceptionConfig(), CPU)


@pytest.mark.parametrize("suffix", [".pt2", ".onnx", ".safetensors"])
@pytest.mark.parametrize("kind", ["empty", "words", "pickle", "torch", "cut", "missing", "folder", "huge"])
def test_a_file_that_is_no_model(kind: str, suffix: str, exported: Path, tmp_path: Path):
    path, mark = tmp_path / f"odd{suffix}", tmp_path / "mark"
    contents = {"empty": b"", "words": b"words" * 99, "pickle": pickle.dumps(Payload(mark))}
    if kind in contents:
        path.write_bytes(contents[kind])
    elif kind == "torch":
        torch.save({"weights": torch.zeros(9), "payload": Payload(mark)}, path)
    elif kind == "cut":
        whole = exported / "model.pt2" if suffix != ".onnx" else exported / "model.onnx"
        path.write_bytes(whole.read_bytes()[:20_000_000])
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 33)
    with pytest.raises(UsageError, match=rf"odd\{suffix}"):
        load_model(path, PerceptionConfig(), CPU)
    assert not mark.exists()


def test_what_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model_file, "LARGEST_FILE", 1 << 20)
    path = write(tmp_path / "odd.pt2", {PROGRAM: b"0" * (2 << 20)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UsageError, match=r"odd\.pt2.*unpacks to more"):
        load_model(path, PerceptionConfig(), CPU)


def test_the_name_says_what_a_file_is(tmp_path: Path):
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(UsageError, match=r"model\.pth.*\.onnx"):
        load_model(tmp_path / "model.pth", PerceptionConfig(), CPU)


def test_a_safetensors_file_brings_weights_for_the_trunk(tmp_path: Path):
    model = load_model(default_weights(), PerceptionConfig(), CPU)
    assert isinstance(model, PerceptualDistance)
    assert model.digest == load_distance(PerceptionConfig(), CPU).digest
