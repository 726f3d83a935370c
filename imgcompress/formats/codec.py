"""What an encoder of some library must be able to do to be searched for a target."""

from typing import Protocol, runtime_checkable

from imgcompress.image.picture import Decoded, Picture


@runtime_checkable
class Codec(Protocol):
    """A format's encoder with its settings. Threads may call it at once."""

    format: str
    """Of ``imgcompress.image.containers.format_of``."""
    samplings: tuple[str, ...]
    """Of "444", "422" and "420", those that there are, the best one first."""
    has_quality: bool
    """Whether a quality means anything; else there is nothing to search for."""
    heeds_orientation: bool
    """Whether readers, browsers too, turn a picture as the file says."""
    is_lossless: bool
    """Whether every pixel and bit survives."""

    def refuse(self, picture: Picture) -> None:
        """Looks whether the format holds the picture.

        Raises:
            PictureError: it does not: the reason why the source is kept.
        """

    def quality_of_score(self, nominal: float) -> float:
        """The quality that gives photographs this SSIMULACRA2 on average; any number is taken.

        It rises strictly with the score up to where the format ends.
        """

    def encode(self, picture: Picture, quality: float, subsampling: str, mark: bytes | None) -> bytes:
        """Writes a file.

        Args:
            picture: one that is not refused. All of its metadata go into the file.
            quality: 0 to 100, the library's own scale, continued between its whole numbers as far as can be.
            subsampling: one of ``samplings``; what is gray has no chroma.
            mark: a note by which ``read_picture`` sees ``marked``; None for none.

        Raises:
            PictureError: the library refuses, or some metadata do not fit.
        """

    def decode(self, data: bytes) -> Decoded:
        """Opens a file by a decoder that shares as little as possible with the encoder.

        Raises:
            PictureError: VERIFY_REFUSED, it does not open.
        """
