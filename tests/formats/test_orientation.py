"""What is upright stays upright: for Pillow, which heeds EXIF data, and in a browser."""

import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from imgcompress.compressor import Compressor, Source
from imgcompress.config import AvifConfig, Config
from imgcompress.image.read import read_picture

_DRAW = """async (url) => {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const { width, height } = canvas;
  return [width, height, Array.from(pen.getImageData(0, 0, width, height).data)];
}"""


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page()
    yield opened
    opened.close()


def corners(orientation: int) -> bytes:
    """Each corner of another color; a JPEG file."""
    samples = np.zeros((48, 80, 3), dtype=np.uint8)
    samples[:24, :40, 0] = samples[:24, 40:, 1] = samples[24:, :40, 2] = 255
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(samples).save(buffer, "JPEG", quality=95, subsampling=0, exif=exif)
    return buffer.getvalue()


def few(samples: np.ndarray) -> list[list[list[bool]]]:
    """Which colors are on, in the middle of every 16 x 16 pixels."""
    return (samples[8::16, 8::16, :3] > 128).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif", "avif12", "png"])
def test_upright(kind: str, orientation: int, page: Any) -> None:
    form = kind.removesuffix("12")
    config = Config(
        format=form,
        convert=True,
        device="cpu",
        quality=90,
        max_encodes=1,
        strip="all",
        avif=AvifConfig(speed=9, bit_depth=12 if kind == "avif12" else "auto"),
    )
    data = corners(orientation)
    source = Source(data, read_picture(data))
    with ThreadPoolExecutor(1) as pool:
        [outcome] = Compressor(config).compress([source], pool)
    assert outcome.data is not None and outcome.format == form
    seen = few(np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))
    by_pillow = ImageOps.exif_transpose(Image.open(io.BytesIO(outcome.data))).convert("RGB")
    assert few(np.array(by_pillow)) == seen
    url = f"data:image/{form};base64,{base64.b64encode(outcome.data).decode()}"
    width, height, samples = page.evaluate(_DRAW, url)
    assert few(np.array(samples, np.uint8).reshape(height, width, 4)) == seen
