"""Paths that clients name, below the one folder that is served."""

from pathlib import Path

from imgcompress.serve.answers import RequestError


def find_below(root: Path, path: str) -> Path:
    """The file of a client's path.

    Links are followed as long as they stay below the root. Hidden files are not served.

    Args:
        root: the folder, resolved.
        path: with forward slashes, percent-decoded once.

    Raises:
        RequestError: 404, whatever the matter is.
    """
    parts = path.split("/")
    if all(part and not part.startswith(".") and not {"\\", "\0"} & set(part) for part in parts):
        try:
            found = (root / path).resolve(strict=True)
            if found.is_relative_to(root) and found.is_file():
                return found
        except (OSError, RuntimeError, ValueError):  # no such file; a loop of links; not a name at all
            pass
    raise RequestError(404, "not_found", "there is no such picture")
