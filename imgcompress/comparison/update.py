"""Accepting what was compared as the new references."""

from collections.abc import Iterable
from pathlib import Path

from imgcompress.comparison.common_space import as_seen
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.dataset.names import has_image_suffix
from imgcompress.errors import PictureError, Reason
from imgcompress.faults import caught
from imgcompress.image.read import read_picture
from imgcompress.image.write import write_atomically


def accept(results: Iterable[Compared], references: Path) -> dict[str, str | None]:
    """Puts each picture that did not pass, or is new, in its reference's place.

    A file of another format than its reference takes the reference's name with its own suffix; the old
    reference goes then. References of which the other is missing stay.

    Args:
        results: of a comparison.
        references: the folder of the references, for new ones.

    Returns:
        The names of those that are accepted now, each with None, or with why it is not.
    """
    accepted: dict[str, str | None] = {}
    for compared in results:
        if compared.outcome is Outcome.PASSED and compared.reference is not None:
            continue
        if compared.test is None:
            accepted[compared.name] = "there is no picture to accept; the reference stays"
            continue
        old = compared.reference
        new = references / compared.name if old is None else _renamed(old, compared.test)
        if compared.outcome is Outcome.ERROR and old is not None and _can_be_compared(old, compared.test):
            accepted[compared.name] = f"it could not be compared: {compared.error}"
            continue
        problem = caught(_replace, compared.test, old, new)
        accepted[compared.name] = None if problem is None else str(problem)
    return accepted


def _can_be_compared(*files: Path) -> bool:
    """Whether it is not for the pictures, such as a new size, that they were not compared."""
    seen = caught(lambda: as_seen(*(read_picture(file.read_bytes()) for file in files)))
    return not isinstance(seen, PictureError)


def _renamed(old: Path, test: Path) -> Path:
    """What follows the dot in a name need not be a picture's suffix."""
    stem = old.stem if has_image_suffix(old.name) else old.name
    return old.with_name(stem + (test.suffix if has_image_suffix(test.name) else ""))


def _replace(test: Path, old: Path | None, new: Path) -> None:
    """Only what can be compared becomes a reference."""
    if new != old and new.exists():
        raise PictureError(Reason.EXISTS, f"{new} is in the way")
    try:
        data = test.read_bytes()
    except OSError as error:
        raise PictureError(Reason.READ_ERROR, f"{test}: {error.strerror}") from error
    keep = read_picture(data).keep
    if keep is not None:
        raise PictureError(*keep)
    write_atomically(new, data)
    if old is not None and old != new:
        old.unlink()
