"""Compared pairs as pictures for people."""

from io import BytesIO
from pathlib import Path

from imgcompress.comparison.common_space import Seen
from imgcompress.comparison.record import Compared
from imgcompress.drawing.pair import PairDrawing, pack_pair
from imgcompress.drawing.score_map import score_map
from imgcompress.drawing.shown import shown
from imgcompress.drawing.side_by_side import draw_comparison

LOCATED_BY = "ssimulacra2"
"""The metric whose worst windows are boxed."""


class Drawing:
    """What all drawings of a pair are made from.

    Args:
        seen: what was compared.
        compared: what came of it, located by ``LOCATED_BY``.
    """

    def __init__(self, seen: Seen, compared: Compared) -> None:
        self._pictures = shown(seen.reference), shown(seen.test)
        self._scores = score_map(*self._pictures)
        self._worst = compared.worst.get(LOCATED_BY, ())
        self._captions = _caption("reference", compared.reference), _caption("test", compared.test)

    def side_by_side(self) -> bytes:
        """Reference, test, where they differ and the worst windows enlarged, as a PNG file."""
        file = BytesIO()
        draw_comparison(*self._pictures, self._scores, self._worst, self._captions).save(file, "PNG")
        return file.getvalue()

    def for_page(self) -> PairDrawing:
        """The same for a page."""
        return pack_pair(*self._pictures, self._scores, self._worst)


def _caption(role: str, path: Path | None) -> str:
    return role if path is None else f"{role}: {path.name}"
