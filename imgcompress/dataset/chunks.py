"""A stream of jobs in chunks: computed anywhere and in any order, they come back in theirs."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from imgcompress.dataset.pipeline import MOST_PASSED_BY, Computed, Job, failed
from imgcompress.errors import PictureError, Reason

QUEUED = 2
"""Units that a worker has at once: one it computes, and the next, so that it need not wait."""
CHUNKS_AHEAD = 4
"""Chunks per worker between the first that is not done and the last that is handed out."""


@dataclass(frozen=True)
class Unit:
    """What a worker is given at once: some places of a chunk.

    Attributes:
        chunk: its number.
        jobs: by place in the chunk.
        is_suspect: whether a worker died over it.
    """

    chunk: int
    jobs: dict[int, Job]
    is_suspect: bool = False


@dataclass
class _Chunk:
    """Results as they come in; None where nothing was to be done, or is yet."""

    results: list[Computed | None]
    missing: int


class Chunks:
    """What of a stream is under way. A picture whose worker died is tried once more, alone.

    Args:
        jobs: the stream; None marks the place of what is left alone.
        batch_size: pictures that are computed together.
        workers: how many there are, at most.
        is_cuda: whether they have a GPU each.
    """

    def __init__(self, jobs: Iterable[Job | None], batch_size: int, workers: int, *, is_cuda: bool) -> None:
        self._jobs = iter(jobs)
        # Small chunks end together; a GPU needs more, to have the next window decoded meanwhile.
        self._size = 8 * batch_size if is_cuda else max(1, min(4, batch_size))
        self._ahead = CHUNKS_AHEAD * workers
        self._chunks: dict[int, _Chunk] = {}
        self._first = 0
        self._again: deque[Unit] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is under way."""
        return not self._chunks

    def next_unit(self) -> Unit | None:
        """What is to be computed next; None where there is nothing, or too much is under way."""
        if self._again:
            return self._again.popleft()
        while len(self._chunks) < self._ahead:
            chunk: list[Job | None] = []
            pictures = 0
            for job in self._jobs:
                chunk.append(job)
                pictures += job is not None
                if pictures == self._size or len(chunk) - pictures == MOST_PASSED_BY:
                    break
            if not chunk:
                return None
            number = self._first + len(self._chunks)
            self._chunks[number] = _Chunk([None] * len(chunk), pictures)
            if pictures:
                return Unit(number, {place: job for place, job in enumerate(chunk) if job is not None})
        return None

    def fill(self, unit: Unit, results: Iterable[Computed | None]) -> None:
        """Takes in what became of a unit's jobs."""
        chunk = self._chunks[unit.chunk]
        for place, computed in zip(unit.jobs, results, strict=True):
            chunk.results[place] = computed
            chunk.missing -= 1

    def put_back(self, units: Iterable[Unit]) -> None:
        """Takes back, as they are, what a worker had that never began: it didn't die over them."""
        self._again += units

    def lose(self, units: Iterable[Unit], how: str) -> None:
        """Takes back what a worker that died had.

        Args:
            units: the one it computed, and those that waited behind it.
            how: it ended, for people.
        """
        for place, unit in enumerate(units):
            if place > 0:
                self._again.append(unit)
            elif unit.is_suspect:
                error = PictureError(Reason.WORKER_DIED, f"two processes ended over it, one {how}")
                self.fill(unit, [failed(error)])
            else:
                self._again += [Unit(unit.chunk, {at: job}, True) for at, job in unit.jobs.items()]

    def take_done(self) -> list[Computed | None]:
        """The results that are next in order."""
        done: list[Computed | None] = []
        while self._first in self._chunks and self._chunks[self._first].missing == 0:
            done += self._chunks.pop(self._first).results
            self._first += 1
        return done
