"""What a client asks for: its settings from the query, and what it accepts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from imgcompress.config import Config, Format
from imgcompress.errors import UsageError
from imgcompress.formats.select import MEDIA_TYPES, Accept, MadeFormat, acceptable_formats
from imgcompress.targets import parse_target

_KEYS = ("quality", "target", "format")


@dataclass(frozen=True)
class Asked:
    """What a client asks for.

    Attributes:
        config: the service's settings with the client's quality or target.
        accept: which formats it accepts.
        several: whether several of them may be made, to send the smallest.
    """

    config: Config
    accept: Accept
    several: bool

    def formats_to_make(self, bit_depth: int, has_alpha: bool) -> tuple[MadeFormat, ...]:
        """The formats that are tried for a picture of one frame; none where nothing fits.

        Args:
            bit_depth: of the picture, bits a channel.
            has_alpha: whether a pixel of it is transparent.
        """
        formats = acceptable_formats(self.accept, bit_depth, has_alpha, animated=False)
        if not self.several or bit_depth > 8:
            return tuple(formats[:1])
        equal = [form for form in formats if self.accept.weight(form) == self.accept.weight(formats[0])]
        # PNG is lossless here: never the smallest, often the slowest.
        return tuple(form for form in equal if form != "png" or len(equal) == 1)

    def decisions(self, source_format: str) -> str:
        """Names all that the header and the choice of formats decide about a source of a format."""
        kinds = [(depth, alpha) for depth in (8, 16) for alpha in (False, True)]
        return repr(([self.formats_to_make(*kind) for kind in kinds], self.accept.weight(source_format) > 0))


def read_asked(query: Sequence[tuple[str, str]], accept: str | None, config: Config) -> Asked:
    """Reads a request's settings.

    Args:
        query: names and values; ``quality``, ``target`` and ``format`` are known. A format, other than
            ``auto``, stands for an ``Accept`` header with nothing else.
        accept: the ``Accept`` header; None where there is none.
        config: the service's own settings, which hold for the rest.

    Raises:
        UsageError: a name is unknown or told twice, or a value is out of range.
    """
    asked: dict[str, str] = {}
    for name, value in query:
        if name not in _KEYS:
            raise UsageError(f"{name[:40]!r} is no setting of a request; {', '.join(_KEYS)} are")
        if name in asked:
            raise UsageError(f"{name} is given twice")
        asked[name] = value
    changes: dict[str, Any] = {}
    if "quality" in asked:
        changes |= {"quality": _whole_number(asked["quality"]), "target": None}
    if "target" in asked:
        parse_target(asked["target"][:40], config.tolerance)
        changes["target"] = asked["target"]
    form = asked.get("format")
    if form is not None and form not in get_args(Format):
        raise UsageError(f"format: expected one of {', '.join(get_args(Format))}, got {form[:40]!r}")
    several = (form or config.format) == "auto"
    if form not in (None, "auto"):
        accept = MEDIA_TYPES[form]
    return Asked(replace(config, **changes), Accept(accept), several)


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise UsageError(f"quality: expected an integer from 1 to 100, got {text[:40]!r}")
    return int(text)
