import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from imgcompress.config import Config, PerceptionConfig
from imgcompress.serve.app import build_app
from imgcompress.serve.compressors import Compressors
from imgcompress.serve.metrics import Metrics
from imgcompress.serve.model_store import ModelStore
from imgcompress.serve.options import ServeOptions
from tests.serve.fakes import QUICK, FakeCompressor

Start = Callable[..., TestClient]


@pytest.fixture(scope="session")
def models() -> ModelStore:
    return ModelStore(None, PerceptionConfig(), torch.device("cpu"))


@pytest.fixture
def fake(models: ModelStore) -> Iterator[FakeCompressor]:
    compressor = FakeCompressor(models)
    yield compressor
    compressor.go.set()


@pytest.fixture
def start(fake: FakeCompressor, models: ModelStore, tmp_path: Path) -> Iterator[Start]:
    """Starts a service around the fake compressor (``real=True``: around ours)."""
    with ExitStack() as stack:

        def begin(
            *, real: bool = False, config: Config = QUICK, token: str | None = None, **options: Any
        ) -> TestClient:
            compressors = Compressors(models) if real else fake.compressors
            made = ServeOptions(cache=str(tmp_path / "cache"), **options)
            app = build_app(config, made, compressors, Metrics(), token)
            # An exception that is raised through the application would end a server's connection.
            return stack.enter_context(TestClient(app))

        yield begin


@pytest.fixture
def photo_png(photo: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo[:, 100:132, 150:198].permute(1, 2, 0).contiguous().numpy()).save(buffer, "PNG")
    return buffer.getvalue()
