"""The perceptual model, exported once for all tests."""

from pathlib import Path

import pytest

from imgcompress.cli.program import main


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx and model.pt2 of the default distance."""
    folder = tmp_path_factory.mktemp("exported")
    assert main(["export", "--onnx", str(folder / "model.onnx"), "--pt2", str(folder / "model.pt2")]) == 0
    return folder
