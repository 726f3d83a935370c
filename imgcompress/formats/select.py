"""Which format a client gets, by what it says it accepts (RFC 9110, 12.5.1) and what the picture needs."""

import re
import sys
from collections.abc import Mapping
from typing import Literal
from urllib.request import parse_http_list

from imgcompress.errors import ImgcompressError

MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "tiff": "image/tiff",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "jxl": "image/jxl",
    "heic": "image/heic",
    "jp2": "image/jp2",
    "jxr": "image/jxr",
    "psd": "image/vnd.adobe.photoshop",
    "exr": "image/x-exr",
    "qoi": "image/qoi",
    "ico": "image/vnd.microsoft.icon",
    "ppm": "image/x-portable-pixmap",
}
"""The media type of every format that ``imgcompress.image.containers.format_of`` tells."""

MadeFormat = Literal["avif", "webp", "jpeg", "png"]
PREFERRED: tuple[MadeFormat, ...] = ("avif", "webp", "jpeg", "png")
"""What is made, in the order in which equally welcome ones are taken."""
_ANIMATED = ("avif", "webp")

# Matched one by one: possessive repeats, which would bound the time of one expression for all, are broken in
# some releases of Python 3.11.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_RANGE = re.compile(rf"({_TOKEN})/({_TOKEN})")
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*(?:({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*"))?')
_WEIGHT = re.compile(r"[01](?:\.[0-9]*)?|\.[0-9]+")


class NotAcceptableError(ImgcompressError):
    """The client accepts nothing that can hold the picture."""


class Accept:
    """What an ``Accept`` header says.

    A media range with parameters is for media types that have them, and none of ours does. What cannot be
    read is passed over; a header with nothing else, or none, accepts everything. Of one range told twice the
    higher weight counts.

    Args:
        header: its value, several of them joined by commas; None where there is none.
    """

    def __init__(self, header: str | None) -> None:
        self._weights: dict[str, float] = {}
        understood = False
        for element in parse_http_list(header or ""):
            weighed = _weighed(element)
            if weighed is None:
                continue
            understood = True
            name, weight = weighed
            if name:
                self._weights[name] = max(weight, self._weights.get(name, 0.0))
        if not understood:
            self._weights = {"*/*": 1.0}

    def weight(self, form: str) -> float:
        """How welcome a format is, 0 (not at all) to 1: what the most specific range says."""
        name = MEDIA_TYPES[form]
        for media_range in (name, name.partition("/")[0] + "/*", "*/*"):
            if media_range in self._weights:
                return self._weights[media_range]
        return 0.0


def _weighed(element: str) -> tuple[str, float] | None:
    """A media range and its weight; an empty name for one with parameters, None for what is no range."""
    match = _MEDIA_RANGE.match(element)
    if match is None:
        return None
    kind, subtype = match[1].lower(), match[2].lower()
    if kind == "*" and subtype != "*":
        return None
    name, weight = f"{kind}/{subtype}", 1.0
    end = match.end()
    while (parameter := _PARAMETER.match(element, end)) is not None:
        end = parameter.end()
        if parameter[1] is None:
            continue
        if parameter[1].lower() != "q":
            name = ""
        elif _WEIGHT.fullmatch(parameter[2]) and 0 <= float(parameter[2]) <= 1:
            weight = float(parameter[2])
        else:
            return None
    return (name, weight) if not element[end:].strip(" \t") else None


def acceptable_formats(
    accept: Accept, bit_depth: int, has_alpha: bool, animated: bool, sizes: Mapping[str, int] | None = None
) -> list[MadeFormat]:
    """The formats that a client may get for a picture, the best one first.

    Args:
        accept: what it accepts.
        bit_depth: of the picture, bits a channel.
        has_alpha: whether a pixel of it is transparent.
        animated: whether all of several frames are to live.
        sizes: bytes of those that have been made already.

    Returns:
        Names as in ``MEDIA_TYPES``: by weight; equally welcome ones AVIF first for more than 8 bits, then by
        size, then as in ``PREFERRED``.
    """
    able = [form for form in PREFERRED if not (has_alpha and form == "jpeg")]
    if animated:
        able = [form for form in able if form in _ANIMATED]

    def rank(form: str) -> tuple[float, bool, int]:
        is_for_depth = bit_depth > 8 and form == "avif"
        return -accept.weight(form), not is_for_depth, (sizes or {}).get(form, sys.maxsize)

    return sorted((form for form in able if accept.weight(form) > 0), key=rank)


def select_format(
    accept_header: str | None,
    bit_depth: int,
    has_alpha: bool,
    animated: bool,
    *,
    sizes: Mapping[str, int] | None = None,
) -> MadeFormat:
    """The format that a client gets, as :func:`acceptable_formats` has it.

    Args:
        accept_header: the ``Accept`` header; None where there is none.
        bit_depth: of the picture, bits a channel.
        has_alpha: whether a pixel of it is transparent.
        animated: whether all of several frames are to live.
        sizes: bytes of those that have been made already.

    Raises:
        NotAcceptableError: none fits.
    """
    formats = acceptable_formats(Accept(accept_header), bit_depth, has_alpha, animated, sizes)
    if not formats:
        raise NotAcceptableError(f"no format can hold the picture of those accepted by {accept_header!r}")
    return formats[0]
