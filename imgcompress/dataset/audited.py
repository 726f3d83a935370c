"""What is found of an output when it is looked at again."""

from dataclasses import dataclass, field
from enum import StrEnum


class Condition(StrEnum):
    """In what condition an output is. Every output ends in exactly one of these."""

    OK = "ok"
    """It is what was written, opens, and is as good as was promised."""
    MISSING = "missing"
    """There is no file."""
    ALTERED = "altered"
    """Its bytes are not those that were written; or no picture of its shard has them."""
    UNREADABLE = "unreadable"
    """It does not open, or has another size than its source."""
    BELOW_TARGET = "below_target"
    """It is worse or larger than was promised, or its pixels are not the source's where they are to be."""
    SOURCE_MISSING = "source_missing"
    """As far as can be told it is fine; there is nothing to measure it against."""
    SOURCE_CHANGED = "source_changed"
    """As far as can be told it is fine; its source is another file by now."""
    DAMAGED_LINE = "damaged_line"
    """The line of the report cannot be read: nobody knows of what."""


FAULTLESS = frozenset({Condition.OK, Condition.SOURCE_MISSING, Condition.SOURCE_CHANGED})
"""What is no fault of the output."""


@dataclass(frozen=True)
class Audited:
    """What was found of one output.

    Attributes:
        name: its path, or the number of the line that cannot be read.
        condition: how it ended.
        message: why, as a sentence; empty where all is well.
        scores: what was measured again: metrics of ``imgcompress.targets``.
        promised: the worst values that they may have.
    """

    name: str
    condition: Condition
    message: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    promised: dict[str, float] = field(default_factory=dict)
