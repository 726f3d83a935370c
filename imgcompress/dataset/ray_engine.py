"""An engine of Ray actors, on this machine or many. They see the same files as the process that drives them.

Ray's core and not Ray Data: its sources run in workers, while jobs come of the driver's ledger and open
shards; it starts its actors anew for each set of items; and it tries a picture that kills actors for ever.
"""

import logging
import os
import socket
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from imgcompress.config import DEFAULT_WEIGHTS, Config
from imgcompress.dataset.blobs import MemoryBlob
from imgcompress.dataset.chunks import QUEUED, Chunks, Unit
from imgcompress.dataset.pipeline import Computed, Job, Pipeline
from imgcompress.dataset.resume import settings_of
from imgcompress.errors import UsageError

FALSE_STARTS = 3
"""How often in a row each actor may end before it began, as when its machine is taken away."""

PATIENCE_SECONDS = 10
"""How long a cluster may take to answer."""


class RayEngine:
    """Computes in Ray actors, for one run; a Ray that it had to start ends with it.

    Args:
        config: all settings.
        actors: how many at most; None for one a GPU of the cluster, or one a CPU where it has none.
        address: of a running cluster; None for what RAY_ADDRESS names, the one that runs on this machine,
            or else a new one here.

    Raises:
        UsageError: Ray is not installed, the cluster cannot be reached or has no such device, or a model
            is missing.
    """

    def __init__(self, config: Config, actors: int | None = None, address: str | None = None) -> None:
        self._config = _with_absolute_paths(config)
        self._settings = settings_of(self._config)
        self._is_ours = _connect(address)
        self._actors = actors

    def run(self, jobs: Iterable[Job | None]) -> Generator[list[Computed | None]]:
        """See :class:`~imgcompress.dataset.pipeline.Engine`."""
        import ray

        try:
            yield from self._crew(jobs).results()
        finally:
            if self._is_ours:
                ray.shutdown()

    def _crew(self, jobs: Iterable[Job | None]) -> "_Crew":
        import ray

        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        device = self._config.device
        if device == "auto":
            device = "cuda" if resources.get("GPU", 0) >= 1 else "cpu"
        kind = "GPU" if device == "cuda" else "CPU"
        most = self._actors or int(resources.get(kind, 0))
        if most == 0:
            raise UsageError(f"device: {device} was asked for, but no machine of the cluster has a {kind}")
        return _Crew(replace(self._config, device=device), self._settings, most, jobs)


