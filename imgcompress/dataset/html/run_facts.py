"""What a report is told of its run."""

from dataclasses import dataclass

from imgcompress.config import Config


@dataclass(frozen=True)
class RunFacts:
    """What the records do not say about their run.

    Attributes:
        title: such as the source's and the destination's names.
        config: all settings.
        seconds: how long it took.
        dry_run: whether nothing was written.
        incomplete: whether it was interrupted.
        extrapolation: a sentence about the whole, where the run was on a random sample.
    """

    title: str
    config: Config
    seconds: float
    dry_run: bool = False
    incomplete: bool = False
    extrapolation: str | None = None
