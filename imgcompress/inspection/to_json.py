"""An inspection as values for JSON."""

from dataclasses import asdict
from typing import Any

from imgcompress.forensics.earlier_steps import EarlierCompression
from imgcompress.forensics.history import History
from imgcompress.forensics.structure import Structure
from imgcompress.formats.select import MEDIA_TYPES
from imgcompress.image.picture import Metadata, Picture
from imgcompress.inspection.record import Inspection

_WORTH_NAMING = 0.01


def to_json(found: Inspection) -> dict[str, Any]:
    """Values for JSON; ``null`` where nothing is known, as of pixels that were not read.

    Args:
        found: of any file.
    """
    probe, keep = found.probe, None if found.picture is None else found.picture.keep
    return {
        "format": None if probe is None else probe.format,
        "media_type": None if probe is None else MEDIA_TYPES[probe.format],
        "bytes": found.size,
        "width": None if probe is None else probe.width,
        "height": None if probe is None else probe.height,
        "frames": None if probe is None else probe.frames,
        "bits_per_pixel": _rounded(found.bits_per_pixel, 4),
        **_pixels(found.picture if found.is_decoded else None),
        "metadata": None if found.picture is None else _metadata(found.picture.metadata),
        "jpeg": None if found.structure is None else _jpeg(found.structure),
        **_past(found.history),
        "earlier_compression": None if found.earlier is None else _earlier(found.earlier),
        "psnr": None if found.psnr is None else asdict(found.psnr),
        "score": _rounded(found.score, 2),
        "score_range": None if found.likely_range is None else [round(end, 2) for end in found.likely_range],
        "findings": [asdict(finding) for finding in found.findings],
        "made_by_imgcompress": found.is_ours,
        "kept": None if keep is None else {"reason": keep[0], "message": keep[1]},
        "advice": None if found.advice is None else asdict(found.advice),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _pixels(picture: Picture | None) -> dict[str, Any]:
    return {
        "bit_depth": None if picture is None else picture.bit_depth,
        "channels": None if picture is None else len(picture.pixels),
        "alpha": None if picture is None else picture.alpha is not None,
    }


def _metadata(metadata: Metadata) -> dict[str, Any]:
    return {
        "exif": metadata.exif is not None,
        "icc": metadata.icc is not None,
        "xmp": metadata.xmp is not None,
        "orientation": metadata.orientation,
        "density": metadata.density,
        "complete": metadata.complete,
    }


def _jpeg(structure: Structure) -> dict[str, Any]:
    frame, exif = structure.frame, structure.exif_fields
    return {
        "subsampling": structure.subsampling,
        "progressive": structure.progressive,
        "precision": None if frame is None else frame.precision,
        "tables": [list(table.steps) for table in structure.component_tables],
        "huffman": {None: None, True: "standard", False: "optimized"}[structure.standard_huffman],
        "arithmetic": structure.is_arithmetic,
        "restart_interval": structure.restart_interval,
        "segments": [*structure.layout],
        "apps": [*structure.apps],
        "scans": [*structure.scan_script],
        "comments": [comment.decode("utf-8", "replace") for comment in structure.comments],
        "exif": None
        if exif is None
        else {
            "make": exif.make,
            "model": exif.model,
            "software": exif.software,
            "changed": exif.changed,
            "taken": exif.taken,
        },
        "trailer": structure.trailer,
    }


def _past(history: History | None) -> dict[str, Any]:
    if history is None:
        return {"quality": None, "encoders": [], "encoder_unknown": None}
    quality = history.quality
    return {
        "quality": None if quality is None else asdict(quality) | {"exact": quality.exact},
        "encoders": [
            {
                "family": match.family,
                "title": match.title,
                "confidence": round(match.confidence, 4),
                "alike": match.alike,
            }
            for match in history.families
            if match.confidence >= _WORTH_NAMING
        ],
        "encoder_unknown": round(history.unknown, 4),
    }


def _earlier(earlier: EarlierCompression) -> dict[str, Any]:
    return {
        "offset": earlier.offset,
        "quality": earlier.quality,
        "steps": earlier.steps.tolist(),
        "confidence": round(earlier.confidence, 4),
    }
