"""The file of past runs: a JSON list of entries, read strictly and written whole or not at all."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imgcompress.errors import PictureError, UsageError
from imgcompress.image.write import write_atomically

KIND = "imgcompress bench loop 1"
"""Says what a file is; the number changes with the entries' fields."""


@dataclass(frozen=True)
class Score:
    """A metric over all pictures; None where a value is missing or not a number."""

    mean: float | None
    worst: float | None


@dataclass(frozen=True)
class Stage:
    """What a stage takes for all pictures.

    Attributes:
        seconds: median over the rounds.
        peak_megabytes: the most of any round: the process's resident size, on CUDA the device's memory.
    """

    seconds: float
    peak_megabytes: float | None


@dataclass(frozen=True)
class Entry:
    """One run.

    Attributes:
        date: UTC, ISO 8601.
        commit: what was checked out; None outside a clone.
        is_changed: whether the package had changes that are in no commit.
        asked: the settings as they were asked for.
        content: a digest of the files.
        machine: device, processor, versions.
        rounds: how many.
        pictures, left_out, failed: how many went round; are no pictures or only copied; have no result.
        megapixels: of the pictures.
        bytes_in, bytes: of the sources and the results.
        scores: by metric.
        stages: in order.
        worse: what was worse than in the entry before; such an entry is never compared with.
    """

    date: str
    commit: str | None
    is_changed: bool
    asked: dict[str, Any]
    content: str
    machine: dict[str, str | int]
    rounds: int = 0
    pictures: int = 0
    left_out: int = 0
    failed: int = 0
    megapixels: float = 0.0
    bytes_in: int = 0
    bytes: int = 0
    scores: dict[str, Score] = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    worse: list[str] = field(default_factory=list)

    def is_like(self, other: "Entry") -> bool:
        """Whether bytes and scores can be compared: equal settings, files and device."""
        return all(
            mine == others
            for mine, others in (
                (self.asked, other.asked),
                (self.content, other.content),
                (self.machine["device"], other.machine["device"]),
            )
        )


def read_history(path: Path) -> list[Entry]:
    """All entries, the oldest first; none where there is no file yet.

    Raises:
        UsageError: the file cannot be read, or is none of this benchmark's.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    try:
        value = json.loads(text)
        if value["kind"] != KIND:
            raise ValueError(f"its kind is {value['kind']!r}")
        return [_entry(each) for each in value["entries"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path}: no history of scripts/bench loop, left as it is ({error!r})") from error


def append(path: Path, entry: Entry) -> None:
    """Writes the history with one more entry.

    Raises:
        UsageError: the file is none of this benchmark's, or cannot be written.
    """
    value = {"kind": KIND, "entries": [asdict(each) for each in [*read_history(path), entry]]}
    try:
        write_atomically(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())
    except PictureError as error:
        raise UsageError(f"--history: {error}") from error


def last_like(entries: Sequence[Entry], entry: Entry) -> Entry | None:
    """The newest that an entry is to be compared with: alike, and not itself found to be worse."""
    return next((each for each in reversed(entries) if each.is_like(entry) and not each.worse), None)


def _entry(value: dict[str, Any]) -> Entry:
    scores = {name: Score(**score) for name, score in value["scores"].items()}
    stages = {name: Stage(**stage) for name, stage in value["stages"].items()}
    entry = Entry(**value | {"scores": scores, "stages": stages})
    numbers = [
        *(entry.bytes, entry.bytes_in, entry.failed, entry.pictures, entry.megapixels),
        *(number for score in scores.values() for number in (score.mean, score.worst)),
        *(stage.seconds for stage in stages.values()),
    ]
    if not all(number is None or isinstance(number, int | float) for number in numbers):
        raise ValueError("a figure is not a number")
    if not isinstance(entry.machine, dict) or "device" not in entry.machine:
        raise ValueError("an entry names no device")
    return entry
