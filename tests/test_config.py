from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from imgcompress.config import Config, PerceptionConfig, load_config, refuse_nulls
from imgcompress.errors import UsageError
from imgcompress.resources import resource_path

DEFAULTS = resource_path("configs/default.yaml")


def load(folder: Path, text: str | bytes) -> Config:
    path = folder / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path)


def keys(settings: dict[str, object], prefix: str = "") -> list[str]:
    return [
        key
        for name, value in settings.items()
        for key in (keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name])
    ]


def test_the_file_of_defaults_holds_exactly_the_settings() -> None:
    assert load_config(DEFAULTS) == Config()
    written = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    assert keys(written) == keys(yaml.safe_load(Config().to_yaml()))


def test_every_line_of_the_file_of_defaults_that_sets_something_says_what() -> None:
    for line in DEFAULTS.read_text(encoding="utf-8").splitlines():
        is_section = line.endswith(":")
        assert is_section or not line or "# " in line


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    config = load(tmp_path, "quality: 31\nsubsampling: '422'\nattention:\n  scale_weights: [0, 1, 3]\n")
    assert (config.quality, config.subsampling) == (31, "422")
    assert config.attention.scale_weights == (0, 1, 3)
    assert config.limits == Config().limits
    assert load(tmp_path, config.to_yaml()) == config


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("qualty: 50", "qualty"),
        ("limits:\n  max_megapixel: 3", "max_megapixel"),
        ("quality: fine", "quality"),
        ("quality: 75.5", "quality"),
        ("quality: true", "quality"),
        ("quality: null", "quality"),
        ("quality: 0", "quality"),
        ("quality: 101", "quality"),
        ("subsampling: '411'", "subsampling"),
        ("subsampling: 420", "subsampling"),
        ("device: tpu", "device"),
        ("device: null", "device"),
        ("batch_size: 0", "batch_size"),
        ("jobs: -1", "jobs"),
        ("target: 80", "target"),
        ("tolerance: 0", "tolerance"),
        ("tolerance: .nan", "tolerance"),
        ("max_encodes: 0", "max_encodes"),
        ("max_encodes: null", "max_encodes"),
        ("max_bytes: 0", "max_bytes"),
        ("max_bytes: 1.5", "max_bytes"),
        ("min_score: 101", "min_score"),
        ("min_score: .nan", "min_score"),
        ("min_savings: 100", "min_savings"),
        ("min_savings: .nan", "min_savings"),
        ("loop:\n  rounds: -1", "loop.rounds"),
        ("loop:\n  shift: 1.5", "loop.shift"),
        ("loop:\n  luma_lambda: -1", "loop.luma_lambda"),
        ("loop:\n  chroma_lambda: .inf", "loop.chroma_lambda"),
        ("objective:\n  ssimulacra2: 0\n  masked_contrast: 0\n  cvvdp: 0", "objective"),
        ("objective:\n  vgg: -1", "objective"),
        ("strip: everything", "strip"),
        ("verify: psnr", "verify"),
        ("limits: 3", "limits"),
        ("limits: null", "limits"),
        ("limits:\n  max_megapixels: 0", "limits.max_megapixels"),
        ("limits:\n  batch_megapixels: .inf", "limits.batch_megapixels"),
        ("limits:\n  in_flight_megapixels: .nan", "limits.in_flight_megapixels"),
        ("jpeg:\n  progressive: maybe", "jpeg.progressive"),
        ("mark: null", "mark"),
        ("quantization:\n  tables: mozjpeg", "quantization.tables"),
        ("quantization:\n  dead_zone_threshold: 0.4", "quantization.dead_zone_threshold"),
        ("quantization:\n  dead_zone_slope: -1", "quantization.dead_zone_slope"),
        ("attention:\n  strength: .inf", "attention.strength"),
        ("attention:\n  scale_weights: [1, 2]", "attention.scale_weights"),
        ("attention:\n  scale_weights: [1, 2, -1]", "attention.scale_weights"),
        ("attention:\n  scale_weights: [1, 2, .inf]", "attention.scale_weights"),
        ("perception:\n  layer_weights: [0, 0, 0]", "perception.layer_weights"),
        ("perception:\n  cpu_scale: 0.3", "perception.cpu_scale"),
        ("perception:\n  tile_megapixels: 9", "perception.tile_megapixels"),
        ("perception:\n  trunk: 5", "perception.trunk"),
        ("perception:\n  weights: 5", "perception.weights"),
        ("perception:\n  normalization: l2", "perception.normalization"),
        ("perception:\n  normalization: null", "perception.normalization"),
        ("perception:\n  scaled_l2: 1", "perception.scaled_l2"),
        ("perception:\n  scaled_l2: 0.1", "perception.scaled_l2"),
        ("perception:\n  weights: mine.safetensors\n  pooling: 2", "perception.pooling"),
        ("perception:\n  weights: null\n  ssimulacra2: 1", "perception.ssimulacra2"),
        ("perception:\n  scaled_l2: -0.1", "perception.scaled_l2"),
        ("perception:\n  pooling: 0.9", "perception.pooling"),
        ("perception:\n  pooling: .inf", "perception.pooling"),
        ("perception:\n  pooling: .nan", "perception.pooling"),
        ("verification:\n  min_ssim: 1.1", "verification.min_ssim"),
        ("verification:\n  max_vgg: 0", "verification.max_vgg"),
    ],
)
def test_an_error_names_the_file_and_the_key(text: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "settings.yaml" in message and key.rpartition(".")[2] in message


@pytest.mark.parametrize("text", ["- a\n", "just words", "quality: [", b"\xff\xfe\0"])
def test_a_file_that_holds_no_settings(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"settings\.yaml"):
        load(tmp_path, text)


@pytest.mark.parametrize(("name", "normalization"), [("document", "none"), ("unit", "unit")])
def test_the_named_forms_of_the_distance(name: str, normalization: str) -> None:
    config = load_config(resource_path(f"configs/perception/{name}.yaml"))
    expected = PerceptionConfig(
        weights=None,
        normalization=normalization,
        layer_weights=(0.3, 0.5, 0.2),
        scaled_l2=0.0,
        pooling=1.0,
        ssimulacra2=0.0,
    )
    assert config == Config(perception=expected)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.yaml"):
        load_config(tmp_path / "nothing.yaml")


def test_the_defaults_are_no_nulls_but_where_null_means_something() -> None:
    refuse_nulls(Config())
    without = [item.name for item in fields(Config) if getattr(Config(), item.name) is None]
    sections = [getattr(Config(), item.name) for item in fields(Config) if is_dataclass(item.type)]
    without += [item.name for section in sections for item in fields(section)
                if getattr(section, item.name) is None]  # fmt: skip
    assert without == ["target", "tolerance", "max_bytes", "min_score", "max_pixels", "skip_below", "trunk"]


def test_threads() -> None:
    assert Config(jobs=3).threads == 3
    assert Config().threads >= 1
