from pathlib import Path

import pytest

from imgcompress import resources
from imgcompress.errors import UsageError


def test_the_repository_holds_the_trunk():
    path = resources.default_trunk()
    assert path.is_file()
    assert path.name == "vgg16_conv4_3.safetensors"


@pytest.mark.parametrize("inside", [True, False])
def test_both_layouts_are_found(inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "imgcompress"
    home = package if inside else tmp_path
    (home / "configs").mkdir(parents=True)
    package.mkdir(exist_ok=True)
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.resource_path("configs") == home / "configs"


def test_the_wheel_wins_over_a_strangers_folder_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "imgcompress"
    (package / "configs").mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.resource_path("configs") == package / "configs"


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "imgcompress")
    with pytest.raises(UsageError, match="vgg16_conv4_3"):
        resources.default_trunk()
