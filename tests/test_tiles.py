"""Large pictures: the files are those of one piece, and the memory is that of a tile."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.config import Config, LimitsConfig, LoopConfig
from imgcompress.image import strips
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture
from imgcompress.layout import choose_layout
from imgcompress.perception import tiles
from imgcompress.search import TargetEncoder

CPU = torch.device("cpu")
# Prints MB by which the peak grows while one picture is compressed; another one has warmed up before.
GROWTH = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from imgcompress.compressor import Compressor, Source
from imgcompress.config import Config, LimitsConfig
from imgcompress.image.read import read_picture

def status(key):
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) / 1024

torch.set_num_threads(1)
small, large, megapixels = sys.argv[1:]
limits = LimitsConfig(tile_megapixels=float(megapixels))
compressor = Compressor(Config(device="cpu", max_encodes=1, verify="ssim", limits=limits))
with ThreadPoolExecutor(1) as pool:
    for name in (small, large):
        base, data = status("VmRSS"), Path(name).read_bytes()
        (outcome,) = compressor.compress([Source(data, read_picture(data))], pool)
        assert outcome.data is not None, outcome
print(status("VmHWM") - base)
"""


def as_jpeg(pixels: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=95, subsampling="4:2:2")
    return buffer.getvalue()


def encode(sources: list[Picture], **settings: object) -> list[bytes]:
    config = Config(max_encodes=2, loop=LoopConfig(rounds=2, shift=0.1), **settings)
    encoder = TargetEncoder(config, CPU)
    (layout,) = {choose_layout(picture, "auto", 70.0) for picture in sources}
    return [encoded.data for encoded in encoder.encode(sources, layout, [b""] * len(sources))]


@pytest.mark.parametrize("source", ["jpeg", "rgb", "gray", "two"])
def test_files_are_those_of_one_piece(
    source: str, photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # White and black, clipped, for the overshoot; no side is a whole number of blocks.
    pixels = (photo[:, :213, :309].int() * 2 - 128).clamp(0, 255).to(torch.uint8).contiguous()
    pictures = {
        "jpeg": [read_picture(as_jpeg(pixels))],
        "rgb": [Picture(pixels, "png")],
        "gray": [Picture(pixels[:1], "png")],
        "two": [Picture(pixels, "png"), Picture(pixels.flip(2), "png")],
    }[source]
    whole = encode(pictures)
    monkeypatch.setattr(strips, "BLOCK_PIXELS", 20_000)
    monkeypatch.setattr(tiles, "TILE_PIXELS", 10_000)
    tiled = encode(pictures, limits=LimitsConfig(tile_megapixels=0.01))
    # Sums in another order differ by 1e-7; so small a picture has no coefficient that near to a tie.
    assert tiled == whole


def test_tiles_belong_to_what_decides_about_bytes() -> None:
    small, large = (Config(limits=LimitsConfig(tile_megapixels=size)) for size in (1.0, 9.0))
    assert small.digest() != large.digest()
    assert Config(limits=LimitsConfig(batch_megapixels=9.0)).digest() == Config().digest()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, (height, width) in {"small": (64, 64), "large": (1200, 1600)}.items():
        coarse = generator.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(
            tmp_path / f"{name}.png"
        )
    command = [sys.executable, "-c", GROWTH, tmp_path / "small.png", tmp_path / "large.png", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # 1.9 megapixels: in tiles 275 MB, in one piece over 1000.
    assert float(done.stdout) < 500
