"""Every encoder behind one call; what identifies its output is part of the cache's key.

All files get the best scans of the same lossless optimizer, so that quantization alone is compared.
"""

import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import mozjpeg_lossless_optimization
import numpy as np
import yaml
from PIL import Image

import imgcompress
from imgcompress.config import Config, load_config
from imgcompress.errors import Reason
from rd.cache import Encoded, source_digest
from rd.perception import weights_sha256
from rd.pictures import Pixels

LIBJPEG, MOZJPEG, JPEGLI, JPEGLI_444 = "libjpeg-turbo", "mozjpeg", "jpegli", "jpegli-444"
_PACKAGES = {LIBJPEG: "pillow", MOZJPEG: "pyvips-binary", JPEGLI: "ajpegli", JPEGLI_444: "ajpegli"}


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder by name; picklable, so that worker processes build their own.

    Attributes:
        name: in tables.
        identity: versions and settings; files are made again when they change.
        config: our settings; None for a peer.
    """

    name: str
    identity: Mapping[str, Any]
    config: Config | None = field(default=None, compare=False)

    @property
    def ours(self) -> bool:
        """Whether it is this project's."""
        return self.config is not None

    def build(self) -> Callable[[Pixels, int], Encoded]:
        """The function that encodes RGB pixels at a quality from 1 to 100."""
        if self.config is not None:
            return _Ours(self.config)
        return lambda pixels, quality: _timed(_PEERS[self.name], pixels, quality)


def peer_specs() -> list[EncoderSpec]:
    """The three peers at 4:2:0, and jpegli at 4:4:4."""
    return [_peer_spec(name) for name in _PACKAGES]


def installed_peers() -> tuple[list[EncoderSpec], list[str]]:
    """Those of the peers that can run here, and a sentence for each that cannot."""
    found, missing = [], []
    for name, package in _PACKAGES.items():
        try:
            found.append(_peer_spec(name))
        except PackageNotFoundError:
            missing.append(f"{name}: the package {package} is not installed")
    return found, missing


def _peer_spec(name: str) -> EncoderSpec:
    scans = version("mozjpeg-lossless-optimization")
    return EncoderSpec(name, {"encoder": name, "version": version(_PACKAGES[name]), "scans": scans})


def our_spec(path: Path, device: Literal["cpu", "cuda"], target: str | None = None) -> EncoderSpec:
    """This project's encoder with the settings of a YAML file, named after it.

    Args:
        path: what ``--config`` takes. Without a target its quality is replaced point by point, and chroma
            is halved as the peers' is, unless the file says otherwise.
        device: "cpu" or "cuda".
        target: what the tool's own search is to hit; None encodes once at a quality.

    Raises:
        UsageError: the file is wrong.
    """
    # One picture, one thread and one encode at a time; the benchmark judges quality itself.
    config = replace(load_config(path), device=device, batch_size=1, jobs=1, verify="decode", target=target)
    if target is None:
        subsampling = "420" if config.subsampling == "auto" else config.subsampling
        config = replace(config, max_encodes=1, subsampling=subsampling)
    elif config.max_encodes == 1:
        config = replace(config, max_encodes=Config.max_encodes)
    settings = yaml.safe_load(config.to_yaml())
    del settings["quality"]
    identity = {
        "encoder": "imgcompress",
        "source": source_digest(Path(imgcompress.__file__).parent),
        "torch": version("torch"),
        "scans": version("mozjpeg-lossless-optimization"),
        "settings": settings,
    }
    # Results are only decoded and targets are SSIMULACRA2: nothing but the loop may look at the distance.
    if config.objective.vgg > 0:
        identity["perceptual_weights"] = weights_sha256(config.perception)
    return EncoderSpec(f"ours: {path.stem}", identity, config)


def _timed(encode: Callable[[Pixels, int], bytes], pixels: Pixels, quality: int) -> Encoded:
    started = time.perf_counter()
    data = encode(pixels, quality)
    packed: bytes = mozjpeg_lossless_optimization.optimize(data)
    return Encoded(min(data, packed, key=len), time.perf_counter() - started)


def _libjpeg_turbo(pixels: Pixels, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(
        buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=True, progressive=True
    )
    return buffer.getvalue()


def _mozjpeg(pixels: Pixels, quality: int) -> bytes:
    import pyvips

    data: bytes = pyvips.Image.new_from_array(pixels).jpegsave_buffer(
        Q=quality,
        subsample_mode="on",
        trellis_quant=True,
        overshoot_deringing=True,
        optimize_scans=True,
        optimize_coding=True,
        interlace=True,
        quant_table=3,
        keep="none",
    )
    return data


def _jpegli(subsampling: str) -> Callable[[Pixels, int], bytes]:
    def encode(pixels: Pixels, quality: int) -> bytes:
        import ajpegli

        data: bytes = ajpegli.encode(
            np.ascontiguousarray(pixels), quality=quality, subsampling=subsampling, progressive=2
        )
        return data

    return encode


_PEERS = {
    LIBJPEG: _libjpeg_turbo,
    MOZJPEG: _mozjpeg,
    JPEGLI: _jpegli("420"),
    JPEGLI_444: _jpegli("444"),
}


class _Ours:
    """The whole path of the tool but the reading: tensor stages, scans, opening the result again."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pool = ThreadPoolExecutor(1)
        # The first call in a process pays for the libraries' own start.
        self(np.zeros((16, 16, 3), dtype=np.uint8), 50)

    def __call__(self, pixels: Pixels, quality: int) -> Encoded:
        from imgcompress.compressor import Compressor, Source
        from imgcompress.image.read import read_picture
        from imgcompress.records import Status

        png = io.BytesIO()
        # Stored without compression: a source smaller than the result would be kept as it is.
        Image.fromarray(pixels).save(png, "PNG", compress_level=0)
        source = Source(png.getvalue(), read_picture(png.getvalue()))
        compressor = Compressor(replace(self._config, quality=quality))
        started = time.perf_counter()
        outcome = compressor.compress([source], self._pool)[0]
        seconds = time.perf_counter() - started
        if outcome.reason is Reason.TARGET_UNREACHABLE:
            return Encoded(b"", seconds, outcome.settings["encodes"])
        if outcome.status is not Status.RECOMPRESSED or outcome.data is None:
            raise RuntimeError(f"not encoded: {outcome.reason}, {outcome.error}")
        return Encoded(outcome.data, seconds, outcome.settings["encodes"])
