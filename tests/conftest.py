"""Fixtures that every test may use, and the shape checker that runs under all of them."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import install_import_hook

# Shapes and types are checked at run time in tests only; the hook must be in place before the first import.
install_import_hook("imgcompress", "beartype.beartype")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from skimage import data  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SHARED = Path(__file__).resolve().parents[2] / "shared"

# With the wheel alone there are no benchmarks and no training to test.
_ROOT = Path(__file__).resolve().parents[1]
collect_ignore = [folder for folder in ("scripts", "train") if not (_ROOT / folder).is_dir()]


def pytest_configure() -> None:
    torch.set_num_threads(1)  # the test runner already has a process a core
    settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
    settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir() or os.environ.get("CI"):
        return  # under CI its absence must show: the fixture below fails
    for item in items:
        if "shared" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="../shared is not here"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and hostile files beside the repository."""
    if not SHARED.is_dir():
        pytest.fail("../shared is missing")
    return SHARED


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device there is: CUDA is skipped where it is absent, unless REQUIRE_CUDA=1."""
    if request.param == "cuda" and not torch.cuda.is_available():
        if os.environ.get("REQUIRE_CUDA") == "1":
            pytest.fail("REQUIRE_CUDA=1, but there is no CUDA device")
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture(scope="session")
def photo() -> torch.Tensor:
    """A real photograph, uint8 (3, 400, 600)."""
    return torch.from_numpy(data.coffee()).permute(2, 0, 1).contiguous()


# Not for the session: Playwright keeps an event loop in this thread, which tests with their own would find.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium, or any of its kin, driven by Playwright."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("REQUIRE_BROWSER=1, but there is no chromium")
        pytest.skip("no chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its sandbox refuses to run as root, as which containers run tests.
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def tiny_onnx() -> Callable[..., bytes]:
    """Makes perceptual models of a few hundred bytes: squared differences times a gain."""
    return _tiny_onnx


def _tiny_onnx(gain: float = 20.0, inputs: Sequence[str] = ("a", "b"), **facts: object) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    def tensor(name: str, *values: float, dtype: type = np.float32) -> Any:
        return numpy_helper.from_array(np.array(values, dtype), name)

    def shape(name: str, *dimensions: str | int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions)

    pool = {"kernel_shape": [8, 8], "strides": [8, 8]}
    nodes = [
        helper.make_node("Sub", list(inputs), ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axis"], ["mean"]),
        helper.make_node("AveragePool", ["mean"], ["pooled"], **pool),
        helper.make_node("Squeeze", ["pooled", "axis"], ["blocks"]),
        helper.make_node("Mul", ["blocks", "gain"], ["map"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [shape(name, "batch", 3, "height", "width") for name in inputs],
        [shape("map", "batch", "down", "across")],
        [tensor("axis", 1, dtype=np.int64), tensor("gain", gain)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    about: dict[str, object] = {
        "format": 1, "scale": 1.0, "overlap": 8, "pooling": 1.0, "ssimulacra2": 0.0, "normalization": "none",
        "layer_weights": (1.0, 0.0, 0.0), "scaled_l2": 0.0, "trunk_sha256": "",
    }  # fmt: skip
    helper.set_model_props(model, {"imgcompress": json.dumps(about | facts)})
    return bytes(model.SerializeToString())
