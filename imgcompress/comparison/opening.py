"""From pairs of files to pairs of pictures: first their bytes, then what is seen in them."""

from typing import NamedTuple

from imgcompress.comparison.common_space import as_seen
from imgcompress.comparison.comparer import Opened
from imgcompress.comparison.exclusions import Exclusions
from imgcompress.comparison.pairing import Pair
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.config import LimitsConfig
from imgcompress.dataset.named_files import megapixels_of
from imgcompress.errors import PictureError
from imgcompress.faults import caught
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture

_ROLES = ("reference", "test")


class Loaded(NamedTuple):
    """A pair of files, read.

    Attributes:
        data: of the reference and of the test.
        megapixels: of both pictures, once they are decoded.
    """

    pair: Pair
    data: tuple[bytes, bytes]
    megapixels: float


def load_pair(pair: Pair) -> Loaded | Compared:
    """Reads both files of a pair; threads may call this at once.

    Returns:
        Their bytes, or how the comparison ended before that.
    """
    if pair.problem is not None:
        return _error(pair, pair.problem)
    if pair.reference is None or pair.test is None:
        outcome = Outcome.EXTRA if pair.reference is None else Outcome.MISSING
        return Compared(pair.name, outcome, pair.reference, pair.test)
    try:
        data = pair.reference.read_bytes(), pair.test.read_bytes()
    except OSError as error:
        return _error(pair, f"{error.filename}: {error.strerror}")
    return Loaded(pair, data, sum(map(megapixels_of, data)))


def open_pair(loaded: Loaded, exclusions: Exclusions, limits: LimitsConfig) -> Opened | Compared:
    """Decodes both files of a pair; threads may call this at once.

    Args:
        loaded: the files.
        exclusions: what is not compared.
        limits: how large a picture may be.

    Returns:
        What is to be measured, or how the comparison ended before that.
    """
    opened = caught(_opened, loaded, exclusions, limits.max_megapixels)
    return _error(loaded.pair, str(opened)) if isinstance(opened, PictureError) else opened


def _opened(loaded: Loaded, exclusions: Exclusions, max_megapixels: float) -> Opened:
    pair = loaded.pair
    reference, test = (
        _decoded(data, f"{role}: {path}", max_megapixels)
        for data, role, path in zip(loaded.data, _ROLES, (pair.reference, pair.test), strict=True)
    )
    seen = as_seen(reference, test)
    return Opened(pair, seen._replace(test=exclusions.apply(seen.reference, seen.test)))


def _decoded(data: bytes, name: str, max_megapixels: float) -> Picture:
    try:
        return read_picture(data, max_megapixels)
    except PictureError as error:
        raise PictureError(error.reason, f"{name}: {error}") from error


def _error(pair: Pair, message: str) -> Compared:
    return Compared(pair.name, Outcome.ERROR, pair.reference, pair.test, error=message)
