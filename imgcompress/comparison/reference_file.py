"""Pictures stored as references."""

from dataclasses import replace
from pathlib import Path

from imgcompress.errors import PictureError
from imgcompress.formats.png import PngCodec
from imgcompress.image.picture import Metadata, Picture
from imgcompress.image.upright import upright
from imgcompress.image.write import write_atomically


def write_reference(path: Path, picture: Picture) -> None:
    """Writes a picture as PNG, whole or not at all: upright, with alpha, all bits and its color profile.

    Other metadata are left out, so that dates and the like make no difference between files.

    Args:
        path: where to; a file there is replaced.
        picture: any.

    Raises:
        PictureError: its pixels are not known here, or it cannot be written.
    """
    if picture.keep is not None:
        raise PictureError(*picture.keep)
    shown = upright(picture)
    bare = replace(shown, metadata=Metadata(icc=shown.metadata.icc))
    write_atomically(path, PngCodec().encode(bare, 100.0, "444", None))
