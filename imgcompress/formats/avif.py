"""AVIF files by libavif: 8 bits a channel through Pillow's plugin, 10 and 12 through imagecodecs."""

import io
import math
import os
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import imgcompress.image.read  # noqa: F401  it puts Pillow's plugin in place
from imgcompress.config import AvifConfig
from imgcompress.errors import PictureError, Reason
from imgcompress.formats.avif_boxes import with_metadata
from imgcompress.formats.gray_profile import refuse_gray_profile
from imgcompress.image.containers import avif_properties
from imgcompress.image.decoded import Probe, decoded_picture
from imgcompress.image.depth import scale_from_16, scale_to_16
from imgcompress.image.picture import Decoded, Metadata, Picture
from imgcompress.image.transparent import fill_transparent
from imgcompress.quantization.scale import interpolate

LONGEST_SIDE = 32768
"""libavif opens no larger ones."""

# scripts/measure_codec_scales.py ../shared/photos/kodak --codecs aom svt rav1e: speed 6, 4:2:0; 4:4:4 scores
# 0.9 to 2.1 more. "deep" is imagecodecs' own level, at 10 bits, over every second picture. The ends are
# extrapolated.
_QUALITY_OF_SCORE = {
    "aom": (
        (-100.0, 0.0),
        (-3.9, 5.0),
        (12.4, 12.0),
        (29.9, 20.0),
        (47.8, 30.0),
        (62.1, 40.0),
        (71.5, 50.0),
        (76.7, 60.0),
        (80.6, 70.0),
        (83.6, 78.0),
        (86.4, 86.0),
        (89.3, 93.0),
        (91.4, 98.0),
        (97.0, 100.0),
    ),
    "deep": (
        (-100.0, 0.0),
        (-25.0, 2.0),
        (-11.6, 8.0),
        (3.7, 15.0),
        (19.8, 23.0),
        (34.7, 31.0),
        (51.2, 40.0),
        (64.9, 50.0),
        (74.9, 60.0),
        (81.5, 70.0),
        (85.2, 78.0),
        (89.0, 86.0),
        (92.1, 93.0),
        (93.4, 97.0),
        (97.0, 100.0),
    ),
    "svt": (
        (-100.0, 0.0),
        (-40.5, 5.0),
        (-21.9, 12.0),
        (1.6, 20.0),
        (25.8, 30.0),
        (45.0, 40.0),
        (59.9, 50.0),
        (70.5, 60.0),
        (76.9, 70.0),
        (81.8, 78.0),
        (85.8, 86.0),
        (89.6, 93.0),
        (92.0, 98.0),
        (97.0, 100.0),
    ),
    "rav1e": (
        (-100.0, 0.0),
        (-26.0, 5.0),
        (-8.5, 12.0),
        (13.2, 20.0),
        (36.6, 30.0),
        (56.0, 40.0),
        (68.6, 50.0),
        (77.2, 60.0),
        (81.8, 70.0),
        (85.0, 78.0),
        (88.0, 86.0),
        (90.5, 93.0),
        (92.2, 98.0),
        (97.0, 100.0),
    ),
}

_QUANTIZERS_A_QUALITY = 0.63
"""Quality 100 is quantizer 0, quality 0 is 63."""

# One quantization matrix for all: left alone, tune=iq changes it with the quantizer, and each change moves
# SSIMULACRA2 by 2 to 3. At equal scores this one takes .2 to 2.7 % less than those from 50 to 84, 1.4 % more
# at 88, on 384x384 crops of Kodak 2, 7, 12, 17, 22 at speed 6 (8: +3.6 to -1.1 %, 9: +8.4 to -.6 %).
_MATRIX = "7"

# Percent of deltaq-strength for the next quantizer's share, up and down: how far aom's variance boost goes.
# It moves SSIMULACRA2 by the same as a quantizer does, about, on 384x384 crops of Kodak 5, 13 and 23.
_FINER, _COARSER = 70.0, 45.0

_BEST_DEEP = 99
"""imagecodecs takes 100 for lossless RGB, whatever the layout."""


