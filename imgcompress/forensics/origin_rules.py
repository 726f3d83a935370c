"""Where a file comes from by rules stated in words: no program could be run here to make samples.

The rules for Photoshop and cameras say what is known of such files in general; those for messengers were
derived from files that imitate them (shrunk to a round size, coded anew by libjpeg without metadata). Their
confidences are set, not fitted: they say which finding to believe first, and no rule is surer than MOST.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from imgcompress.forensics.exif_fields import ExifFields
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.structure import Structure
from imgcompress.forensics.table_quality import TablesQuality
from imgcompress.quantization.tables import ijg_tables
from imgcompress.shapes import Int

MOST = 0.7
_EDITORS = (
    "photoshop",
    "lightroom",
    "camera raw",
    "gimp",
    "paint",
    "snapseed",
    "picasa",
    "capture one",
    "darktable",
    "rawtherapee",
    "affinity",
    "imagemagick",
    "acdsee",
    "photoscape",
    "pixelmator",
)
"""Words in a Software field that name programs for editing; cameras write their firmware's version there."""

_MESSENGER_SIDES = (960, 1080, 1280, 1440, 1600, 1920, 2048, 2560, 4096)
"""Longest sides, pixels, that programs shrink pictures to before they send them."""
_MESSENGER_QUALITIES = range(50, 86)
_MESSENGER_SCALE = (1.8, 2.3)
"""By how much coarser the steps become, by the source document's rule."""


def photoshop(structure: Structure, quality: TablesQuality | None) -> Finding | None:
    """Adobe Photoshop: by its segments, tables of its own and all tables of a kind in one segment."""
    reasons = []
    if "Photoshop" in structure.apps:
        reasons.append("an APP13 segment of Photoshop")
    if "Adobe" in structure.apps:
        reasons.append("an APP14 segment of Adobe")
    if "APP12" in structure.apps:
        reasons.append("an APP12 segment, as saving for the web leaves")
    if not reasons:
        return None
    if "DHT:dc0,dc1,ac0,ac1" in structure.layout and "DQT:0,1" in structure.layout:
        reasons.append("tables of a kind in one segment, DC before AC")
    tables = structure.tables
    if quality is not None and tables is not None and not quality.luma.exact:
        reasons.append("tables that are not libjpeg's")
        if _finer_at_high_frequencies(tables, quality):
            reasons.append("luma finer at high frequencies than libjpeg's")
    if len(reasons) < 3:
        return None
    return Finding(
        "encoder",
        f"By rule, not by samples: Adobe Photoshop or a program of its kind: {', '.join(reasons)}.",
        min(MOST, 0.15 * len(reasons)),
    )


def _finer_at_high_frequencies(tables: Int[Tensor, "components 8 8"], quality: TablesQuality) -> bool:
    row = torch.arange(8)
    high = row[:, None] + row >= 8
    steps, reference = tables[0].to(torch.float32), ijg_tables(quality.luma.quality)[0]
    return float((steps / reference).log()[high].mean()) < 0


def camera(structure: Structure, exif: ExifFields | None, quality: TablesQuality | None) -> Finding | None:
    """Whether a file that names a camera looks as cameras write them, or saved again since."""
    if exif is None or not (exif.make or exif.model):
        return None
    name = exif.model if exif.model.startswith(exif.make) else f"{exif.make} {exif.model}".strip()
    taken = f", taken {exif.taken}" if exif.taken else ""
    evidence = list(_camera_evidence(structure, exif, quality))
    fits = [text for speaks_for, text in evidence if speaks_for]
    against = [text for speaks_for, text in evidence if not speaks_for]
    head = f"EXIF names a camera, {name}{taken}"
    if len(against) > 1:
        return Finding(
            "origin",
            f"{head}, but the file was saved again since: {', '.join(against)}.",
            min(MOST, 0.2 * len(against)),
        )
    doubt = f"; against it: {', '.join(against)}" if against else ""
    return Finding(
        "origin",
        f"{head}, and the file looks as cameras write them: {', '.join(fits)}{doubt}.",
        min(MOST, 0.15 * len(fits)),
    )


def _camera_evidence(
    structure: Structure, exif: ExifFields, quality: TablesQuality | None
) -> Iterator[tuple[bool, str]]:
    """What speaks for a file as the camera wrote it, and what against."""
    yield (True, "maker's notes") if exif.maker_note else (False, "no maker's notes")
    if "JFIF" in structure.apps:
        yield False, "a JFIF segment, which cameras leave out"
    else:
        yield True, "no JFIF segment"
    if structure.standard_huffman:
        yield True, "the standard's Huffman tables"
    else:
        yield False, "Huffman tables optimized for this picture"
    if structure.progressive:
        yield False, "progressive scans"
    if structure.restart_interval:
        yield True, "restart markers"
    if structure.subsampling == "422":
        yield True, "4:2:2 sampling"
    if quality is not None and quality.exact and quality.luma.quality < 90:
        yield False, f"libjpeg's tables of quality {quality.luma.quality}"
    frame = structure.frame
    if exif.size and frame and exif.size not in ((frame.width, frame.height), (frame.height, frame.width)):
        yield False, f"{exif.size[0]}x{exif.size[1]} in EXIF, but {frame.width}x{frame.height} in the file"
    if any(word in exif.software.lower() for word in _EDITORS):
        yield False, f"software {exif.software!r}"


def editor(exif: ExifFields | None) -> Finding | None:
    """A Software field that names a program for editing."""
    if exif is None or not any(word in exif.software.lower() for word in _EDITORS):
        return None
    when = f", last changed {exif.changed}" if exif.changed else ""
    return Finding("origin", f"EXIF names {exif.software!r}, which edits pictures{when}.", 0.9)


def messenger(
    structure: Structure, quality: TablesQuality | None, thumbnail: Int[Tensor, "_ 8 8"] | None
) -> Finding | None:
    """A second, coarse compression as messengers make it."""
    reasons = list(_messenger_reasons(structure, quality))
    scale = _scale(structure.tables, thumbnail)
    low, high = _MESSENGER_SCALE
    if scale is not None and low <= scale <= high:
        reasons.append(f"steps {scale:.1f} times the thumbnail's, which the first compression may have left")
    elif len(reasons) < 4:
        return None
    return Finding(
        "earlier_compression",
        "It may have been sent by a messenger, which shrinks pictures and compresses them a second time: "
        f"{', '.join(reasons)}. (The rule comes from imitated files, not from real ones.)",
        min(0.5, 0.1 * len(reasons)),
    )


def _messenger_reasons(structure: Structure, quality: TablesQuality | None) -> Iterator[str]:
    if structure.exif is None and structure.xmp is None:
        yield "no EXIF and no XMP data"
    frame = structure.frame
    side = max(frame.width, frame.height) if frame else 0
    if side in _MESSENGER_SIDES:
        yield f"a longest side of {side}"
    if quality is not None and quality.exact and quality.luma.quality in _MESSENGER_QUALITIES:
        yield f"libjpeg's quality {quality.luma.quality}"
    if structure.subsampling == "420":
        yield "4:2:0 sampling"
    if structure.progressive or structure.standard_huffman is False:
        yield "progressive scans" if structure.progressive else "optimized Huffman tables"


def _scale(tables: Tensor | None, first: Tensor | None) -> float | None:
    """By how much luma steps are coarser; None where it is not about the same for all of them."""
    if tables is None or first is None:
        return None
    ratios = (tables[0].to(torch.float32) / first[0]).flatten()
    middle = float(ratios.median())
    alike = ((ratios / middle).log().abs() < 0.2).to(torch.float32).mean()
    return middle if float(alike) > 0.9 else None
