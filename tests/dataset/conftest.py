"""What the tests of runs share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from imgcompress.dataset import files
from imgcompress.errors import PictureError, Reason


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """While it is entered, 2.jpg cannot be written."""
    write = files.write_atomically

    def full(path: Path, *rest: object) -> None:
        if path.name == "2.jpg":
            raise PictureError(Reason.WRITE_ERROR, "2.jpg cannot be written: No space left on device")
        write(path, *rest)

    @contextmanager
    def entered() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(files, "write_atomically", full)
            yield

    return entered