class AvifCodec:
    """Writes AVIF files, one thread each, the same bytes each time.

    What svt and rav1e lack, aom codes: alpha without loss, and more than 8 bits; svt has 4:2:0 only, too.

    aom's quality is continuous for 8 bits: it has 64 quantizers, and the strength of its variance boost fills
    the gaps. svt takes quarters of a quantizer. For rav1e, and with more than 8 bits, the nearest whole
    quality is taken. Where another encoder than the one asked for codes, its quality is the one that scores
    the same.

    Of the metadata, EXIF, ICC and XMP go in, and the orientation as turns, too. Density and what only a JPEG
    holds (segments, trailer) do not, nor EXIF data that cannot be read, as some readers give the picture up.

    Args:
        config: its settings.
    """

    format = "avif"
    # AVIF predicts chroma from luma, so that all of it costs next to nothing: at one SSIMULACRA2, 4:4:4 takes
    # -3 to +3 % of the bytes of 4:2:0 at scores of 60 to 84, 0 to -9 % at 86 and -1 to -15 % at 90, at 8 as
    # at 12 bits; text in color does not get beyond 57 without it. Measured on 8 crops of Kodak of 384x384
    # pixels, 2 whole ones, 2 of CLIC of 1024x1024, and a drawn page (aom, speed 6).
    samplings: tuple[str, ...] = ("444", "422", "420")
    has_quality = True
    heeds_orientation = True
    is_lossless = False

    def __init__(self, config: AvifConfig) -> None:
        self._config = config
        if config.codec == "svt":
            os.environ.setdefault("SVT_LOG", "1")  # errors only: it prints a page to stderr for each picture

    def refuse(self, picture: Picture) -> None:
        """See :class:`imgcompress.formats.codec.Codec`."""
        if max(picture.height, picture.width) > LONGEST_SIDE:
            size = f"{picture.width} x {picture.height}"
            raise PictureError(Reason.UNSUPPORTED, f"AVIF ends at {LONGEST_SIDE} pixels a side, not {size}")
        if self._depth(picture) > 8 or picture.alpha is not None:
            refuse_gray_profile(picture, "AVIF of more than 8 bits or with alpha")

    def quality_of_score(self, nominal: float) -> float:
        """See :class:`imgcompress.formats.codec.Codec`."""
        return interpolate(_QUALITY_OF_SCORE[self._config.codec], nominal)

    def encode(self, picture: Picture, quality: float, subsampling: str, mark: bytes | None) -> bytes:
        """See :class:`imgcompress.formats.codec.Codec`. Deep gray is coded, and decodes, as RGB of 4:2:0."""
        pixels, alpha, depth = picture.pixels, picture.alpha, self._depth(picture)
        if alpha is not None:
            pixels = fill_transparent(pixels[None], alpha[None])[0]
            alpha = _in_bits(alpha, depth)
        pixels = _in_bits(pixels, depth)
        layout = "gray" if picture.is_gray else subsampling
        try:
            if depth == 8:
                data = self._encode_8_bits(pixels, alpha, quality, layout)
            else:
                data = self._encode_deep(pixels, alpha, quality, layout, depth)
        except (OSError, ValueError, RuntimeError) as error:
            raise PictureError(Reason.UNSUPPORTED, f"libavif refuses the picture: {error}") from error
        return with_metadata(data, _readable(picture.metadata), mark)

    def decode(self, data: bytes) -> Decoded:
        """See :class:`imgcompress.formats.codec.Codec`. By imagecodecs; deep files are its own, by dav1d."""
        import imagecodecs

        try:
            samples = imagecodecs.avif_decode(data, numthreads=1)
            depth = avif_properties(data).bit_depth
            size = Probe("avif", samples.shape[1], samples.shape[0])
            return decoded_picture(samples, None, size, depth, Metadata()).decoded
        except MemoryError:
            raise
        except Exception as error:  # of what kind is not documented
            raise PictureError(Reason.VERIFY_REFUSED, f"the result does not decode: {error}") from error

    def _depth(self, picture: Picture) -> int:
        if self._config.bit_depth != "auto":
            return self._config.bit_depth
        return min(picture.bit_depth, 12)

    def _translated(self, quality: float, encoder: str) -> float:
        """The quality at which another encoder than the one asked for scores the same on average."""
        if encoder == self._config.codec:
            return quality
        scores = [(each, score) for score, each in _QUALITY_OF_SCORE[self._config.codec]]
        return interpolate(_QUALITY_OF_SCORE[encoder], interpolate(scores, quality))

    def _encode_8_bits(self, pixels: Tensor, alpha: Tensor | None, quality: float, layout: str) -> bytes:
        from PIL import Image

        codec: str = self._config.codec
        if alpha is not None or (codec == "svt" and layout != "420"):
            codec = "aom"
        if alpha is not None:
            pixels = torch.cat([pixels.expand(3, -1, -1), alpha[None]])
        samples = _samples(pixels.to(torch.uint8))
        number, options = _settings(codec, self._translated(quality, codec))
        if alpha is not None:
            options["a:cq-level"] = "0"  # without loss
        buffer = io.BytesIO()
        Image.fromarray(samples).save(
            buffer,
            "AVIF",
            quality=number,
            speed=self._config.speed,
            codec=codec,
            subsampling=_LAYOUTS[layout],
            max_threads=1,
            autotiling=False,
            advanced=options,
        )
        return buffer.getvalue()

    def _encode_deep(
        self, pixels: Tensor, alpha: Tensor | None, quality: float, layout: str, depth: int
    ) -> bytes:
        import imagecodecs

        # imagecodecs codes gray without loss, whatever the quality: as RGB its chroma costs next to nothing.
        pixels = pixels.expand(3, -1, -1)
        if alpha is not None:
            pixels = torch.cat([pixels, alpha[None]])
        data = imagecodecs.avif_encode(
            _samples(pixels.to(torch.uint16)),
            level=min(round(self._translated(quality, "deep")), _BEST_DEEP),
            speed=self._config.speed,
            bitspersample=depth,
            pixelformat="420" if layout == "gray" else layout,
            codec="aom",
            primaries=_BT709,
            transfer=_SRGB,
            numthreads=1,
        )
        return bytes(data)


