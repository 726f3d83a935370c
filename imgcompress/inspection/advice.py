"""What to do with a picture: recompress it, or leave it alone."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import torch

from imgcompress.backends.attempt import Attempt, Source
from imgcompress.backends.jpeg import JpegBackend
from imgcompress.config import Config, LoopConfig
from imgcompress.errors import PictureError, Reason
from imgcompress.faults import caught
from imgcompress.track import Goal
from imgcompress.triage import Triage

WORTH_ITS_LOSS = 5.0
"""Percent of the bytes: smaller savings are not advised, as some of them come without any loss."""


@dataclass(frozen=True)
class Advice:
    """What is advised, and why.

    Attributes:
        recompress: whether a smaller file would be as good as asked for.
        text: a sentence for people.
        reason: the word that ``recompress`` would report for leaving it alone; None where it would not.
        savings: percent of the bytes that recompressing would save, about; negative where it would add; None
            where it was not tried.
    """

    recompress: bool
    text: str
    reason: Reason | None = None
    savings: float | None = None


class Adviser:
    """Tries each picture once as ``recompress`` would, without search and loop.

    Args:
        config: of the run that is considered; results are JPEG. For a target other than a SSIMULACRA2 score,
            the one that ``quality`` stands for is tried.
        device: where the tensors live.

    Raises:
        UsageError: the settings exclude one another, or a model's file is not there.
    """

    def __init__(self, config: Config, device: torch.device) -> None:
        self._score = Goal.of(config).nominal_score
        self._least = max(config.min_savings, WORTH_ITS_LOSS)
        self._triage = Triage(config, device)
        once = replace(
            config,
            format="jpeg",
            target=f"ssimulacra2={self._score}",
            max_encodes=1,
            max_bytes=None,
            min_score=None,
            loop=LoopConfig(rounds=0),
        )
        self._backend = JpegBackend(once, device)

    def advise(self, sources: Sequence[Source], pool: Executor) -> list[Advice]:
        """Advice on pictures of any sizes.

        Args:
            sources: decoded pictures.
            pool: packs and decodes what was tried.

        Returns:
            One advice a source, in order. Nothing is raised for a single picture.
        """
        advice: dict[int, Advice] = {}
        tried = []
        for index, (source, refusal) in enumerate(zip(sources, self._triage.refusals(sources), strict=True)):
            refused = refusal or caught(self._backend.refuse, source.picture)
            if isinstance(refused, PictureError):
                advice[index] = _leave(refused)
            else:
                tried.append(index)
        attempts = self._backend.attempt([sources[index] for index in tried], pool) if tried else []
        for index, attempt in zip(tried, attempts, strict=True):
            advice[index] = self._of_attempt(sources[index], attempt)
        return [advice[index] for index in range(len(sources))]

    def _of_attempt(self, source: Source, attempt: Attempt | PictureError) -> Advice:
        if isinstance(attempt, PictureError):
            return _leave(attempt)
        savings = 100 * (1 - len(attempt.data) / len(source.data))
        at = f"at SSIMULACRA2 {self._score:.3g} as JPEG"
        if savings < self._least:
            would = f"would save only about {savings:.0f} %" if savings > 0 else "would save nothing"
            text = f"leave it alone: recompressing {at} {would}"
            return Advice(False, text, Reason.NOT_SMALLER, savings)
        return Advice(True, f"recompressing {at} would save about {savings:.0f} %", savings=savings)


_ELSEWHERE = {
    Reason.ALPHA: "no JPEG: it has alpha; --format webp or avif keeps that",
    Reason.DEEP_COLOR: "no JPEG: it has more than 8 bits a channel; --format avif keeps 12, png all",
    Reason.CRUSHED: "optimize it without loss at most",
    Reason.BELOW_SCORE: "optimize it without loss at most",
}


def _leave(error: PictureError) -> Advice:
    return Advice(False, f"{_ELSEWHERE.get(error.reason, 'leave it alone')}: {error}", error.reason)
