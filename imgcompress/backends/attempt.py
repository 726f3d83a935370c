"""What every way from a picture to a file takes and gives."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from imgcompress.errors import PictureError
from imgcompress.image.picture import Decoded, Picture


@dataclass(frozen=True)
class Source:
    """A file's bytes and what was decoded from them."""

    data: bytes
    picture: Picture


@dataclass(frozen=True)
class Attempt:
    """A picture encoded in one format.

    Attributes:
        format: the file's.
        data: the file as it would be written.
        decoded: what another decoder shows, turned as the source is stored.
        scores: what was measured on the way.
        settings: what the encoder was asked for and chose, for the report.
        fault: why the target or a limit was missed, or None.
        must_equal: whether the result is to be the source's every pixel.
        seconds: time spent; what a batch shares is divided evenly.
    """

    format: str
    data: bytes
    decoded: Decoded
    scores: dict[str, float]
    settings: dict[str, Any]
    fault: PictureError | None
    must_equal: bool = False
    seconds: float = 0.0


@runtime_checkable
class Backend(Protocol):
    """One format's way. Not for use from several threads at once."""

    format: str

    def refuse(self, picture: Picture) -> None:
        """Looks whether the format holds the picture.

        Raises:
            PictureError: it does not.
        """

    def attempt(self, sources: Sequence[Source], pool: Executor) -> list[Attempt | PictureError]:
        """Encodes pictures of any sizes that are not refused.

        Args:
            sources: the pictures.
            pool: packs and decodes, or encodes, in its threads.

        Returns:
            One attempt a source, in order, or what went wrong with it. No picture's fault raises anything.
        """
