"""The facts about a file's structure by which programs that write JPEG files are told apart."""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from imgcompress.forensics.structure import Structure
from imgcompress.forensics.table_quality import table_quality
from imgcompress.forensics.table_shape import scaled_share
from imgcompress.shapes import Int

Fact = Literal["layout", "scans", "huffman", "tables", "components", "sampling", "jfif", "apps", "comment"]
Facts = Mapping[Fact, frozenset[str]]
"""The values that fit a file (one, but for tables that are too fine to be told apart), or those that a
signature was seen with."""

NAMES: dict[Fact, str] = {
    "layout": "the order of its segments",
    "scans": "its scans",
    "huffman": "its Huffman tables",
    "tables": "the shape of its quantization tables",
    "components": "the numbers of its components",
    "sampling": "its sampling",
    "jfif": "its JFIF version",
    "apps": "its APP segments",
    "comment": "its comment",
}
"""What each fact is, for people."""

_WRITTEN_BY_ENCODERS = frozenset({"JFIF", "JFXX", "Adobe", "AVI1", "APP10", "APP11", "APP12"})
"""The others hold what a person or a camera says, and travel from one program to the next."""

LEAST_SHARE = 0.95
"""Of the luma steps that a scaled shape explains. By ``scripts/make_signatures`` tables reach 0.98 at least
on shapes of their own family and 0.97 at most (guetzli's, which are fine), else 0.94, on those of others."""
_TIE = 0.03
_LEAST_MEAN = 4.0
"""Mean luma step below which a table may be any shape: its steps are 1 to 6."""


def facts_of(structure: Structure, shapes: Mapping[str, Int[Tensor, "shapes 64"]]) -> Facts:
    """What a file shows of the program that wrote it.

    Args:
        structure: of the file.
        shapes: luma tables by the name of their shape, at several qualities each.

    Returns:
        What cannot be known is missing: the scans of a head, the sampling without a frame.
    """
    facts: dict[Fact, frozenset[str]] = {
        "layout": frozenset({" ".join(_coarse(word) for word in structure.layout)}),
        "apps": frozenset({" ".join(app for app in structure.apps if app in _WRITTEN_BY_ENCODERS)}),
        "jfif": frozenset(
            {"none" if structure.jfif is None else "{}.{:02d}".format(*structure.jfif.version)}
        ),
        "comment": frozenset({_first_comment(structure)}),
        "huffman": frozenset({_HUFFMAN[structure.standard_huffman]}),
    }
    if structure.frame is not None:
        components = structure.frame.components
        facts["components"] = frozenset({" ".join(str(each.identifier) for each in components)})
        facts["sampling"] = frozenset({" ".join(f"{c.horizontal}x{c.vertical}" for c in components)})
    if structure.scans:
        facts["scans"] = frozenset({" ".join(structure.scan_script)})
    tables = structure.tables
    if tables is not None:
        facts["tables"] = _table_shapes(tables, shapes)
    return facts


_HUFFMAN = {True: "the standard's", False: "others", None: "none"}


def _coarse(word: str) -> str:
    """A word of the layout; of Huffman tables only their order, as their number goes with the picture."""
    name, _, tables = word.partition(":")
    if name != "DHT":
        return word
    runs = [(kind, len(list(run))) for kind, run in groupby(table[:2] for table in tables.split(","))]
    return "DHT:" + ",".join(kind + "+" * (length > 1) for kind, length in runs)


def _first_comment(structure: Structure) -> str:
    """Without its numbers: programs write their version and the quality there."""
    if not structure.comments:
        return ""
    text = structure.comments[0][:100].decode("latin-1").strip("\0\r\n ")
    return re.sub(r"\d+", "#", text)


def tells_shape(tables: Int[Tensor, "components 8 8"]) -> bool:
    """Whether tables have a shape of their own: not libjpeg's, and luma is coarse enough to show it."""
    return not table_quality(tables).luma.exact and float(tables[0].to(torch.float32).mean()) >= _LEAST_MEAN


def _table_shapes(
    tables: Int[Tensor, "components 8 8"], shapes: Mapping[str, Int[Tensor, "shapes 64"]]
) -> frozenset[str]:
    found = table_quality(tables)
    if found.exact:
        return frozenset({"libjpeg"})
    if found.luma.exact:
        chroma = found.chroma
        mixed = chroma is not None and chroma.exact and chroma.base == "luma"
        return frozenset({"libjpeg, luma for all" if mixed else "libjpeg, other chroma"})
    luma = tables[0].flatten()
    if not shapes:
        return frozenset({"other"})
    if not tells_shape(tables):
        return frozenset({"other", *shapes})
    # All at once: one call for each would take most of the time that a file takes.
    names = [name for name, rows in shapes.items() for _ in rows]
    best: dict[str, float] = {}
    for name, share in zip(names, scaled_share(luma, torch.cat(list(shapes.values()))).tolist(), strict=True):
        best[name] = max(share, best.get(name, 0.0))
    least = max(LEAST_SHARE, max(best.values()) - _TIE)
    return frozenset(name for name, share in best.items() if share >= least) or frozenset({"other"})
