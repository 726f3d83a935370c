"""Compared pairs as pictures for people."""

from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from imgcompress.comparison.common_space import Seen
from imgcompress.comparison.record import Compared
from imgcompress.drawing.pair import PairDrawing, pack_pair
from imgcompress.drawing.score_map import score_map
from imgcompress.drawing.side_by_side import draw_comparison
from imgcompress.image.color import as_unit, over
from imgcompress.image.picture import Decoded
from imgcompress.perception.windows import Window
from imgcompress.shapes import UInt8

LOCATED_BY = "ssimulacra2"
"""The metric whose worst windows are boxed."""
_BACKGROUND = 0.5
"""A gray on which both white and black letters can be seen, where there is alpha."""


def side_by_side(seen: Seen, compared: Compared) -> bytes:
    """Reference, test, where they differ and the worst windows enlarged.

    Args:
        seen: what was compared.
        compared: what came of it, located by ``LOCATED_BY``.

    Returns:
        A PNG file.
    """
    before, after = _shown(seen.reference), _shown(seen.test)
    captions = _caption("reference", compared.reference), _caption("test", compared.test)
    image = draw_comparison(before, after, score_map(before, after), _worst(compared), captions)
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pair_drawing(seen: Seen, compared: Compared) -> PairDrawing:
    """The same for a page.

    Args:
        seen: what was compared.
        compared: what came of it, located by ``LOCATED_BY``.
    """
    before, after = _shown(seen.reference), _shown(seen.test)
    return pack_pair(before, after, score_map(before, after), _worst(compared))


def _caption(role: str, path: Path | None) -> str:
    return role if path is None else f"{role}: {path.name}"


def _worst(compared: Compared) -> tuple[Window, ...]:
    return compared.worst.get(LOCATED_BY, ())


def _shown(decoded: Decoded) -> UInt8[Tensor, "channels height width"]:
    pixels, alpha = decoded
    if pixels.dtype == torch.uint8 and alpha is None:
        return pixels
    values = as_unit(pixels)
    if alpha is not None:
        values = over(values[None], as_unit(alpha)[None], _BACKGROUND)[0]
    return (255 * values + 0.5).to(torch.uint8)
