"""Prints a table of deep pictures: levels, PSNR at the scale of 16 bits, bytes in 12- and 8-bit formats."""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from imgcompress.config import AvifConfig, Config, WebpConfig
from imgcompress.errors import PictureError
from imgcompress.formats.avif import AvifCodec
from imgcompress.formats.codec import Codec
from imgcompress.formats.webp import WebpCodec
from imgcompress.image.depth import to_8_bit
from imgcompress.image.picture import Decoded, Picture
from imgcompress.image.read import read_picture
from imgcompress.measure import Measure
from imgcompress.verify import decode_again

RoundTrip = Callable[[Picture, float], tuple[int, Decoded]]


def by_codec(codec: Codec, subsampling: str) -> RoundTrip:
    """There and back: the file's bytes, and what it shows."""

    def round_trip(picture: Picture, quality: float) -> tuple[int, Decoded]:
        codec.refuse(picture)
        data = codec.encode(picture, quality, "gray" if picture.is_gray else subsampling, None)
        return len(data), codec.decode(data)

    return round_trip


def by_jpeg(picture: Picture, quality: float) -> tuple[int, Decoded]:
    """Pillow's JPEG without subsampling; alpha is lost."""
    samples = picture.pixels.permute(1, 2, 0).squeeze(2).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "JPEG", quality=round(quality), subsampling=0)
    return len(buffer.getvalue()), decode_again(buffer.getvalue())


def levels(picture: Decoded) -> int:
    """Different values in the channel that has most of them."""
    return max(len(channel.to(torch.int32).unique()) for channel in picture.pixels)


def ways() -> dict[str, tuple[RoundTrip, bool]]:
    """How to code a picture, and whether that takes more than 8 bits."""
    return {
        "AVIF, 12 bits": (by_codec(AvifCodec(AvifConfig(bit_depth=12)), "444"), True),
        "AVIF, 8 bits": (by_codec(AvifCodec(AvifConfig(bit_depth=8)), "444"), False),
        "WebP": (by_codec(WebpCodec(WebpConfig()), "420"), False),
        "JPEG": (by_jpeg, False),
    }


def row(path: Path, picture: Picture, quality: float, measure: Measure) -> str:
    """A file's line of the table."""
    shallow = to_8_bit(picture)
    kind = ("gray" if picture.is_gray else "RGB") + ("" if picture.alpha is None else ", alpha")
    cells = [path.name + ("" if picture.keep is None else " *"), kind, f"{levels(picture.decoded):,}"]
    for round_trip, is_deep in ways().values():
        try:
            size, after = round_trip(picture if is_deep else shallow, quality)
        except PictureError as error:
            cells += [str(error.reason), "", ""]
            continue
        (scores,) = measure.scores([picture.decoded], [after])
        cells += [f"{levels(after):,}", f"{scores['psnr']:.1f}", f"{size:,}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="pictures; those of 8 bits are passed over")
    parser.add_argument("--quality", type=float, default=90.0, help="on each encoder's own scale")
    options = parser.parse_args()
    measure = Measure(["psnr"], Config(), torch.device("cpu"))
    heads = [cell for name in ways() for cell in (f"{name}: levels", "dB", "bytes")]
    print("| " + " | ".join(["file", "samples", "levels", *heads]) + " |")
    print("|---|---" + "|--:" * (1 + len(heads)) + "|")
    for path in sorted(options.folder.iterdir()):
        try:
            picture = read_picture(path.read_bytes())
        except PictureError:
            continue
        if picture.bit_depth > 8:
            print(row(path, picture, options.quality, measure), flush=True)
    print(
        f"\nQuality {options.quality:g}. dB: of the decoded file against the source at the scale of 16 bits,"
    )
    print("with alpha over a dark or light gray, whichever is worse; JPEG has lost the alpha.")
    print("*: kept as it is by default, as its colors are not meant as sRGB.")


if __name__ == "__main__":
    main()
