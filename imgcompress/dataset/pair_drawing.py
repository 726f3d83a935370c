"""A source and what was made of it, drawn for a page."""

from contextlib import suppress

from torch import Tensor

from imgcompress.drawing.pair import PairDrawing, pack_pair
from imgcompress.drawing.score_map import score_map
from imgcompress.drawing.shown import shown
from imgcompress.errors import PictureError, Reason
from imgcompress.image.icc_profile import ProfileError, is_srgb, to_srgb
from imgcompress.image.picture import Decoded, Picture
from imgcompress.image.read import read_picture
from imgcompress.image.upright import upright
from imgcompress.shapes import UInt8

MOST_MEGAPIXELS = 48.0
"""Larger pictures are not drawn: both in full would take too much memory beside a run."""


def draw_pair(source: bytes, output: bytes) -> PairDrawing:
    """Draws a source beside what was made of it, both upright.

    Args:
        source: the file.
        output: the file made from it.

    Raises:
        PictureError: one of them does not decode, is too large, or the two differ in size.
    """
    before, after = (in_srgb(upright(read_picture(data, MOST_MEGAPIXELS))) for data in (source, output))
    if before.shape[1:] != after.shape[1:]:
        raise PictureError(Reason.VERIFY_REFUSED, "source and output differ in size")
    return pack_pair(before, after, score_map(before, after))


def in_srgb(picture: Picture) -> UInt8[Tensor, "channels height width"]:
    """Pixels as they are seen.

    A color profile that is damaged, or meant for other samples, is passed over, as viewers do.
    """
    pixels, profile = picture.pixels, picture.metadata.icc
    if profile is not None and not is_srgb(profile):
        with suppress(ProfileError):
            pixels, _ = to_srgb(pixels, profile)
    return shown(Decoded(pixels, picture.alpha))
