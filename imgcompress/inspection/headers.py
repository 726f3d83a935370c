"""What the head of a file tells, without decoding."""

import os
from pathlib import Path

from imgcompress.errors import PictureError
from imgcompress.faults import caught
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.history import read_history
from imgcompress.forensics.read_structure import HEAD_BYTES, read_head
from imgcompress.forensics.signatures import Signatures
from imgcompress.forensics.structure import Structure
from imgcompress.image.containers import format_of
from imgcompress.image.decoded import Probe
from imgcompress.image.read import probe
from imgcompress.inspection.record import Inspection


def inspect_headers(path: Path, signatures: Signatures) -> Inspection:
    """Describes a file by its headers: a JPEG's up to the first scan, others' as far as reading them takes.

    Args:
        path: the file.
        signatures: of encoders.

    Raises:
        OSError: the file cannot be read.
    """
    name = str(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        is_jpeg = caught(format_of, file.read(HEAD_BYTES)) == "jpeg"
        file.seek(0)
        if is_jpeg:
            return of_jpeg(name, size, read_head(file), signatures)
        data = file.read()
    try:
        return Inspection(name, size, probe(data))
    except PictureError as error:
        return Inspection(name, size, damage=(Finding("damage", str(error)),))


def of_jpeg(name: str, size: int, structure: Structure, signatures: Signatures) -> Inspection:
    """What a JPEG's segments alone tell.

    Args:
        name: of the file.
        size: bytes.
        structure: of the file or its head.
        signatures: of encoders.
    """
    frame = structure.frame
    width, height = (None, None) if frame is None else (frame.width, frame.height)
    return Inspection(
        name,
        size,
        Probe("jpeg", width, height, structure.pictures),
        structure=structure,
        history=read_history(structure, signatures),
    )
