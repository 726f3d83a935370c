"""Pictures turned as their EXIF orientation asks, for where it would not be heeded."""

from dataclasses import replace

import torch
from torch import Tensor

from imgcompress.image.exif import with_orientation
from imgcompress.image.picture import Decoded, Picture
from imgcompress.shapes import Shaped

_FROM_RIGHT = (2, 3, 6, 7)
_FROM_BELOW = (3, 4, 7, 8)
_UNDOES = {6: 8, 8: 6}


def upright(picture: Picture) -> Picture:
    """The picture as it is to be seen, its EXIF data saying so.

    Density, and what EXIF and XMP say of sizes, stay as they are; so does an orientation in XMP.
    """
    metadata = picture.metadata
    if metadata.orientation == 1:
        return picture
    pixels, alpha = _both(picture.decoded, metadata.orientation)
    exif = with_orientation(metadata.exif, 1)
    return replace(picture, pixels=pixels, alpha=alpha, metadata=replace(metadata, exif=exif, orientation=1))


def turned_back(decoded: Decoded, orientation: int) -> Decoded:
    """What is upright as a picture of an orientation has it stored."""
    return _both(decoded, _UNDOES.get(orientation, orientation))


def turned(
    samples: Shaped[Tensor, "*leading height width"], orientation: int
) -> Shaped[Tensor, "*leading rows columns"]:
    """Samples as an EXIF orientation asks for them to be seen.

    Args:
        samples: any range, on the CPU.
        orientation: 1 to 8.

    Source: Exif 2.3 (CIPA DC-008), 4.6.4.
    """
    if orientation == 1:
        return samples
    array = samples.numpy()  # torch does not flip uint16
    if orientation >= 5:
        array = array.swapaxes(-1, -2)
    if orientation in _FROM_RIGHT:
        array = array[..., ::-1]
    if orientation in _FROM_BELOW:
        array = array[..., ::-1, :]
    return torch.from_numpy(array.copy())


def _both(decoded: Decoded, orientation: int) -> Decoded:
    pixels, alpha = decoded
    return Decoded(turned(pixels, orientation), None if alpha is None else turned(alpha, orientation))
