from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from imgcompress.config import PerceptionConfig
from imgcompress.errors import UsageError
from imgcompress.perception.distance import load_distance
from imgcompress.perception.model import PerceptualModel
from imgcompress.perception.model_file import load_model
from imgcompress.perception.onnx_model import OnnxDistance

CPU = torch.device("cpu")
MakeModel = Callable[..., bytes]


@pytest.fixture(scope="module", params=["model.onnx", "model.pt2"])
def model(request: pytest.FixtureRequest, exported: Path) -> PerceptualModel:
    return load_model(exported / request.param, PerceptionConfig(), CPU)


@pytest.fixture(scope="module")
def tiny(tiny_onnx: MakeModel) -> OnnxDistance:
    return OnnxDistance(tiny_onnx(), CPU, 1 << 20)


def crops(photo: torch.Tensor, batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    a = (
        torch.stack([photo[:, 9 * n : 9 * n + height, 7 * n : 7 * n + width] for n in range(batch)]).float()
        / 255
    )
    return a, (a + 0.05 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize(
    "shape", [(1, 256, 256), (2, 201, 133), (3, 57, 66), (1, 7, 9), (1, 1, 1), (2, 16, 390)]
)
def test_it_is_the_distance_that_was_exported(
    shape: tuple[int, int, int], model: PerceptualModel, photo: torch.Tensor
):
    a, b = crops(photo, *shape)
    with torch.no_grad():
        torch.testing.assert_close(
            model(a, b), load_distance(PerceptionConfig(), CPU)(a, b), rtol=1e-4, atol=1e-6
        )
        assert model(a, a).abs().max() < 1e-5


def test_large_pictures_go_through_it_in_tiles(exported: Path, photo: torch.Tensor):
    small = PerceptionConfig(tile_megapixels=0.04)
    tiled = load_model(exported / "model.onnx", small, CPU)
    a, b = crops(photo, 1, 390, 599)  # at half size 195x300: more than a tile
    with torch.no_grad():
        torch.testing.assert_close(tiled(a, b), load_distance(small, CPU)(a, b), rtol=1e-4, atol=1e-6)


def test_the_runtime_works_on_torchs_memory(tiny: OnnxDistance):
    a, b, result = torch.zeros(2, 3, 16, 24), torch.ones(2, 3, 16, 24), torch.full((2, 2, 3), -1.0)
    binding = tiny.bind(a, b, result)
    assert binding.get_outputs()[0].data_ptr() == result.data_ptr()
    tiny.run(binding)
    assert torch.equal(result, torch.full((2, 2, 3), 20.0))
    # What it reads is no copy from the time of the binding either.
    a.fill_(0.5)
    b[1].fill_(0.5)
    tiny.run(binding)
    assert torch.equal(result[0], torch.full((2, 3), 5.0))
    assert torch.equal(result[1], torch.zeros(2, 3))


def test_the_pictures_themselves_are_bound(tiny: OnnxDistance, monkeypatch: pytest.MonkeyPatch):
    from onnxruntime import OrtValue

    bound: list[tuple[int, int]] = []
    original = OrtValue.from_dlpack

    def spy(tensor: torch.Tensor) -> Any:
        value = original(tensor)
        bound.append((tensor.data_ptr(), value.data_ptr()))
        return value

    monkeypatch.setattr(OrtValue, "from_dlpack", spy)
    a, b = torch.rand(2, 2, 3, 32, 40, generator=torch.Generator().manual_seed(2))
    result = tiny.tile_map(a, b)
    pointers = [tensor.data_ptr() for tensor in (a, b, result)]
    assert bound == [(pointer, pointer) for pointer in pointers]
    expected = 20 * torch.nn.functional.avg_pool2d((a - b).square().mean(1), 8)
    torch.testing.assert_close(result, expected)


def test_other_layouts_and_gradients_do_no_harm(tiny: OnnxDistance):
    a, b = torch.rand(2, 1, 3, 48, 32, generator=torch.Generator().manual_seed(3))
    odd = a.to(memory_format=torch.channels_last).requires_grad_()
    assert torch.equal(tiny.tile_map(odd, b), tiny.tile_map(a, b))


def test_a_shape_that_does_not_fit_is_an_error(tiny: OnnxDistance):
    with pytest.raises(RuntimeError):
        tiny.run(tiny.bind(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16), torch.zeros(1, 5, 5)))


def with_external_weights(data: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    [gain] = [tensor for tensor in model.graph.initializer if tensor.name == "gain"]
    gain.ClearField("raw_data")
    gain.data_location = onnx.TensorProto.EXTERNAL
    entry = gain.external_data.add()
    entry.key, entry.value = "location", "/etc/hostname"
    return bytes(model.SerializeToString())


def with_a_loop(data: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    body = onnx.helper.make_graph([onnx.helper.make_node("Loop", [], ["x"])], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Custom", [], ["y"], body=body))
    return bytes(model.SerializeToString())


def with_another_domain(data: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    model.graph.node[0].domain = "com.example"
    return bytes(model.SerializeToString())


def without_facts(data: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    model.ClearField("metadata_props")
    return bytes(model.SerializeToString())


def of_whole_pixels(data: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    pool = model.graph.node[3]
    for attribute in pool.attribute:
        attribute.ints[:] = [1, 1]
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_external_weights, "outside of the file"),
        (with_a_loop, r"\.Loop"),
        (with_another_domain, r"com\.example\.Sub"),
        (without_facts, "format 1"),
        (of_whole_pixels, "cannot load the model: RuntimeError"),
        (lambda data: data[:200], "ONNX"),
    ],
)
def test_a_file_of_another_kind(
    change: Callable[[bytes], bytes], message: str, tiny_onnx: MakeModel, tmp_path: Path
):
    path = tmp_path / "odd.onnx"
    path.write_bytes(change(tiny_onnx()))
    with pytest.raises(UsageError, match=rf"odd\.onnx.*{message}"):
        load_model(path, PerceptionConfig(), CPU)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"inputs": ("a", "c")}, "float32 inputs a and b"),
        ({"format": 2}, "format 1"),
        ({"scale": 0.7}, "cpu_scale"),
        ({"scale": "1"}, "cpu_scale|malformed"),
        ({"overlap": 7}, "overlap"),
        ({"overlap": 4000}, "overlap"),
        ({"overlap": "8"}, "overlap|malformed"),
        ({"overlap": 8.0}, "overlap|malformed"),
        ({"pooling": 0.5}, "pooling"),
        ({"pooling": float("nan")}, "pooling"),
        ({"ssimulacra2": 1.0}, "ssimulacra2"),
        ({"layer_weights": 3}, "malformed"),
        ({"surplus": 3}, "surplus"),
    ],
)
def test_facts_that_cannot_be(facts: dict[str, Any], message: str, tiny_onnx: MakeModel, tmp_path: Path):
    path = tmp_path / "odd.onnx"
    path.write_bytes(tiny_onnx(**facts))
    with pytest.raises(UsageError, match=rf"odd\.onnx.*{message}"):
        load_model(path, PerceptionConfig(), CPU)
