"""A page of HTML in one file, and what it may do."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from imgcompress import __version__
from imgcompress.errors import PictureError, UsageError
from imgcompress.image.write import write_atomically
from imgcompress.resources import resource_path

STYLES = ("drawing/html/page.css", "drawing/html/pair.css")
"""Of every page."""
SCRIPTS = ("drawing/html/pair.js",)


def fill_page(
    kind: str,
    title: str,
    body: str,
    *,
    notes: str = "",
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    **parts: str,
) -> str:
    """Puts a page together; it runs no script and shows no style but its own, and fetches nothing.

    Args:
        kind: what it is, a word for its title.
        title: HTML of its heading, as all parts; what comes from outside is escaped.
        body: resource with places for the parts.
        notes: what must be known before the rest is read.
        styles, scripts: resources that come after those of every page.
        parts: of the body.
    """
    style = "".join(text_of(name) for name in (*STYLES, *styles))
    script = "".join(text_of(name) for name in (*SCRIPTS, *scripts))
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(text_of("drawing/html/page.html")).substitute(
        kind=kind,
        title=title,
        notes=notes,
        body=Template(text_of(body)).substitute(parts),
        policy=policy,
        style=style,
        script=script,
        version=__version__,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def save_page(path: Path, page: str) -> None:
    """Writes a page, whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        page: its text. A name in it that is no UTF-8 has lone surrogates; they become their escapes.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write_atomically(path, page.encode("utf-8", "backslashreplace"))
    except PictureError as error:
        raise UsageError(f"{path.parent}: the report {error}") from error


def text_of(resource: str) -> str:
    """A text that ships with the package, such as ``drawing/html/pair.js``."""
    return resource_path(resource).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Names an element's content for the content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
