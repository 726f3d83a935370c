"""The settings files of the ablations."""

from dataclasses import fields
from pathlib import Path

import pytest

from imgcompress.config import Config, load_config
from imgcompress.resources import resource_path

BALANCED = load_config(resource_path("configs/presets/balanced.yaml"))
FILES = sorted(resource_path("configs/ablations").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_ablation_differs_from_balanced_in_one_place_and_says_which(path: Path) -> None:
    config = load_config(path)
    # Ablations are about JPEG: they do not repeat what the preset says of other formats.
    names = [f.name for f in fields(Config) if f.name not in ("webp", "avif")]
    different = [name for name in names if getattr(config, name) != getattr(BALANCED, name)]
    assert len(different) == 1
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# balanced with")


def test_no_two_ablations_are_the_same_and_no_name_is_a_presets() -> None:
    configs = [load_config(path) for path in FILES]
    assert len(configs) == len({config.to_yaml() for config in configs}) >= 10
    presets = {path.stem for path in resource_path("configs/presets").glob("*.yaml")}
    assert not presets & {path.stem for path in FILES}
