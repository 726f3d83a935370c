"""The same picture in fewer bytes, at a quality that is meant."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pillow_avif  # noqa: F401
import torch
from PIL import Image
from rd.pictures import Pixels
from rd.scores import as_tensor

from imgcompress.cli.parser import preset_path
from imgcompress.compressor import Compressor, Source
from imgcompress.config import load_config
from imgcompress.image.read import read_picture
from imgcompress.perception.ssimulacra2 import ssimulacra2

Encode = Callable[[Pixels, int], bytes]


def jpeg(subsampling: str) -> Encode:
    """libjpeg-turbo."""
    return lambda pixels, quality: _saved(pixels, "JPEG", quality=quality, subsampling=subsampling)


def webp(pixels: Pixels, quality: int) -> bytes:
    """libwebp."""
    return _saved(pixels, "WEBP", quality=quality)


def avif(pixels: Pixels, quality: int) -> bytes:
    """libavif with aom, at its fastest."""
    return _saved(pixels, "AVIF", quality=quality, speed=10, subsampling="4:4:4", max_threads=1)


def at_score(pixels: Pixels, encode: Encode, score: float) -> bytes:
    """The file of the lowest quality whose SSIMULACRA2 is at least this; of quality 100 if none is."""

    @torch.inference_mode()
    def reached(quality: int) -> bool:
        with Image.open(io.BytesIO(encode(pixels, quality))) as image:
            shown = np.array(image.convert("RGB"))
        return float(ssimulacra2(as_tensor(pixels), as_tensor(shown))) >= score

    low, high = 1, 100
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle + 1, high)
    return encode(pixels, low)


def ours(pixels: Pixels, score: float) -> bytes:
    """This tool's JPEG, preset fast, from this SSIMULACRA2 up to one more."""
    png = _saved(pixels, "PNG")
    with ThreadPoolExecutor(1) as pool:
        [outcome] = _compressor(score + 0.5).compress([Source(png, read_picture(png))], pool)
    if outcome.data is None or outcome.format != "jpeg":
        raise SystemExit(f"no JPEG of SSIMULACRA2 {score:g}: {outcome.reason}")
    return outcome.data


@cache
def _compressor(score: float) -> Compressor:
    fast = load_config(preset_path("fast"))
    return Compressor(
        replace(fast, target=f"ssimulacra2={score:g}", convert=True, device="cpu", verify="decode")
    )


def _saved(pixels: Pixels, form: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **settings)
    return buffer.getvalue()
