"""One thing that a file tells about its past, with how sure it is and why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A conclusion and the evidence for it.

    Attributes:
        about: what it concerns, one word: damage, quality, encoder, origin, earlier_compression, thumbnail.
        text: a sentence for people that holds the evidence, with its figures.
        confidence: 0 to 1.
    """

    about: str
    text: str
    confidence: float = 1.0

    def __post_init__(self) -> None:
        assert 0 <= self.confidence <= 1
