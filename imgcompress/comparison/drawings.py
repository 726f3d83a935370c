"""Compared pairs as pictures for people."""

from io import BytesIO
from pathlib import Path

from imgcompress.comparison.common_space import Seen
from imgcompress.comparison.record import Compared
from imgcompress.drawing.pair import PairDrawing, pack_pair
from imgcompress.drawing.score_map import score_map
from imgcompress.drawing.shown import shown
from imgcompress.drawing.side_by_side import draw_comparison
from imgcompress.perception.windows import Window

LOCATED_BY = "ssimulacra2"
"""The metric whose worst windows are boxed."""


def side_by_side(seen: Seen, compared: Compared) -> bytes:
    """Reference, test, where they differ and the worst windows enlarged.

    Args:
        seen: what was compared.
        compared: what came of it, located by ``LOCATED_BY``.

    Returns:
        A PNG file.
    """
    before, after = shown(seen.reference), shown(seen.test)
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
    before, after = shown(seen.reference), shown(seen.test)
    return pack_pair(before, after, score_map(before, after), _worst(compared))


def _caption(role: str, path: Path | None) -> str:
    return role if path is None else f"{role}: {path.name}"


def _worst(compared: Compared) -> tuple[Window, ...]:
    return compared.worst.get(LOCATED_BY, ())