def _connect(address: str | None) -> bool:
    """Returns whether this process had to."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray: Ray is missing; pip install 'imgcompress[ray]' brings it") from error
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    place = address or os.environ.get("RAY_ADDRESS", "")
    try:
        host, _, port = place.rpartition(":")
        if port.isdecimal() and "/" not in host:
            # Ray itself goes on trying for many minutes.
            socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS).close()
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        raise UsageError(f"--ray-address: no Ray at {place or 'this machine'}: {error}") from error
    return True


def _with_absolute_paths(config: Config) -> Config:
    """The same wherever a process was started."""
    perception = config.perception
    if perception.trunk is not None:
        perception = replace(perception, trunk=str(Path(perception.trunk).absolute()))
    if perception.weights not in (None, DEFAULT_WEIGHTS):
        perception = replace(perception, weights=str(Path(perception.weights).absolute()))
    return replace(config, perception=perception)


def _with_absolute_path(job: Job) -> Job:
    blob = job.blob
    return (
        job if isinstance(blob, MemoryBlob) else replace(job, blob=replace(blob, path=blob.path.absolute()))
    )


class _Worker:
    """What an actor holds."""

    def start(self, config: Config) -> str:
        """Returns what the settings are called here: another version or other models show."""
        if config.device == "cpu":
            torch.set_num_threads(1)
        self._pipeline = Pipeline(config)
        return settings_of(config)

    def compute(self, jobs: list[Job]) -> list[Computed | None]:
        return [computed for window in self._pipeline.run(jobs) for computed in window]


@dataclass(eq=False)
class _Actor:
    """An actor as the driver sees it: what it has been asked, in order, and what for."""

    handle: Any
    answers: deque[Any]
    units: deque[Unit] = field(default_factory=deque)
    is_ready: bool = False

    def may_take(self, unit: Unit) -> bool:
        """A suspect is alone with its actor, so that a death is its own."""
        return not self.units or not (unit.is_suspect or self.units[0].is_suspect)


class _Crew:
    """One run over actors. Those that find no place in the cluster wait for one, and the others go on."""

    def __init__(self, config: Config, settings: str, most: int, jobs: Iterable[Job | None]) -> None:
        self._config = config
        self._settings = settings
        self._most = most
        self._is_cuda = config.device == "cuda"
        self._chunks = Chunks(jobs, config.batch_size, most, is_cuda=self._is_cuda)
        self._waiting: deque[Unit] = deque()
        self._actors: list[_Actor] = []
        self._false_starts = 0

    def results(self) -> Generator[list[Computed | None]]:
        import ray

        try:
            while True:
                self._hand_out()
                if done := self._chunks.take_done():
                    yield done
                elif self._chunks.is_empty:
                    return
                else:
                    self._wait()
        finally:
            for actor in self._actors:
                ray.kill(actor.handle)

    def _hand_out(self) -> None:
        """Gives work to whoever has too little, starting actors as they are needed."""
        while len(self._waiting) < self._most and (unit := self._chunks.next_unit()) is not None:
            self._waiting.append(unit)
        ready = [actor for actor in self._actors if actor.is_ready]
        for depth in range(QUEUED):
            for actor in ready:
                if self._waiting and len(actor.units) == depth and actor.may_take(self._waiting[0]):
                    unit = self._waiting.popleft()
                    jobs = [_with_absolute_path(job) for job in unit.jobs.values()]
                    actor.units.append(unit)
                    actor.answers.append(actor.handle.compute.remote(jobs))
        starting = len(self._actors) - len(ready)
        for _ in range(min(len(self._waiting) - starting, self._most - len(self._actors))):
            self._actors.append(self._start())

    def _start(self) -> _Actor:
        import ray

        device: dict[str, Any] = {"num_gpus": 1} if self._is_cuda else {"num_cpus": 1}
        handle: Any = ray.remote(**device)(_Worker).remote()
        return _Actor(handle, deque([handle.start.remote(self._config)]))

    def _wait(self) -> None:
        """Takes in what is ready."""
        import ray

        next_answers = {actor.answers[0]: actor for actor in self._actors if actor.answers}
        references = list(next_answers)
        ray.wait(references)
        for reference in ray.wait(references, num_returns=len(references), timeout=0)[0]:
            self._take_in(next_answers[reference])

    def _take_in(self, actor: _Actor) -> None:
        import ray

        try:
            answer = ray.get(actor.answers.popleft())
        except ray.exceptions.RayError as error:
            self._bury(actor, error)
            return
        self._false_starts = 0
        if actor.is_ready:
            self._chunks.fill(actor.units.popleft(), answer)
        elif answer == self._settings:
            actor.is_ready = True
        else:
            message = f"{answer!r} there, {self._settings!r} here"
            raise UsageError(f"a machine of the cluster has another version or other models: {message}")

    def _bury(self, actor: _Actor, error: Exception) -> None:
        """Takes back what a dead actor leaves to be done."""
        import ray

        self._actors.remove(actor)
        ray.kill(actor.handle)
        if actor.is_ready:
            # The answer to a unit that was done may have been lost with the actor: it could be any of them.
            for unit in actor.units:
                self._chunks.lose([unit], f"with {type(error).__name__}")
            return
        if isinstance(error, ray.exceptions.RayTaskError):
            raise UsageError(f"a Ray actor cannot start: {error.cause}")
        self._false_starts += 1
        if self._false_starts > FALSE_STARTS * self._most:
            raise UsageError(f"a Ray actor cannot start: {error}")
