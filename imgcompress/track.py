"""One picture's way to its target and within its limits, whatever encodes it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from imgcompress.config import Config
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.quantization.scale import score_of_quality
from imgcompress.targets import METRICS, Search, Target, parse_target


@dataclass(frozen=True)
class Goal:
    """What is asked for of every picture.

    Attributes:
        target: what to hit.
        nominal_score: the SSIMULACRA2 that is aimed at; for other metrics, what ``quality`` stands for.
        max_encodes: tries a picture may take.
        max_bytes, min_score: limits; None for none.
    """

    target: Target
    nominal_score: float
    max_encodes: int
    max_bytes: int | None
    min_score: float | None

    @classmethod
    def of(cls, config: Config) -> "Goal":
        """The goal that the settings describe.

        Raises:
            UsageError: the target is none.
        """
        nominal = score_of_quality(config.quality)
        metric = METRICS["ssimulacra2"]
        target = Target(metric, nominal, config.tolerance or metric.tolerance)
        if config.target is not None:
            target = parse_target(config.target, config.tolerance)
        if target.metric.name == "ssimulacra2":
            nominal = target.value
        return cls(target, nominal, config.max_encodes, config.max_bytes, config.min_score)

    @property
    def bounds(self) -> list[tuple[str, float]]:
        """Metrics of ``imgcompress.targets`` with the worst values that are asked for."""
        bounds: list[tuple[str, float]] = [(self.target.metric.name, self.target.bound)]
        if self.min_score is not None:
            bounds.append(("ssimulacra2", self.min_score))
        if self.max_bytes is not None:
            bounds.append(("bytes", float(self.max_bytes)))
        return bounds

    @property
    def metrics(self) -> list[str]:
        """What must be measured of each try beside its size."""
        names = set() if self.target.metric.is_size else {self.target.metric.name}
        return sorted(names | ({"ssimulacra2"} if self.min_score is not None else set()))


def refuse_what_needs_a_search(config: Config, target: Target, cause: str, *, any_target: bool) -> None:
    """Looks for what can only be had by trying, where nothing is tried.

    Args:
        config: all settings.
        target: theirs.
        cause: why nothing is tried.
        any_target: whether no target can be hit at all; else an SSIMULACRA2 is, on average.

    Raises:
        UsageError: there is such a setting; the message names it.
    """
    if config.target is not None and (any_target or target.metric.name != "ssimulacra2"):
        raise UsageError(f"target: {config.target} needs a search, and {cause}")
    for key in ("max_bytes", "min_score"):
        if getattr(config, key) is not None:
            raise UsageError(f"{key}: it needs a search, and {cause}")


@dataclass(frozen=True)
class Encoded:
    """One picture's best encoding.

    Attributes:
        data: a file; a JPEG is baseline.
        nominal: the nominal score that it was tried at.
        scores: what was measured on the way: the target's metric, and SSIMULACRA2 where a limit asks for it.
        encodes: how many encodings it took.
        fault: why the target or a limit was missed, or None.
    """

    data: bytes
    nominal: float
    scores: dict[str, float]
    encodes: int
    fault: PictureError | None


@dataclass(frozen=True)
class _Try:
    nominal: float
    data: bytes
    scores: dict[str, float]


class Track:
    """The search for one picture: first the target, then whichever limit its result breaks.

    On a JPEG's own grid the score falls from a cliff where a step leaves the source's. From there on the
    tables stay as they are on the edge, and lambda alone goes on.

    Args:
        goal: what is asked for.
        pixels: how many the picture has.
        size: of the file that an encoding becomes, bytes.
        start: the first nominal score to try; None for the one that is aimed at.
        first_is_off: later tries follow another curve than the first one, and a cliff has an edge.

    Attributes:
        edge: the nominal score that the tables are held at; None where they follow the proposals.
    """

    def __init__(
        self,
        goal: Goal,
        pixels: int,
        size: Callable[[bytes], int] = len,
        start: float | None = None,
        *,
        first_is_off: bool = False,
    ) -> None:
        self._goal = goal
        self._target = goal.target
        self._pixels = pixels
        self._size = size
        self._tries: list[_Try] = []
        self._has_lambda = first_is_off
        self._search = Search(goal.target, goal.nominal_score if start is None else start, first_is_off)
        self._searches_left = ["ssimulacra2", "bytes"]
        self.edge: float | None = None

    def proposal(self) -> float | None:
        """The next nominal score to try, or None when the picture is done."""
        while len(self._tries) < self._goal.max_encodes:
            if self._has_lambda and self.edge is None and (cliff := self._search.cliff) is not None:
                self.edge, value = self._search.tried[cliff]
                self._search = Search(self._search.target, self.edge)
                self._search.add(self.edge, value)
            nominal = self._search.proposal()
            if nominal is not None:
                return nominal
            limit = self._broken_limit(self._tries[self._search.best])
            if limit is None:
                return None
            nominal = self._tries[self._search.best].nominal
            self._search, self.edge = Search(limit, nominal, self._has_lambda), None
            for attempt in self._tries:
                self._search.add(attempt.nominal, attempt.scores[limit.metric.name])
        return None

    def add(self, nominal: float, data: bytes, scores: dict[str, float]) -> None:
        """Tells what came out of a proposal."""
        if self._goal.max_bytes is not None or self._target.metric.is_size:
            size = self._size(data)
            scores = scores | {"bytes": float(size), "bpp": 8 * size / self._pixels}
        self._tries.append(_Try(nominal, data, scores))
        self._search.add(nominal, scores[self._search.target.metric.name])

    def result(self) -> Encoded:
        """The encoding nearest to the target among those within the limits, if possible not beyond it."""
        within = [attempt for attempt in self._tries if self._is_within(attempt)]
        metric, value = self._target.metric, self._target.value
        best = min(within or self._tries, key=self._distance)
        reached = best.scores[metric.name]
        fault = None
        if not within:
            fault = self._broken_limits()
        elif len(within) == len(self._tries) and self._target.falls_short(reached):
            message = f"{metric.name} {reached:.4g} is the nearest to {value:g} that was reached"
            fault = PictureError(Reason.TARGET_UNREACHABLE, message)
        return Encoded(best.data, best.nominal, best.scores, len(self._tries), fault)

    def _distance(self, attempt: _Try) -> tuple[bool, float]:
        reached = attempt.scores[self._target.metric.name]
        distance = abs(reached - self._target.value)
        return self._target.falls_short(reached), distance if math.isfinite(distance) else math.inf

    def _broken_limits(self) -> PictureError:
        """What to say when no try is within the limits; the source itself always has the least score."""
        least, most = self._goal.min_score, self._goal.max_bytes
        limits = [f"SSIMULACRA2 {least:g} or more"] if least is not None else []
        limits += [f"{most} bytes or fewer"] if most is not None else []
        reason = Reason.TARGET_UNREACHABLE if most is None else Reason.LIMITS_CONFLICT
        return PictureError(reason, f"none of {len(self._tries)} encodings has {' and '.join(limits)}")

    def _broken_limit(self, attempt: _Try) -> Target | None:
        """A limit that this try breaks, as a target; each limit is searched for once."""
        least, most = self._goal.min_score, self._goal.max_bytes
        for name in list(self._searches_left):
            if name == "ssimulacra2" and least is not None and attempt.scores[name] < least:
                self._searches_left.remove(name)
                return Target(METRICS[name], least + 0.25, 0.25)
            if name == "bytes" and most is not None and attempt.scores[name] > most:
                self._searches_left.remove(name)
                return Target(METRICS[name], 0.99 * most, 0.01 * most)
        return None

    def _is_within(self, attempt: _Try) -> bool:
        least, most = self._goal.min_score, self._goal.max_bytes
        return (least is None or attempt.scores["ssimulacra2"] >= least) and (
            most is None or attempt.scores["bytes"] <= most
        )
