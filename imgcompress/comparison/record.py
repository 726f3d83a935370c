"""What is known of a pair after it was compared."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from imgcompress.perception.windows import Window


class Outcome(StrEnum):
    """How a comparison ended. Every name ends in exactly one of these."""

    PASSED = "passed"
    FAILED = "failed"
    """Measured, and at least one criterion is not met."""
    MISSING = "missing"
    """There is a reference and nothing to compare it with."""
    EXTRA = "extra"
    """There is a picture without a reference."""
    ERROR = "error"
    """The pair cannot be compared: it cannot be read, or the sizes differ."""


@dataclass(frozen=True)
class Compared:
    """One pair of pictures, or a picture without its other.

    Attributes:
        name: of the reference below its folder (of the test where there is no reference), with slashes.
        outcome: how it ended.
        reference, test: the files; None for the one that is missing.
        width, height: as seen (upright), in pixels; None where nothing was measured.
        scores: metric to value over the whole picture.
        worst: metric to its worst windows, the worst one first; they do not overlap.
        notes: differences beside the scores, as sentences: color profile, orientation, alpha, depth.
        failures: every criterion that is not met, as sentences: "ssimulacra2 is 61.20, below 70".
        error: why it cannot be compared, as a sentence; None where it was.
    """

    name: str
    outcome: Outcome
    reference: Path | None
    test: Path | None
    width: int | None = None
    height: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    worst: dict[str, tuple[Window, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    error: str | None = None
