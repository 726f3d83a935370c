"""The fixture ``image_references`` for pytest: pictures that tests make are held against stored ones.

Every run of pytest loads this module wherever the package is installed: it imports nothing that takes time.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from imgcompress.errors import PictureError, UsageError

_LONGEST = 100
"""Of a name's part, in characters; file systems take 255 for the whole."""
_WRITTEN = "image_reference_written"
_OWNERS = pytest.StashKey[dict[tuple[Path, str], set[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options and settings of the fixture."""
    group = parser.getgroup("imgcompress", "pictures (imgcompress)")
    group.addoption(
        "--update-images",
        action="store_true",
        help="image_references: store pictures that are new or do not match as the references",
    )
    group.addoption(
        "--image-failures",
        metavar="DIR",
        help="image_references: where pictures that do not match go (default: the setting image_failures)",
    )
    parser.addini(
        "image_references", "folder of the references, from the test file's own", default="references"
    )
    parser.addini(
        "image_failures", "folder for pictures that do not match, from the root", default="image_failures"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begins without any test's claim to a reference."""
    config.stash[_OWNERS] = {}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Notes whose references lie where; every process of pytest-xdist collects all tests."""
    if "image_references" in getattr(item, "fixturenames", ()):
        _owners(item)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says which references were stored, in whatever process."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    properties = (pair for report in reports for pair in getattr(report, "user_properties", ()))
    written = sorted({path for name, path in properties if name == _WRITTEN})
    if written:
        terminalreporter.section("image references")
        terminalreporter.write_line("\n".join(f"stored: {path}" for path in written))


class ImageReferences:
    """The references of one test: PNG files named after it.

    Args:
        item: the test.

    Raises:
        UsageError: another test would have the same files.
    """

    def __init__(self, item: pytest.Item) -> None:
        owners = _owners(item)
        if len(owners) > 1:
            names = " and ".join(sorted(owners))
            raise UsageError(f"{names} would share their references; rename one, or give its parameters ids")
        config = item.config
        self._item = item
        self._stem = _stem(item)
        self._folder = _folder(item)
        failures = config.getoption("--image-failures") or config.getini("image_failures")
        place = item.path.parent
        below = place.relative_to(config.rootpath) if place.is_relative_to(config.rootpath) else place.name
        self._failures = config.rootpath / failures / below
        self._is_updated = bool(config.getoption("--update-images"))
        self._checked: set[str] = set()

    def check(self, picture: Any, name: str | None = None, *, profile: str = "high") -> None:
        """Holds a picture against its reference, ``references/TEST.png`` or ``references/TEST--NAME.png``.

        With ``--update-images`` a picture that is new or does not match becomes the reference.

        Args:
            picture: a path, bytes, a Pillow image, a numpy array or a tensor, as for ``assert_images_match``.
            name: tells the pictures of one test apart.
            profile: by which they must match, as for ``imgcompress compare``.

        Raises:
            AssertionError: it does not match, or there is no reference. The picture, and a map of where it
                differs, are in the folder for failures then.
            UsageError: the test has checked this name before, or this is no picture.
            PictureError: a file cannot be read or written.
        """
        __tracebackhide__ = True
        from imgcompress.comparison.given import as_picture
        from imgcompress.comparison.reference_file import write_reference
        from imgcompress.testing import assert_images_match

        stem = self._claim(name)
        path, failure = _near(self._folder / f"{stem}.png"), _near(self._failures / stem)
        made = as_picture(picture, "picture")
        problem = f"there is no reference {path}"
        if path.exists():
            heatmap = None if self._is_updated else failure / "heatmap.png"
            try:
                assert_images_match(path, picture, profile=profile, heatmap=heatmap)
                return
            except (AssertionError, PictureError) as error:
                problem = str(error)
        if self._is_updated:
            write_reference(path, made)
            self._item.user_properties.append((_WRITTEN, str(path)))
            return
        write_reference(failure / "picture.png", made)
        kept = f"the picture: {failure / 'picture.png'}"
        raise AssertionError(f"{problem}\n{kept}\nto accept it: pytest --update-images")

    def _claim(self, name: str | None) -> str:
        """The file's name without suffix; no two parts are joined to the same."""
        part = None if name is None else _part(name)
        if part == "":
            raise UsageError(f"name: expected letters or digits, got {name!r}")
        stem = self._stem if part is None else f"{self._stem}--{part}"
        if stem.casefold() in self._checked:
            raise UsageError(f"{stem}.png has been checked in this test; give each picture a name of its own")
        self._checked.add(stem.casefold())
        return stem


@pytest.fixture
def image_references(request: pytest.FixtureRequest) -> ImageReferences:
    """Stored pictures to hold the test's own against: ``image_references.check(picture)``."""
    return ImageReferences(request.node)


def _owners(item: pytest.Item) -> set[str]:
    """The tests with this one's references, itself among them; some file systems tell no cases apart."""
    claims = item.config.stash[_OWNERS]
    owners = claims.setdefault((_folder(item), _stem(item).casefold()), set())
    owners.add(f"{item.path.name}::{'::'.join(_names(item))}")
    return owners


def _folder(item: pytest.Item) -> Path:
    return item.path.parent / str(item.config.getini("image_references"))


def _names(item: pytest.Item) -> list[str]:
    """Of the classes and the test; not its nodeid, to which pytest-xdist adds groups."""
    return [node.name for node in item.listchain() if isinstance(node, pytest.Class)] + [item.name]


def _stem(item: pytest.Item) -> str:
    return _part("-".join(_names(item)))


def _part(text: str) -> str:
    """What every file system takes, without two hyphens in a row, which only join parts."""
    part = re.sub(r"[^\w.=+,]+", "-", text, flags=re.ASCII).strip("-")
    if len(part) <= _LONGEST:
        return part
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{part[: _LONGEST - len(digest) - 1].rstrip('-')}-{digest}"


def _near(path: Path) -> Path:
    """A path from the working directory, which is shorter to read, where it is below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
