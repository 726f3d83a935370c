"""An inspection as values for JSON."""

from dataclasses import asdict
from math import isfinite
from typing import Any

from imgcompress.forensics.structure import Structure
from imgcompress.formats.select import MEDIA_TYPES
from imgcompress.image.picture import Picture
from imgcompress.inspection.record import Inspection


def to_json(found: Inspection) -> dict[str, Any]:
    """Values for JSON; ``null`` where nothing is known, as of pixels that were not read.

    Args:
        found: of any file.
    """
    probe, picture = found.probe, found.picture if found.is_decoded else None
    structure = found.structure
    return {
        "file": found.name,
        "error": found.error,
        "format": None if probe is None else probe.format,
        "media_type": None if probe is None else MEDIA_TYPES.get(probe.format),
        "bytes": found.size,
        "width": None if probe is None else probe.width,
        "height": None if probe is None else probe.height,
        "frames": None if probe is None else probe.frames,
        "bits_per_pixel": _rounded(found.bits_per_pixel, 4),
        "bit_depth": None if picture is None else picture.bit_depth,
        "channels": None if picture is None else len(picture.pixels),
        "alpha": None if picture is None else picture.alpha is not None,
        "metadata": None if found.picture is None else _metadata(found.picture),
        "jpeg": None if structure is None else _jpeg(structure),
        "quality": None if found.history is None else asdict(found.history.quality),
        "encoders": [] if found.history is None else [asdict(each) for each in found.history.encoders],
        "earlier_compression": None
        if found.earlier is None
        else {
            "offset": found.earlier.offset,
            "quality": found.earlier.quality,
            "confidence": round(found.earlier.confidence, 3),
            "steps": found.earlier.steps.flatten().tolist(),
        },
        "psnr": None
        if found.psnr is None
        else {name: asdict(estimate) for name, estimate in asdict(found.psnr).items()},
        "score": _rounded(found.score, 2),
        "findings": [asdict(each) for each in found.findings],
        "made_by_imgcompress": found.is_ours,
        "kept": None
        if found.picture is None or found.picture.keep is None
        else {"reason": found.picture.keep[0], "message": found.picture.keep[1]},
        "advice": None if found.advice is None else asdict(found.advice),
    }
