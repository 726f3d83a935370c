"""For tests of programs that make pictures: an assertion that tells where two differ.

The fixture that stores references is in :mod:`imgcompress.pytest_plugin`.
"""

from functools import lru_cache
from os import PathLike
from pathlib import Path

from imgcompress.comparison.common_space import Seen, as_seen
from imgcompress.comparison.comparer import Comparer, Opened
from imgcompress.comparison.criteria import Criterion
from imgcompress.comparison.drawings import LOCATED_BY, Drawing
from imgcompress.comparison.given import Given, as_picture
from imgcompress.comparison.pairing import Pair
from imgcompress.comparison.profiles import DEFAULT_PROFILE, load_profile
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.comparison.told import complaints, measurements
from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.dataset.printable import printable
from imgcompress.errors import PictureError
from imgcompress.image.write import write_atomically


def assert_images_match(
    reference: Given,
    test: Given,
    *,
    profile: str = DEFAULT_PROFILE,
    heatmap: str | PathLike[str] | None = None,
) -> None:
    """Holds a picture against the one that it is to look like.

    Args:
        reference: a path, a file's bytes, a Pillow image, a numpy array or a tensor; see
            ``imgcompress.comparison.given.Given`` for shapes and ranges.
        test: likewise; another kind, color profile or orientation is no difference by itself.
        profile: by which they must match: a name or a YAML file, as for ``imgcompress compare``.
        heatmap: where a PNG of what differs goes if they do not match; None for nowhere.

    Raises:
        AssertionError: they do not match; it says by which criteria, all scores and the worst windows.
        UsageError: one of them is nothing that is a picture, or there is no such profile.
        PictureError: a file cannot be read.
    """
    __tracebackhide__ = True
    pictures = as_picture(reference, "reference"), as_picture(test, "test")
    pair = Pair("picture", _path(reference), _path(test))
    comparer = _comparer(load_profile(profile))
    try:
        seen = as_seen(*pictures)
    except PictureError as error:
        compared = Compared(pair.name, Outcome.ERROR, pair.reference, pair.test, error=str(error))
        raise AssertionError(_message(compared, profile)) from None
    (compared,) = comparer.compare([Opened(pair, seen)])
    if compared.outcome is Outcome.PASSED:
        return
    message = _message(compared, profile)
    if heatmap is not None and compared.outcome is Outcome.FAILED:
        message += f"\n{_drawn(Path(heatmap), seen, compared)}"
    raise AssertionError(message)


@lru_cache(maxsize=8)
def _comparer(criteria: tuple[Criterion, ...]) -> Comparer:
    """One for all pictures with the same criteria: a model may have to be loaded for them."""
    config = Config()
    return Comparer(config, find_device(config.device), criteria, locate=(LOCATED_BY,))


def _path(given: Given) -> Path | None:
    return Path(given) if isinstance(given, str | PathLike) else None


def _message(compared: Compared, profile: str) -> str:
    head = f"the pictures do not match (profile {printable(profile)})"
    return "\n".join((head, *complaints(compared), *measurements(compared)))


def _drawn(path: Path, seen: Seen, compared: Compared) -> str:
    """Draws what differs, and says where; a full disk must not hide that the pictures do not match."""
    try:
        write_atomically(path, Drawing(seen, compared).side_by_side())
    except PictureError as error:
        return f"no heat map: {error}"
    return f"heat map: {printable(str(path))}"
