"""Profiles for gray where a format has none."""

from imgcompress.errors import PictureError, Reason
from imgcompress.image.picture import Picture


def refuse_gray_profile(picture: Picture, name: str) -> None:
    """Looks whether a gray picture's profile would stand in a file that has RGB only.

    Args:
        picture: what is to be coded.
        name: of the format, for the message.

    Raises:
        PictureError: COLOR_SPACE, it would.
    """
    icc = picture.metadata.icc
    if picture.is_gray and icc is not None and icc[16:20] == b"GRAY":
        raise PictureError(Reason.COLOR_SPACE, f"a profile for gray does not fit {name}, which is RGB")
