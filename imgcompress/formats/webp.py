"""WebP files by libwebp: lossy, lossless and nearly lossless."""

import io
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from imgcompress.config import WebpConfig
from imgcompress.errors import PictureError, Reason
from imgcompress.formats.gray_profile import refuse_gray_profile
from imgcompress.image.containers import webp_chunks, webp_file, webp_size
from imgcompress.image.decoded import Probe, decoded_picture
from imgcompress.image.mark import WEBP_MARK, mark_payload
from imgcompress.image.picture import Decoded, Metadata, Picture
from imgcompress.image.transparent import fill_transparent
from imgcompress.quantization.scale import interpolate
from imgcompress.shapes import UInt8

LONGEST_SIDE = 16383
_LOSSLESS_EFFORT = 75
_ICC, _ALPHA, _EXIF, _XMP = 0x20, 0x10, 0x08, 0x04

# scripts/measure_codec_scales.py ../shared/photos/kodak --codecs webp: method 4. The ends are extrapolated.
_QUALITY_OF_SCORE = (
    (-100.0, 0.0),
    (16.1, 5.0),
    (29.6, 12.0),
    (39.3, 20.0),
    (47.9, 30.0),
    (55.1, 40.0),
    (60.5, 50.0),
    (64.8, 60.0),
    (68.7, 70.0),
    (73.7, 78.0),
    (81.2, 86.0),
    (87.3, 93.0),
    (90.3, 98.0),
    (97.0, 100.0),
)


class WebpCodec:
    """Writes WebP files. Chroma at half size is without libwebp's "sharp" mode: Pillow does not offer it.

    Of the metadata, EXIF, ICC and XMP go in; density and what only a JPEG holds (segments, trailer) do not.

    Args:
        config: its settings. With ``lossless`` a quality means nothing.
    """

    format = "webp"
    heeds_orientation = False  # Chromium 156 passes EXIF data in WebP over

    def __init__(self, config: WebpConfig) -> None:
        self._config = config
        self.has_quality = not config.lossless
        self.is_lossless = config.lossless and config.near_lossless == 100
        self.samplings: tuple[str, ...] = ("444",) if config.lossless else ("420",)

    def refuse(self, picture: Picture) -> None:
        """See :class:`imgcompress.formats.codec.Codec`."""
        if picture.bit_depth > 8:
            raise PictureError(Reason.DEEP_COLOR, f"WebP has 8 bits a channel, not {picture.bit_depth}")
        if max(picture.height, picture.width) > LONGEST_SIDE:
            size = f"{picture.width} x {picture.height}"
            raise PictureError(Reason.UNSUPPORTED, f"WebP ends at {LONGEST_SIDE} pixels a side, not {size}")
        refuse_gray_profile(picture, "WebP")

    def quality_of_score(self, nominal: float) -> float:
        """See :class:`imgcompress.formats.codec.Codec`."""
        return interpolate(_QUALITY_OF_SCORE, nominal)

    def encode(self, picture: Picture, quality: float, subsampling: str, mark: bytes | None) -> bytes:  # noqa: ARG002
        """See :class:`imgcompress.formats.codec.Codec`.

        Gray is coded, and decodes, as RGB.
        """
        config = self._config
        pixels, alpha = picture.pixels, picture.alpha
        if not config.lossless and alpha is not None:
            pixels = fill_transparent(pixels[None], alpha[None])[0]
        if config.lossless and config.near_lossless < 100:
            pixels = nearly_lossless(pixels, config.near_lossless)
        buffer = io.BytesIO()
        try:
            _image(pixels, alpha).save(
                buffer,
                "WEBP",
                lossless=config.lossless,
                quality=_LOSSLESS_EFFORT if config.lossless else quality,
                alpha_quality=config.alpha_quality,
                method=config.method,
                exact=config.lossless,
            )
        except (OSError, ValueError) as error:
            raise PictureError(Reason.UNSUPPORTED, f"libwebp refuses the picture: {error}") from error
        return _with_metadata(buffer.getvalue(), picture.metadata, mark, has_alpha=alpha is not None)

    def decode(self, data: bytes) -> Decoded:
        """See :class:`imgcompress.formats.codec.Codec`. By imagecodecs: another build than Pillow's."""
        import imagecodecs

        try:
            samples = imagecodecs.webp_decode(data)
            size = Probe("webp", *webp_size(webp_chunks(data)))
            return decoded_picture(samples, None, size, 8, Metadata()).decoded
        except MemoryError:
            raise
        except Exception as error:  # of what kind is not documented
            raise PictureError(Reason.VERIFY_REFUSED, f"the result does not decode: {error}") from error


def nearly_lossless(
    pixels: UInt8[Tensor, "channels height width"], level: int
) -> UInt8[Tensor, "channels height width"]:
    """Rounds away the last bits where a picture is not flat, so that lossless coding takes fewer bytes.

    Up to b = 5 - level // 20 bits go, first the most: a pixel that differs from its four neighbors by less
    than 2^b in every channel stays as it is, others go to the nearest multiple of 2^b or to 255; then the
    same with one bit less, which leaves what has been rounded before.

    Args:
        pixels: 0..255.
        level: 0 (5 bits) to 100 (none), as libwebp's near_lossless.

    Returns:
        No sample differs by more than 2^(b - 1).

    Source: the idea is that of libwebp's src/enc/near_lossless_enc.c.
    """
    values = pixels.int()
    for bits in range(5 - level // 20, 0, -1):
        step = 1 << bits
        around = pad(values[None].float(), (1, 1, 1, 1), mode="replicate")[0].int()
        neighbors = (around[:, :-2, 1:-1], around[:, 2:, 1:-1], around[:, 1:-1, :-2], around[:, 1:-1, 2:])
        farthest = torch.stack([(values - near).abs() for near in neighbors]).amax(dim=(0, 1))
        rounded = ((values + step // 2) // step * step).clamp(max=255)
        values = torch.where(farthest < step, values, rounded)
    return values.to(torch.uint8)


def _image(pixels: Tensor, alpha: Tensor | None) -> Any:
    from PIL import Image

    planes = pixels.expand(3, -1, -1)
    if alpha is not None:
        planes = torch.cat([planes, alpha[None]])
    return Image.fromarray(planes.permute(1, 2, 0).contiguous().numpy())


def _with_metadata(data: bytes, metadata: Metadata, mark: bytes | None, *, has_alpha: bool) -> bytes:
    """The chunks in the order of the WebP container specification; unknown ones, as ours, come last."""
    chunks = [chunk for chunk in webp_chunks(data) if chunk[0] != b"VP8X"]
    before = [(b"ICCP", metadata.icc)]
    after = [(b"EXIF", metadata.exif), (b"XMP ", metadata.xmp)]
    after.append((WEBP_MARK, None if mark is None else mark_payload(mark)))
    bits = {b"ICCP": _ICC, b"EXIF": _EXIF, b"XMP ": _XMP, WEBP_MARK: 0}
    flags = sum(bits[kind] for kind, body in before + after if body is not None)
    if all(body is None for _, body in before + after):
        return data
    width, height = webp_size(chunks if chunks[0][0] != b"ALPH" else chunks[1:])
    head = bytes([flags | (_ALPHA if has_alpha else 0), 0, 0, 0])
    head += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    present = [[(kind, body) for kind, body in group if body is not None] for group in (before, after)]
    return webp_file([(b"VP8X", head), *present[0], *chunks, *present[1]])
