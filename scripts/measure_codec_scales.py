"""Prints the tables of quality_of_score in imgcompress/formats: measure_codec_scales.py FOLDER.

FOLDER holds the Kodak pictures. A line a codec: (mean SSIMULACRA2, quality). About four minutes a codec.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imgcompress.config import AvifConfig, WebpConfig
from imgcompress.formats.avif import AvifCodec
from imgcompress.formats.codec import Codec
from imgcompress.formats.webp import WebpCodec
from imgcompress.image.picture import Picture
from imgcompress.perception.ssimulacra2 import ssimulacra2

QUALITIES = (5, 12, 20, 30, 40, 50, 60, 70, 78, 86, 93, 98)
SIDE = 384
CODECS: dict[str, Codec] = {
    "webp": WebpCodec(WebpConfig()),
    "aom": AvifCodec(AvifConfig()),
    "svt": AvifCodec(AvifConfig(codec="svt")),
    "rav1e": AvifCodec(AvifConfig(codec="rav1e")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=list(CODECS))
    parser.add_argument("--subsampling", choices=("420", "444"), default="420")
    options = parser.parse_args()
    pictures = [center(path) for path in sorted(options.folder.glob("*.png"))]
    for name in options.codecs:
        table = [
            (round(mean_score(CODECS[name], pictures, quality, options.subsampling), 1), float(quality))
            for quality in QUALITIES
        ]
        print(name, options.subsampling, *table, sep=", ", flush=True)


def mean_score(codec: Codec, pictures: list[Picture], quality: float, subsampling: str) -> float:
    return float(np.mean([score(codec, picture, quality, subsampling) for picture in pictures]))


@torch.inference_mode()
def score(codec: Codec, picture: Picture, quality: float, subsampling: str) -> float:
    decoded = codec.decode(codec.encode(picture, quality, subsampling, None))
    before, after = (pixels[None].float() / 255 for pixels in (picture.pixels, decoded.pixels))
    return ssimulacra2(before, after).item()


def center(path: Path) -> Picture:
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    top, left = ((side - SIDE) // 2 for side in pixels.shape[1:])
    return Picture(pixels[:, top : top + SIDE, left : left + SIDE].contiguous(), "png")


if __name__ == "__main__":
    main()
