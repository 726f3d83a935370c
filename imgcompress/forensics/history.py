"""What a file's structure tells of its past, put together: quality, encoder, camera, editors, messengers."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from imgcompress.errors import PictureError
from imgcompress.forensics.exif_fields import ExifFields
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.origin_rules import camera, editor, messenger, photoshop
from imgcompress.forensics.read_structure import read_structure
from imgcompress.forensics.signatures import Match, Signatures
from imgcompress.forensics.structure import Structure
from imgcompress.forensics.table_quality import TableQuality, TablesQuality, table_quality

_WORTH_NAMING = 0.05


@dataclass(frozen=True)
class History:
    """What was found out.

    Attributes:
        quality: by the tables; None without any that can be used.
        families: of encoders, the likeliest first.
        unknown: how likely it is an encoder that is not in the store, 0 to 1.
        findings: with the evidence, grouped by what they are about.
    """

    quality: TablesQuality | None
    families: tuple[Match, ...]
    unknown: float
    findings: tuple[Finding, ...]


def read_history(structure: Structure, signatures: Signatures) -> History:
    """Put together what a file's segments tell.

    Args:
        structure: of a file, or of its head (then its scans are not known and the encoder is less sure).
        signatures: what encoders' files look like.
    """
    tables = structure.tables
    quality = None if tables is None else table_quality(tables)
    # Without frame and tables there is nothing to tell an encoder by.
    families = signatures.rank(structure) if tables is not None else ()
    unknown = max(0.0, 1 - sum((match.confidence for match in families), 0.0))
    exif = structure.exif_fields
    thumbnail = _thumbnail_tables(exif)
    findings = [
        *structure.damage,
        *(exif.damage if exif else ()),
        *_quality_findings(quality),
        *_encoder_findings(families, unknown),
        *(
            found
            for found in (
                photoshop(structure, quality),
                camera(structure, exif, quality),
                editor(exif),
                _thumbnail_finding(thumbnail, quality),
                messenger(structure, quality, thumbnail),
            )
            if found is not None
        ),
    ]
    return History(quality, families, unknown, tuple(findings))


def _thumbnail_tables(exif: ExifFields | None) -> Tensor | None:
    if exif is None or exif.thumbnail is None:
        return None
    try:
        return read_structure(exif.thumbnail).tables
    except PictureError:
        return None


def _told(found: TableQuality) -> str:
    if found.exact:
        return f"quality {found.quality}"
    return f"nearest to quality {found.quality}, from which they differ by {100 * found.distance:.0f} %"


def _quality_findings(quality: TablesQuality | None) -> Iterator[Finding]:
    if quality is None:
        return
    luma, chroma = quality.luma, quality.chroma
    if quality.exact:
        yield Finding("quality", f"The quantization tables are libjpeg's of quality {luma.quality}.")
    elif chroma is None:
        yield Finding("quality", f"The quantization table is not libjpeg's: {_told(luma)}.")
    else:
        base = " (on the scale of its luma table)" if chroma.base == "luma" else ""
        yield Finding(
            "quality",
            f"The quantization tables are not libjpeg's of one quality: luma is {_told(luma)}; "
            f"chroma is {_told(chroma)}{base}.",
        )


def _encoder_findings(families: tuple[Match, ...], unknown: float) -> Iterator[Finding]:
    for match in families:
        if match.confidence < _WORTH_NAMING:
            break
        alike = f", such as that of {', '.join(match.alike[:6])}" if match.alike else ""
        text = f"{match.title}{alike}: {', '.join(match.fits)} fit"
        if match.differs:
            text += f"; {', '.join(match.differs)} do not"
        yield Finding("encoder", f"{text}.", match.confidence)
    if families and unknown >= _WORTH_NAMING:
        yield Finding("encoder", "An encoder that the store of signatures does not know.", unknown)


def _thumbnail_finding(thumbnail: Tensor | None, quality: TablesQuality | None) -> Finding | None:
    if thumbnail is None or quality is None:
        return None
    small, main = table_quality(thumbnail).luma, quality.luma
    if small.quality > main.quality:
        return Finding(
            "thumbnail",
            f"The EXIF thumbnail's tables are finer (about quality {small.quality}) than the picture's "
            f"(about {main.quality}): the picture may have been compressed again since it was made.",
            0.4,
        )
    return Finding(
        "thumbnail",
        f"The EXIF thumbnail's tables (about quality {small.quality}) are no finer than the picture's "
        f"(about {main.quality}).",
        0.5,
    )
