"""Two pictures as they are seen: upright, in one color space; what differs beside that is named."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from imgcompress.errors import PictureError, Reason
from imgcompress.image.color import as_unit
from imgcompress.image.icc_profile import ProfileError, is_srgb, profile_name, to_srgb
from imgcompress.image.picture import Decoded, Picture
from imgcompress.image.upright import upright


class Seen(NamedTuple):
    """A pair that can be measured, sample by sample.

    Attributes:
        reference, test: of one size; depth and number of channels may differ.
        notes: differences that no score tells, as sentences.
    """

    reference: Decoded
    test: Decoded
    notes: tuple[str, ...]


def as_seen(reference: Picture, test: Picture) -> Seen:
    """Turns a pair as its EXIF orientations ask, and brings it into one color space.

    Of one and the same ICC profile, samples stay as they are: no color is lost. Of different ones both become
    sRGB. Alpha that hides nothing is left out.

    Args:
        reference: the original.
        test: what became of it.

    Raises:
        PictureError: SIZES_DIFFER, or one of them is of a kind that is not read; the message says which.
    """
    for role, picture in (("reference", reference), ("test", test)):
        if picture.keep is not None:
            reason, message = picture.keep
            raise PictureError(reason, f"{role}: {message}")
    first, second = upright(reference), upright(test)
    if first.pixels.shape[1:] != second.pixels.shape[1:]:
        sizes = [f"{picture.width} x {picture.height}" for picture in (first, second)]
        raise PictureError(Reason.SIZES_DIFFER, f"the pictures are {sizes[0]} and {sizes[1]} pixels")
    (before, after), color_notes = _in_one_space(first, second)
    notes = (
        *_unlike("EXIF orientation", reference.metadata.orientation, test.metadata.orientation),
        *color_notes,
        *_unlike("bits a channel", first.bit_depth, second.bit_depth),
        *_unlike("channels", *("gray" if picture.is_gray else "color" for picture in (first, second))),
        *_alpha_notes(before.alpha, after.alpha),
        *_frame_notes(reference.frames, test.frames),
    )
    return Seen(before, after, notes)


def _unlike(what: str, reference: object, test: object) -> tuple[str, ...]:
    return () if reference == test else (f"{what}: {reference} in the reference, {test} in the test",)


def _frame_notes(reference: int, test: int) -> tuple[str, ...]:
    """Also where the numbers agree: no score knows of the others."""
    what = "pictures in the file, of which only the first is compared"
    if reference == test:
        return (f"{what}: {reference} in both",) if reference > 1 else ()
    return _unlike(what, reference, test)


def _in_one_space(first: Picture, second: Picture) -> tuple[tuple[Decoded, Decoded], tuple[str, ...]]:
    pictures = (first, second)
    profiles = [picture.metadata.icc for picture in pictures]
    if profiles[0] == profiles[1]:
        return (_visible(first.decoded), _visible(second.decoded)), ()
    names = ["none" if profile is None else f'"{profile_name(profile)}"' for profile in profiles]
    notes = [*_unlike("color profile", *names)]
    seen = []
    for role, picture in zip(("reference", "test"), pictures, strict=True):
        pixels, profile = picture.pixels, picture.metadata.icc
        if profile is not None and not is_srgb(profile):
            try:
                pixels, is_clipped = to_srgb(pixels, profile)
            except ProfileError as error:
                notes.append(f"the {role}'s color profile is passed over: {error}")
            else:
                if is_clipped:
                    notes.append(f"the {role} has colors outside of sRGB, which are clipped")
        seen.append(_visible(Decoded(pixels, picture.alpha)))
    return (seen[0], seen[1]), tuple(notes)


def _visible(decoded: Decoded) -> Decoded:
    if decoded.alpha is None or _least(decoded.alpha) < 1:
        return decoded
    return Decoded(decoded.pixels)


def _least(alpha: Tensor) -> float:
    samples = alpha.numpy()  # torch takes no minimum of uint16
    return float(samples.min() / np.iinfo(samples.dtype).max)


def _alpha_notes(reference: Tensor | None, test: Tensor | None) -> tuple[str, ...]:
    if reference is None or test is None:
        has = ["opaque" if alpha is None else "transparent in places" for alpha in (reference, test)]
        return _unlike("alpha", *has)
    most = float((as_unit(reference) - as_unit(test)).abs().max())
    return () if most == 0 else (f"alpha differs by up to {100 * most:.3g} %",)
