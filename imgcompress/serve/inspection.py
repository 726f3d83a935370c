"""What a file says about itself, as JSON."""

from typing import Any

from imgcompress.formats.select import MEDIA_TYPES
from imgcompress.image.decoded import Probe
from imgcompress.image.picture import Picture


def inspect(probe: Probe, picture: Picture, size: int) -> dict[str, Any]:
    """Describes a picture.

    Args:
        probe: format, size and number of frames as the file's header has them.
        picture: what was read.
        size: bytes of the file.

    Returns:
        Values for JSON; ``null`` where nothing is known, as of pictures that are not read.
    """
    unread = picture.keep is not None and (picture.width, picture.height) != (probe.width, probe.height)
    metadata, jpeg = picture.metadata, picture.jpeg
    return {
        "format": probe.format,
        "media_type": MEDIA_TYPES[probe.format],
        "bytes": size,
        "width": probe.width,
        "height": probe.height,
        "frames": probe.frames,
        "bit_depth": None if unread else picture.bit_depth,
        "channels": None if unread else len(picture.pixels),
        "alpha": None if unread else picture.alpha is not None,
        "metadata": {
            "exif": metadata.exif is not None,
            "icc": metadata.icc is not None,
            "xmp": metadata.xmp is not None,
            "orientation": metadata.orientation,
            "density": metadata.density,
            "complete": metadata.complete,
        },
        "jpeg": None
        if jpeg is None
        else {
            "subsampling": jpeg.subsampling,
            "progressive": jpeg.progressive,
            "tables": jpeg.tables.flatten(1).tolist(),
        },
        "made_by_imgcompress": picture.marked,
        "kept": None if picture.keep is None else {"reason": picture.keep[0], "message": picture.keep[1]},
    }
