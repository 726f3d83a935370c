import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from imgcompress.config import PerceptionConfig
from imgcompress.errors import UsageError
from imgcompress.perception.distance import PerceptualDistance, load_distance
from imgcompress.perception.vgg import TAP_CHANNELS, load_trunk
from imgcompress.perception.weights import FittedWeights, file_sha256, load_weights, save_weights
from imgcompress.resources import default_trunk

CPU = torch.device("cpu")


def fitted(**changes: Any) -> FittedWeights:
    generator = torch.Generator().manual_seed(4)
    first, second, third = (torch.randn(channels, generator=generator) for channels in TAP_CHANNELS)
    return replace(FittedWeights("divisive", (0.2, 0.3, 0.5), (first, second, third)), **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "fitted.safetensors"
    save_weights(path, fitted(), default_trunk())
    return path


def about(**changes: Any) -> dict[str, str]:
    values = {"format": 1, "normalization": "unit", "trunk_sha256": file_sha256(default_trunk())}
    return {"imgcompress": json.dumps(values | changes)}


@pytest.mark.parametrize(
    "scalars",
    [
        {"scaled_l2": 0.0, "pooling": 1.0, "ssimulacra2": 0.0},
        {"scaled_l2": 0.1, "pooling": 1.3, "ssimulacra2": 0.4},
    ],
)
def test_what_is_written_is_read_back(scalars: dict[str, float], path: Path):
    weights = fitted(**scalars)
    save_weights(path, weights, default_trunk())
    found = load_weights(path, default_trunk())
    assert (found.normalization, found.layer_weights) == ("divisive", (0.2, 0.3, 0.5))
    assert {name: getattr(found, name) for name in scalars} == scalars
    for logits, expected in zip(found.channel_logits, weights.channel_logits, strict=True):
        assert torch.equal(logits, expected)
    assert path.stat().st_size < 1_000_000


def test_equal_weights_are_equal_files(path: Path):
    before = path.read_bytes()
    for _ in range(10):
        save_weights(path, fitted(), default_trunk())
        assert path.read_bytes() == before


def test_the_distance_uses_them(path: Path):
    save_weights(path, fitted(scaled_l2=0.2, pooling=2.0, ssimulacra2=0.4), default_trunk())
    settings = PerceptionConfig(weights=str(path))
    a, b = torch.rand(2, 1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    expected = PerceptualDistance(
        load_trunk(default_trunk()),
        (0.2, 0.3, 0.5),
        fitted().channel_logits,
        normalization="divisive",
        scaled_l2=0.2,
        pooling=2.0,
        ssimulacra2=0.4,
        scale=0.5,
    )
    assert torch.equal(load_distance(settings, CPU)(a, b), expected(a, b))


def test_another_trunk_is_refused(path: Path, tmp_path: Path):
    other = tmp_path / "other_trunk.safetensors"
    save_file({name: weight + 0 for name, weight in load_file(default_trunk()).items()}, other, {"a": "b"})
    settings = PerceptionConfig(weights=str(path), trunk=str(other))
    with pytest.raises(UsageError, match=r"fitted\.safetensors.*other_trunk\.safetensors"):
        load_distance(settings, CPU)


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({}, None, "format 1"),
        ({}, {"imgcompress": "{"}, "Expecting"),
        ({}, {"imgcompress": "[]"}, "format 1"),
        ({}, about(format=2), "format 1"),
        ({}, about(normalization="l2"), "format 1"),
        ({}, about(trunk_sha256="0"), "sha256 0"),
        ({"channel_logits.1": torch.zeros(255)}, about(), r"channel_logits\.1 \(255,\)"),
        ({"channel_logits.3": torch.zeros(9)}, about(), r"channel_logits\.3"),
        ({"pooling": torch.ones(2)}, about(), r"pooling \(2,\)"),
        ({"channel_logits.2": torch.full((512,), torch.nan)}, about(), "channel_logits"),
        ({"layer_weights": torch.tensor([1.0, -1.0, 1.0])}, about(), "layer_weights"),
        ({"layer_weights": torch.tensor([1.0, torch.nan, 1.0])}, about(), "layer_weights"),
        ({"pooling": torch.tensor(0.5)}, about(), "pooling"),
        ({"ssimulacra2": torch.tensor(1.0)}, about(), "ssimulacra2"),
        ({"scaled_l2": torch.tensor(1.0)}, about(), "scaled_l2"),
    ],
)
def test_a_file_of_something_else_is_refused(
    tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None, message: str, path: Path
):
    save_file(load_file(path) | tensors, path, metadata)
    with pytest.raises(UsageError, match=rf"fitted\.safetensors.*{message}"):
        load_weights(path, default_trunk())


@pytest.mark.parametrize("content", [None, b"", b"words" * 99])
def test_a_file_that_cannot_be_read(content: bytes | None, tmp_path: Path):
    path = tmp_path / "broken.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"broken\.safetensors"):
        load_weights(path, default_trunk())


def test_a_place_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(UsageError, match="nowhere"):
        save_weights(tmp_path / "nowhere" / "fitted.safetensors", fitted(), default_trunk())


@pytest.mark.parametrize(
    "changes",
    [{"layer_weights": (0.0, 0.0, 0.0)}, {"scaled_l2": -0.1}, {"pooling": 0.5}, {"ssimulacra2": 1.0}],
)
def test_weights_out_of_range_are_none(changes: dict[str, Any]):
    with pytest.raises(UsageError, match=next(iter(changes))):
        fitted(**changes)
