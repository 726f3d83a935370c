"""What is said about each file: one line of the report."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import isfinite, nan
from typing import Any

from imgcompress.errors import Reason


class Status(StrEnum):
    """How a file ended. Every candidate ends in exactly one of these."""

    RECOMPRESSED = "recompressed"
    """Encoded anew, with loss, in fewer bytes."""
    OPTIMIZED = "optimized"
    """A source JPEG coded again without loss: its pixels are identical."""
    KEPT = "kept"
    """A byte copy of the source, but for metadata that are to go."""
    SKIPPED = "skipped"
    """An output exists already; it was left alone."""
    FAILED = "failed"
    """Nothing was written."""


@dataclass(frozen=True)
class FileRecord:
    """One line of the report.

    Attributes:
        source: the source's path as the user would type it.
        output: the path of the output, or None when there is none. A dry run says what it would write.
        status: how it ended.
        reason: one word saying why.
        format: the output's format; the source's when there is no output; None when it is unknown.
        width, height: pixels as stored, None when the source could not be read.
        bytes_in, bytes_out: sizes of source and output; ``bytes_out`` is None when nothing was written.
        scores: what the verification measured, metric to value (null in JSON if it is not a number).
        settings: what the encoder was asked for and chose.
        seconds: time spent on this picture; the shared stages of a batch are divided evenly.
        error: a sentence for people when it failed, or was spared further loss, or is of a kind that is only
            copied.
        was: how it ended in the run that did it, where it was ``done`` before.
        sha256_in, sha256_out: of the bytes of source and output; None where they are not known or not there.
        promised: metric of ``imgcompress.targets`` to the worst value that the run accepted and the output
            keeps, where it was encoded with loss.
        dry_run: whether all this was only computed, and nothing written.
    """

    source: str
    output: str | None
    status: Status
    reason: Reason
    format: str | None = None
    width: int | None = None
    height: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    was: Status | None = None
    sha256_in: str | None = None
    sha256_out: str | None = None
    promised: dict[str, float] = field(default_factory=dict)
    dry_run: bool = False

    def to_json(self) -> str:
        """The record as one line of JSON, keys in the order above."""
        scores = {name: value if isfinite(value) else None for name, value in self.scores.items()}
        values = asdict(self) | {"scores": scores, "seconds": round(self.seconds, 4)}
        return json.dumps(values, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "FileRecord":
        """A record from its line; a score of null is not a number.

        Raises:
            ValueError, KeyError, TypeError: the line is none of ours.
        """
        values = json.loads(line)
        if not isinstance(values, dict):
            raise TypeError(f"an object was expected, not {values!r}")
        for name, kind in _KINDS.items():
            if name in values and not isinstance(values[name], kind):
                raise TypeError(f"{name} cannot be {values[name]!r}")
        values["status"], values["reason"] = Status(values["status"]), Reason(values["reason"])
        values["was"] = Status(values["was"]) if values["was"] is not None else None
        scores = values["scores"].items()
        values["scores"] = {name: nan if value is None else value for name, value in scores}
        return cls(**values)


_TEXT, _COUNT = str | None, int | None
_KINDS: dict[str, Any] = {
    "source": str,
    "output": _TEXT,
    "format": _TEXT,
    "width": _COUNT,
    "height": _COUNT,
    "bytes_in": _COUNT,
    "bytes_out": _COUNT,
    "scores": dict,
    "settings": dict,
    "sha256_in": _TEXT,
    "sha256_out": _TEXT,
    "promised": dict,
    "dry_run": bool,
}
"""What JSON values those keys have that a program relies on."""
