"""From pairs of files to pairs of pictures."""

from pathlib import Path

from imgcompress.comparison.common_space import as_seen
from imgcompress.comparison.comparer import Opened
from imgcompress.comparison.exclusions import Exclusions
from imgcompress.comparison.pairing import Pair
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.config import LimitsConfig
from imgcompress.errors import PictureError, Reason
from imgcompress.faults import caught
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture


def open_pair(pair: Pair, exclusions: Exclusions, limits: LimitsConfig) -> Opened | Compared:
    """Reads both files of a pair; threads may call this at once.

    Args:
        pair: the files.
        exclusions: what is not compared.
        limits: how large a picture may be.

    Returns:
        What is to be measured, or how the comparison ended before that.
    """
    opened = caught(_opened, pair, exclusions, limits.max_megapixels)
    if isinstance(opened, PictureError):
        return Compared(pair.name, Outcome.ERROR, pair.reference, pair.test, error=str(opened))
    return opened


def _opened(pair: Pair, exclusions: Exclusions, max_megapixels: float) -> Opened | Compared:
    if pair.problem is not None:
        raise PictureError(Reason.READ_ERROR, pair.problem)
    if pair.reference is None or pair.test is None:
        outcome = Outcome.EXTRA if pair.reference is None else Outcome.MISSING
        return Compared(pair.name, outcome, pair.reference, pair.test)
    pictures = (_read(pair.reference, "reference", max_megapixels), _read(pair.test, "test", max_megapixels))
    seen = as_seen(*pictures)
    return Opened(pair, seen._replace(test=exclusions.apply(seen.reference, seen.test)))


def _read(path: Path, role: str, max_megapixels: float) -> Picture:
    try:
        return read_picture(path.read_bytes(), max_megapixels)
    except OSError as error:
        raise PictureError(Reason.READ_ERROR, f"{role}: {path}: {error.strerror}") from error
    except PictureError as error:
        raise PictureError(error.reason, f"{role}: {path}: {error}") from error
