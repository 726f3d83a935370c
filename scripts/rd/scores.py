"""The judges: full-reference scores of a decoded file, none of them taken from this project but VGG's."""

import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imgcompress.config import PerceptionConfig
from rd.perception import version_of
from rd.pictures import Pixels

SSIMULACRA2 = "ssimulacra2"
_MS_SSIM_SIDE = 161
"""Five scales under an 11-tap window."""


@dataclass(frozen=True)
class Metric:
    """A full-reference score.

    Attributes:
        name: in the CSV and in cache keys.
        title: in tables.
        version: of the program that computes it.
        measure: reference and result to the score as its authors print it; NaN for too small a picture.
        axis: that score to the axis of the BD-rate, where larger is better.
    """

    name: str
    title: str
    version: str
    measure: Callable[[Pixels, Pixels], float]
    axis: Callable[[float], float]


def metrics(vgg: bool) -> tuple[list[Metric], list[str]]:
    """The metrics that can run here, SSIMULACRA2 first, and a sentence for each that cannot."""
    missing = []
    found = [Metric(SSIMULACRA2, "SSIMULACRA2", _version("ssimulacra2"), _ssimulacra2, _same)]
    if shutil.which("butteraugli_main"):
        found.append(
            Metric("butteraugli", "butteraugli 3-norm", _butteraugli_version(), _butteraugli, _negative)
        )
    else:
        missing.append(
            "butteraugli: butteraugli_main is not here (Debian and Ubuntu: apt install libjxl-devtools)"
        )
    if cvvdp_version := _version("cvvdp"):
        found.append(Metric("cvvdp", "ColorVideoVDP", cvvdp_version, _cvvdp, _same))
    else:
        missing.append("ColorVideoVDP: the package cvvdp is not installed")
    found.append(Metric("ms_ssim", "MS-SSIM (dB)", _version("piq"), _ms_ssim, _decibel))
    found.append(Metric("psnr", "PSNR", "1", _psnr, _same))
    if vgg:
        found.append(Metric("vgg", "VGG distance", version_of(PerceptionConfig()), _vgg, _negative))
    return found, missing


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@cache
def _butteraugli_version() -> str:
    """The program prints none; its bytes stand for it."""
    from rd.cache import digest

    path = shutil.which("butteraugli_main")
    assert path is not None
    return digest(Path(path).resolve().read_bytes())


def _same(score: float) -> float:
    return score


def _negative(score: float) -> float:
    return -score


def _decibel(score: float) -> float:
    return -10.0 * math.log10(max(1e-10, 1.0 - score))


def _ssimulacra2(reference: Pixels, result: Pixels) -> float:
    from ssimulacra2 import compute_ssimulacra2

    # It opens what it is given with Pillow; uncompressed files in memory keep that cheap.
    files = []
    for pixels in (reference, result):
        files.append(BytesIO())
        Image.fromarray(pixels).save(files[-1], "PPM")
    return float(compute_ssimulacra2(*files))


def _butteraugli(reference: Pixels, result: Pixels) -> float:
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("reference.ppm", "result.ppm")]
        for path, pixels in zip(paths, (reference, result), strict=True):
            Image.fromarray(pixels).save(path)
        run = subprocess.run(
            ["butteraugli_main", *paths, "--pnorm", "3"], capture_output=True, text=True, check=True
        )
    match = re.search(r"3-norm: ([0-9.eE+-]+)", run.stdout)
    if match is None:
        raise RuntimeError(f"butteraugli_main printed no 3-norm: {run.stdout!r}")
    return float(match[1])


@cache
def _cvvdp_model() -> object:
    import pycvvdp

    return pycvvdp.cvvdp(display_name="standard_4k", device=torch.device("cpu"), quiet=True)


def _cvvdp(reference: Pixels, result: Pixels) -> float:
    model = _cvvdp_model()
    score, _ = model.predict(result, reference, dim_order="HWC")  # type: ignore[attr-defined]
    return float(score)


@torch.inference_mode()
def _ms_ssim(reference: Pixels, result: Pixels) -> float:
    from piq import multi_scale_ssim

    if min(reference.shape[:2]) < _MS_SSIM_SIDE:
        return math.nan
    return float(multi_scale_ssim(as_tensor(result), as_tensor(reference), data_range=1.0))


def _psnr(reference: Pixels, result: Pixels) -> float:
    error = float(np.mean((reference.astype(np.float64) - result) ** 2))
    return 10.0 * math.log10(255.0**2 / max(error, 1e-10))


@cache
def _vgg_distance() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    from imgcompress.perception.distance import load_distance

    return load_distance(PerceptionConfig(), torch.device("cpu"))


@torch.inference_mode()
def _vgg(reference: Pixels, result: Pixels) -> float:
    return float(_vgg_distance()(as_tensor(reference), as_tensor(result)))


def as_tensor(pixels: Pixels) -> torch.Tensor:
    """RGB pixels as the tensor stages take them: ``[1, 3, height, width]``, 0..1."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255.0
