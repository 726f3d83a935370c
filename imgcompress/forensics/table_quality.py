"""Which quality number libjpeg's tables were made with, exactly or about."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import torch
from torch import Tensor

from imgcompress.quantization.tables import ijg_tables
from imgcompress.shapes import Float, Int

_LARGEST_16 = 32767.0
"""Where libjpeg holds the steps of tables of 16 bits."""

Base = Literal["luma", "chroma"]


@dataclass(frozen=True)
class TableQuality:
    """The nearest table of libjpeg (the Independent JPEG Group's scaling of the standard's examples).

    Attributes:
        quality: 1 to 100.
        base: which of the two example tables it scales.
        distance: root mean square over the steps of the logarithm of the ratio to that table's; 0 where
            they are the same, about 0.1 where they differ by 10 %.
    """

    quality: int
    base: Base
    distance: float

    @property
    def exact(self) -> bool:
        """Whether it is libjpeg's table, step by step."""
        return self.distance == 0


@dataclass(frozen=True)
class TablesQuality:
    """The qualities of a file's tables.

    Attributes:
        luma: of the first component.
        chroma: of the second one; None where there is none.
    """

    luma: TableQuality
    chroma: TableQuality | None

    @property
    def exact(self) -> bool:
        """Whether all tables are libjpeg's of one quality, each in its own place."""
        if self.luma.base != "luma" or not self.luma.exact:
            return False
        chroma = self.chroma
        return chroma is None or chroma == TableQuality(self.luma.quality, "chroma", 0.0)


@cache
def _candidates() -> tuple[Float[Tensor, "400 64"], tuple[tuple[int, Base], ...]]:
    """libjpeg's tables with their quality and base: those of 8 bits, then those that need more."""
    tables: list[Tensor] = []
    names: list[tuple[int, Base]] = []
    for largest in (255.0, _LARGEST_16):
        for quality in range(1, 101):
            luma, chroma = ijg_tables(quality, largest=largest).view(2, 64)
            tables += [luma, chroma]
            names += [(quality, "luma"), (quality, "chroma")]
    return torch.stack(tables), tuple(names)


# Files of a folder share their tables, and a file is asked for its quality more than once.
@lru_cache(maxsize=1024)
def _nearest(steps: tuple[int, ...], preferred_quality: int, preferred_base: Base) -> TableQuality:
    """The nearest table; of equally near ones (quality 1 to 3 have the same chroma) the preferred one."""
    tables, names = _candidates()
    given = torch.tensor(steps, dtype=torch.float32).clamp(min=1)
    distances = (given / tables).log().square().mean(1).sqrt()
    least = float(distances.min())
    found = [names[place] for place in (distances == least).nonzero().flatten().tolist()]
    quality, base = min(found, key=lambda name: (name[1] != preferred_base, abs(name[0] - preferred_quality)))
    return TableQuality(quality, base, least)


def table_quality(tables: Int[Tensor, "components 8 8"]) -> TablesQuality:
    """The quality that libjpeg would call tables by.

    Args:
        tables: one per component, natural order, steps >= 1, on the CPU; components >= 1. All behind the
            second are taken to use its table.

    Returns:
        For tables of 8 bits and of 16 (libjpeg's below quality 25 unless it is told to stay baseline).
    """
    luma = _nearest(tuple(tables[0].flatten().tolist()), 50, "luma")
    if len(tables) == 1:
        return TablesQuality(luma, None)
    return TablesQuality(luma, _nearest(tuple(tables[1].flatten().tolist()), luma.quality, "chroma"))
