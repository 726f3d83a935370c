"""Prints a table of deep pictures: levels, PSNR at the scale of 16 bits, bytes in 12- and 8-bit formats."""

import argparse
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from imgcompress.config import AvifConfig, Config, WebpConfig
from imgcompress.errors import PictureError
from imgcompress.formats.avif import AvifCodec
from imgcompress.formats.codec import Codec
from imgcompress.formats.webp import WebpCodec
from imgcompress.image.depth import to_8_bit
from imgcompress.image.picture import Decoded, Metadata, Picture
from imgcompress.image.read import read_picture
from imgcompress.measure import Measure
from imgcompress.verify import decode_again

RoundTrip = Callable[[Picture, float], tuple[int, Decoded]]


def by_codec(codec: Codec) -> RoundTrip:
    """There and back: the file's bytes, and what it shows."""

    def round_trip(picture: Picture, quality: float) -> tuple[int, Decoded]:
        codec.refuse(picture)
        data = codec.encode(picture, quality, codec.samplings[0], None)
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


DEEP = by_codec(AvifCodec(AvifConfig(bit_depth=12)))
SHALLOW: dict[str, RoundTrip] = {
    "AVIF, 8 bits": by_codec(AvifCodec(AvifConfig(bit_depth=8))),
    "WebP": by_codec(WebpCodec(WebpConfig())),
    "JPEG": by_jpeg,
}


def within(size: int, picture: Picture, round_trip: RoundTrip) -> tuple[int, Decoded] | None:
    """The best file of no more bytes; None where there is none."""
    best = None
    low, high = 0, 101
    while high - low > 1:
        quality = (low + high) // 2
        found = round_trip(picture, float(quality))
        if found[0] <= size:
            low, best = quality, found
        else:
            high = quality
    return best


def row(path: Path, picture: Picture, quality: float, measure: Measure) -> str:
    """A file's line of the table."""
    kind = ("gray" if picture.is_gray else "RGB") + ("" if picture.alpha is None else ", alpha")
    cells = [path.name + ("" if picture.keep is None else " *"), kind, f"{levels(picture.decoded):,}"]
    deep = DEEP(picture, quality)
    for found in (deep, *(within(deep[0], to_8_bit(picture), way) for way in SHALLOW.values())):
        if found is None:
            cells += ["", "", ""]
            continue
        size, after = found
        (scores,) = measure.scores([picture.decoded], [after])
        cells += [f"{levels(after):,}", f"{scores['psnr']:.1f}", f"{size:,}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="pictures; those of 8 bits are passed over")
    parser.add_argument(
        "--quality", type=float, default=90.0, help="of AVIF at 12 bits; the others get its bytes"
    )
    options = parser.parse_args()
    measure = Measure(["psnr"], Config(), torch.device("cpu"))
    heads = [cell for name in ("AVIF, 12 bits", *SHALLOW) for cell in (f"{name}: levels", "dB", "bytes")]
    print("| " + " | ".join(["file", "samples", "levels", *heads]) + " |")
    print("|---|---" + "|--:" * (1 + len(heads)) + "|")
    for path in sorted(options.folder.iterdir()):
        try:
            picture = read_picture(path.read_bytes())
        except PictureError:
            continue
        if picture.bit_depth > 8:
            print(row(path, replace(picture, metadata=Metadata()), options.quality, measure), flush=True)
    print(f"\nAVIF of 12 bits at quality {options.quality:g}, the others with as many bytes at most (empty:")
    print(
        "none has so few), all without metadata. dB: of the decoded file against the source at the scale of"
    )
    print("16 bits, with alpha over a dark or a light gray, whichever is worse; JPEG has lost the alpha.")
    print("*: kept as it is by default, as its colors are not meant as sRGB.")


if __name__ == "__main__":
    main()
