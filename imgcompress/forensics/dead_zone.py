"""How wide encoders make the zero of their quantizers, and which one a file's tables point to."""

from enum import IntEnum

import torch
from torch import Tensor

from imgcompress.forensics.band_model import THRESHOLDS
from imgcompress.quantization.tables import ijg_tables
from imgcompress.shapes import Int

DEAD_ZONES = (
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ((0.55, 0.55, 0.7), (0.6, 0.6, 0.7)),
    ((0.6, 0.7, 0.8), (0.8, 0.9, 1.05)),
    ((0.6, 0.8, 0.9), (0.9, 1.05, 1.05)),
)
"""Thresholds of zero, in steps, of luma and of chroma, at low, middle and high frequencies: plain rounding, a
trellis (mozjpeg), and adaptive zeroing (jpegli) of smooth and of busy pictures. Typical of what best parts
zeros from ones in files of Kodak 1, 9 and 17 at qualities 35 to 95; between ones and twos jpegli rounds
plainly and mozjpeg's trellis nearly so."""
_RADII = (2.0, 4.5)
"""Frequencies, in half cycles a block, up to which low and middle reach."""


_JPEGLI_LUMA = (
    (24, 17, 31, 34, 64, 67, 74, 74),
    (17, 22, 31, 41, 66, 61, 77, 78),
    (31, 31, 43, 48, 65, 75, 72, 82),
    (34, 41, 48, 65, 80, 79, 78, 89),
    (64, 66, 65, 80, 88, 95, 107, 106),
    (67, 61, 75, 79, 95, 105, 98, 117),
    (74, 77, 72, 78, 107, 98, 105, 104),
    (74, 78, 82, 89, 106, 117, 104, 84),
)
"""Read from a 4:2:0 file that ajpegli wrote at quality 20."""
_SAME_SHAPE = 0.3
"""Standard deviation of the difference of logarithms: jpegli's own luma tables stay within .27 of the one
above at qualities 5 to 98, mozjpeg's default and the standard's at 25 to 99 are .36 and more away."""


class TableKind(IntEnum):
    """What the tables say about the quantizer: a hint, not a proof."""

    STANDARD = 0
    """Luma's is the standard's example as libjpeg scales it: usually rounded plainly."""
    EQUAL = 1
    """Chroma's are luma's, which is how mozjpeg's default comes: usually a trellis."""
    JPEGLI = 2
    """Luma's has the shape of jpegli's: usually adaptive zeroing."""
    OTHER = 3


def table_kind(tables: Int[Tensor, "components 8 8"]) -> TableKind:
    """The kind of one file's tables, integer steps in natural order."""
    luma = tables[0]
    for quality in range(1, 101):
        if torch.equal(ijg_tables(quality)[0].to(luma), luma):
            return TableKind.STANDARD
    if len(tables) == 3 and torch.equal(tables[0], tables[1]):
        return TableKind.EQUAL
    shape = luma.double().log() - torch.tensor(_JPEGLI_LUMA, device=luma.device).double().log()
    return TableKind.JPEGLI if float(shape.std()) < _SAME_SHAPE else TableKind.OTHER


def threshold_indices(components: int, device: torch.device | str) -> Int[Tensor, "zones bands"]:
    """Into THRESHOLDS, of each of DEAD_ZONES, for the 64 bands of each component."""
    frequency = torch.arange(8, device=device)
    radius = torch.sqrt((frequency[:, None].square() + frequency.square()).flatten().double())
    group = (radius > _RADII[0]).long() + (radius > _RADII[1])
    rows = []
    for luma, chroma in DEAD_ZONES:
        of_each = [luma] + [chroma] * (components - 1)
        indices = [[THRESHOLDS.index(threshold) for threshold in one] for one in of_each]
        rows.append(torch.tensor(indices, device=device)[:, group].flatten())
    return torch.stack(rows)
