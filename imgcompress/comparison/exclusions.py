"""Parts of pictures that are not compared: rectangles, and a mask."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.image.color import as_rgb, as_unit, over, rgb_to_gray
from imgcompress.image.depth import scale_to_16
from imgcompress.image.picture import Decoded
from imgcompress.image.read import read_picture
from imgcompress.image.upright import upright


@dataclass(frozen=True)
class Rectangle:
    """A part of a picture as it is seen, in pixels; it may reach beyond the picture."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Exclusions:
    """What is left out of every comparison.

    Attributes:
        rectangles: parts that are ignored.
        mask: [height, width], True where pictures are compared; None for everywhere.
    """

    rectangles: tuple[Rectangle, ...] = ()
    mask: NDArray[np.bool_] | None = None

    def apply(self, reference: Decoded, test: Decoded) -> Decoded:
        """The test picture with the reference's samples where it is ignored: no metric finds anything there.

        Args:
            reference, test: of one size.

        Raises:
            PictureError: SIZES_DIFFER, the mask is of another size, or leaves nothing to be compared.
        """
        if not self.rectangles and self.mask is None:
            return test
        height, width = reference.pixels.shape[1:]
        counts = np.ones((height, width), dtype=bool)
        if self.mask is not None:
            if self.mask.shape != counts.shape:
                size = f"{self.mask.shape[1]} x {self.mask.shape[0]}"
                message = f"the mask has {size} pixels, the pictures have {width} x {height}"
                raise PictureError(Reason.SIZES_DIFFER, message)
            counts &= self.mask
        for part in self.rectangles:
            columns = slice(max(part.x, 0), max(part.x + part.width, 0))
            counts[max(part.y, 0) : max(part.y + part.height, 0), columns] = False
        if not counts.any():
            raise PictureError(Reason.SIZES_DIFFER, "all of the picture is to be ignored")
        before, after = _of_one_kind(reference, test)
        alpha = None
        if before.alpha is not None and after.alpha is not None:
            alpha = _mixed(counts, after.alpha, before.alpha)
        return Decoded(_mixed(counts, after.pixels, before.pixels), alpha)


def _mixed(counts: NDArray[np.bool_], new: Tensor, old: Tensor) -> Tensor:
    return torch.from_numpy(np.where(counts, new.numpy(), old.numpy()))


def _of_one_kind(first: Decoded, second: Decoded) -> tuple[Decoded, Decoded]:
    """Both with the channels and the depth of the one that has more, and with alpha if one has it."""
    is_deep = torch.uint16 in (first.pixels.dtype, second.pixels.dtype)
    channels = max(len(first.pixels), len(second.pixels))
    has_alpha = first.alpha is not None or second.alpha is not None

    def converted(decoded: Decoded) -> Decoded:
        pixels, alpha = decoded
        if has_alpha and alpha is None:
            opaque = np.full(pixels.shape[1:], np.iinfo(pixels.numpy().dtype).max, pixels.numpy().dtype)
            alpha = torch.from_numpy(opaque)
        if is_deep and pixels.dtype == torch.uint8:
            pixels, alpha = scale_to_16(pixels, 8), None if alpha is None else scale_to_16(alpha, 8)
        return Decoded(pixels.expand(channels, -1, -1), alpha)

    return converted(first), converted(second)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Reads a mask: what is darker than medium gray, or transparent, is ignored.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        picture = upright(read_picture(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"--mask: {path}: {error.strerror}") from error
    except PictureError as error:
        raise UsageError(f"--mask: {path}: {error}") from error
    if picture.keep is not None:
        raise UsageError(f"--mask: {path}: {picture.keep[1]}")
    pixels = as_rgb(as_unit(picture.pixels)[None])
    if picture.alpha is not None:
        pixels = over(pixels, as_unit(picture.alpha)[None], 0.0)
    return (rgb_to_gray(pixels)[0] >= 0.5).numpy()


def parse_rectangle(text: str) -> Rectangle:
    """Reads ``x,y,width,height``.

    Raises:
        UsageError: these are not four whole numbers, or the size is not positive.
    """
    try:
        x, y, width, height = map(int, text.split(","))
    except ValueError:
        raise UsageError(f"--ignore: expected x,y,width,height in pixels, got {text!r}") from None
    if width < 1 or height < 1:
        raise UsageError(f"--ignore: {text}: width and height must be positive")
    return Rectangle(x, y, width, height)
