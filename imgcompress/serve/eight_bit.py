"""Deep pictures for clients that accept only formats of 8 bits a channel."""

from dataclasses import replace

import torch
from torch import Tensor

from imgcompress.image.picture import Picture

_DEEP = frozenset({"avif", "png"})


def for_format(picture: Picture, form: str) -> Picture:
    """A picture as a format can hold it: where that has 8 bits a channel, rounded to them.

    Args:
        picture: of any depth.
        form: the format's name.
    """
    if picture.bit_depth == 8 or form in _DEEP:
        return picture
    alpha = None if picture.alpha is None else _rounded(picture.alpha)
    return replace(picture, pixels=_rounded(picture.pixels), alpha=alpha, bit_depth=8)


def _rounded(values: Tensor) -> Tensor:
    return ((values.int() + 128) // 257).to(torch.uint8)
