"""Which of the pictures found are candidates."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from imgcompress.errors import UsageError


@dataclass(frozen=True)
class Selection:
    """Which of the pictures found are candidates; outputs are named as if all were.

    Attributes:
        include: globs of paths below the root, in which ``*`` stands for slashes too; one must match.
        exclude: the same; none may match.
        min_bytes: smaller files are left out.
        limit: only so many pictures, the first ones.
        sample: only so many of those, drawn at random with a fixed seed, in their order.

    Raises:
        UsageError: a number is out of its range.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    min_bytes: int = 0
    limit: int | None = None
    sample: int | None = None

    def __post_init__(self) -> None:
        for key, least in (("min_bytes", 0), ("limit", 1), ("sample", 1)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise UsageError(f"{key}: expected an integer >= {least}, got {value}")

    def takes(self, key: str, file: Path) -> bool:
        """Whether a file is among those chosen by name and size.

        Args:
            key: its path below the root, with slashes.
            file: where it lies.
        """
        if not any(fnmatchcase(key, glob) for glob in self.include):
            return False
        if any(fnmatchcase(key, glob) for glob in self.exclude):
            return False
        try:
            return self.min_bytes == 0 or file.stat().st_size >= self.min_bytes
        except OSError:
            return True  # a line of the report says why it cannot be read
