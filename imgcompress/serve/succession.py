"""Which perceptual model is in use, and how another one takes its place.

    stable --offer, no canary--> stable (the new one)
    stable --offer, canary--> trial
    trial  --enough pairs, within the band--> stable (the new one)
    trial  --a failure, or enough pairs outside of the band--> stable (the old one)
    trial  --offer--> trial of the newer one, or stable where it is the one in use

During a trial a share of the leases gets the new model. On those pictures both models are run, so that they
can be compared; where the new one fails, the old one's distances are returned and nobody notices.

A lease is a reference: what was leased stays as it is, and is freed with the last lease on it.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from threading import Lock

from torch import Tensor

from imgcompress.perception.model import PerceptualModel
from imgcompress.shapes import Float

LEAST = 1e-3
"""Added to both distances before they are divided: smaller ones look the same."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model as it is leased.

    Attributes:
        model: to be called.
        version: 1 for the first, one more for each that was offered.
        digest: of the model.
    """

    model: PerceptualModel
    version: int
    digest: str


@dataclass(frozen=True)
class Counts:
    """What has happened, for metrics.

    Attributes:
        swaps: how often another model came into use.
        refusals: files that were not taken.
        rollbacks: trials that the new model lost.
        version: of the model in use.
    """

    swaps: int = 0
    refusals: int = 0
    rollbacks: int = 0
    version: int = 1


class Verdict(Enum):
    """How a trial stands."""

    OPEN = auto()
    PASSED = auto()
    FAILED = auto()


class Canary:
    """The record of one trial.

    Args:
        share: of the leases that get the new model, above 0 and at most 1.
        pairs: to compare before the verdict.
        band: by which factor the geometric mean of the ratios may differ from 1, above 1.
    """

    def __init__(self, share: float, pairs: int, band: float) -> None:
        self._share = share
        self._pairs = pairs
        self._band = band
        self._leases = 0
        self._compared = 0
        self._log_ratios = 0.0

    def takes_next(self) -> bool:
        """Whether the next lease gets the new model: evenly spread, without chance."""
        before = math.floor(self._leases * self._share)
        self._leases += 1
        return math.floor(self._leases * self._share) > before

    def record(self, old: Sequence[float], new: Sequence[float] | None) -> Verdict:
        """Takes down what both models say of the same pairs.

        Args:
            old: distances of the model in use.
            new: of the other one; None if it failed.
        """
        if new is None or len(new) != len(old) or not all(0 <= value < math.inf for value in new):
            return Verdict.FAILED
        self._log_ratios += sum(math.log((n + LEAST) / (o + LEAST)) for o, n in zip(old, new, strict=True))
        self._compared += len(new)
        if self._compared < self._pairs:
            return Verdict.OPEN
        within = abs(self._log_ratios) <= self._compared * math.log(self._band)
        return Verdict.PASSED if within else Verdict.FAILED


class _Compared:
    """The new model, beside the old one."""

    def __init__(
        self,
        new: PerceptualModel,
        old: PerceptualModel,
        report: Callable[[Sequence[float], Sequence[float] | None], None],
    ) -> None:
        self._new, self._old, self._report = new, old, report
        self.digest = new.digest

    def __call__(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """The new model's distances, the old one's where it has none."""
        try:
            distances = self._new(a, b)
        except Exception:  # of any kind: the model comes from a file
            expected = self._old(a, b)  # fails, too: not the model's fault
            _log.exception("the new model fails where the one in use does not")
            self._report(expected.tolist(), None)
            return expected
        expected = self._old(a, b)
        self._report(expected.tolist(), distances.tolist())
        usable = distances.shape == expected.shape and bool(distances.isfinite().all())
        return distances if usable else expected


@dataclass(frozen=True, eq=False)
class _Trial:
    new: Loaded
    compared: Loaded
    canary: Canary


class Succession:
    """The model in use, and the one on trial; for any number of threads.

    Args:
        first: the model to start with.
        share: of the leases that get a new model first, in [0, 1]; 0 for no trials.
        pairs: compared in a trial.
        band: of a trial, as for :class:`Canary`.
    """

    def __init__(self, first: PerceptualModel, share: float, pairs: int, band: float) -> None:
        self._lock = Lock()
        self._share, self._pairs, self._band = share, pairs, band
        self._stable = Loaded(first, 1, first.digest)
        self._offered = 1
        self._trial: _Trial | None = None
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        """What has happened so far."""
        return self._counts

    @property
    def stable(self) -> Loaded:
        """The model in use."""
        return self._stable

    @property
    def candidates(self) -> tuple[Loaded, ...]:
        """The models that a lease may get: the one in use, then the one on trial."""
        with self._lock:
            return (self._stable,) if self._trial is None else (self._stable, self._trial.new)

    def lease(self) -> Loaded:
        """The model for the next batch, for as long as the caller keeps it."""
        with self._lock:
            trial = self._trial
            return trial.compared if trial is not None and trial.canary.takes_next() else self._stable

    def offer(self, model: PerceptualModel) -> None:
        """Brings a new model into use, or on trial.

        Args:
            model: examined already. Where it is the one in use, a trial of another one ends.
        """
        with self._lock:
            stable = self._stable
            if model.digest == stable.digest:
                self._trial = None
                return
            if self._trial is not None and model.digest == self._trial.new.digest:
                return
            self._offered += 1
            new = Loaded(model, self._offered, model.digest)
            if self._share == 0:
                self._install(new)
                return
            canary = Canary(self._share, self._pairs, self._band)

            def report(old: Sequence[float], distances: Sequence[float] | None) -> None:
                self._report(canary, old, distances)

            compared = replace(new, model=_Compared(model, stable.model, report))
            self._trial = _Trial(new, compared, canary)
            _log.info("model %d (%.12s) is on trial", new.version, new.digest)

    def refuse(self) -> None:
        """Counts a file that was not taken."""
        with self._lock:
            self._counts = replace(self._counts, refusals=self._counts.refusals + 1)

    def _report(self, canary: Canary, old: Sequence[float], new: Sequence[float] | None) -> None:
        with self._lock:
            trial = self._trial
            if trial is None or trial.canary is not canary:  # decided since the lease
                return
            verdict = canary.record(old, new)
            if verdict is Verdict.PASSED:
                self._install(trial.new)
            elif verdict is Verdict.FAILED:
                self._trial = None
                self._counts = replace(self._counts, rollbacks=self._counts.rollbacks + 1)
                _log.warning("model %d (%.12s) is rolled back", trial.new.version, trial.new.digest)

    def _install(self, new: Loaded) -> None:
        self._stable, self._trial = new, None
        self._counts = replace(self._counts, swaps=self._counts.swaps + 1, version=new.version)
        _log.info("model %d (%.12s) is in use", new.version, new.digest)