_LAYOUTS = {"444": "4:4:4", "422": "4:2:2", "420": "4:2:0", "gray": "4:0:0"}
_BT709, _SRGB = 1, 13  # ITU-T H.273, tables 2 and 3


def _in_bits(samples: Tensor, depth: int) -> Tensor:
    """Full-range 8 or 16 bits as 8, 10 or 12, rounded to the nearest."""
    if samples.dtype == torch.uint8:
        return samples if depth == 8 else scale_from_16(scale_to_16(samples, 8), depth)
    return scale_from_16(samples, depth)


def _samples(planes: Tensor) -> Any:
    """Channels last, and none where there is one only: numpy."""
    array = planes.permute(1, 2, 0).contiguous().numpy()
    return array[..., 0] if array.shape[2] == 1 else array


def _settings(codec: str, quality: float) -> tuple[int, dict[str, str]]:
    """The whole quality, and the encoder's own options that are more exact."""
    quality = min(max(quality, 0.0), 100.0)
    quantizer = (100.0 - quality) * _QUANTIZERS_A_QUALITY
    options = {}
    if codec == "svt":
        options["crf"] = f"{round(4 * quantizer) / 4:.2f}"
    elif codec == "aom":
        nearest = math.floor(quantizer + 0.5)
        finer = nearest - quantizer
        strength = 100.0 + finer * (_FINER if finer > 0 else _COARSER)
        options = {
            "c:cq-level": str(nearest),
            "c:deltaq-strength": str(round(strength)),
            "c:qm-min": _MATRIX,
            "c:qm-max": _MATRIX,
        }
    return round(quality), options


def _readable(metadata: Metadata) -> Metadata:
    from PIL import Image

    try:
        Image.Exif().load(metadata.exif or b"")
    except Exception:  # what damaged data raise in there is not documented
        return replace(metadata, exif=None)
    return metadata
