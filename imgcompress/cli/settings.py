"""From parsed options to the settings' classes."""

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from imgcompress.config import Config
from imgcompress.serve.options import ServeOptions

Settings = TypeVar("Settings", Config, ServeOptions)


def of_class(kind: type[Settings], options: Any) -> Settings:
    """The fields of a dataclass among all options."""
    return kind(**{item.name: getattr(options, item.name) for item in fields(kind)})


def as_path(text: str | None) -> Path | None:
    """An option's path; None where it is not given."""
    return None if text is None else Path(text)
