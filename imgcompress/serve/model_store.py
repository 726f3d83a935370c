"""The service's perceptual model, from a file that may be replaced while it runs."""

import logging
from pathlib import Path
from threading import Condition, Event, Thread
from types import TracebackType

import torch

from imgcompress.config import PerceptionConfig
from imgcompress.errors import UsageError
from imgcompress.perception.distance import load_distance
from imgcompress.perception.model_file import load_model
from imgcompress.serve.probe import find_fault
from imgcompress.serve.succession import Counts, Loaded, Succession

_log = logging.getLogger(__name__)

_Signature = tuple[int, ...] | None
"""Of a file's state; None where there is none."""


class ModelStore:
    """Holds the model in use; as a context manager, it also follows the file.

    A file that is written in place, renamed over, or reached by a link that is changed is read as soon as it
    has been left alone for ``quiet_seconds``, examined (:mod:`imgcompress.serve.probe`) and brought into use
    (:mod:`imgcompress.serve.succession`), all in one thread of its own. One that is refused or missing
    changes nothing: the model in use stays.

    Args:
        path: as for :func:`load_model`; None for the distance of the settings, which is not followed.
        perception: settings.
        device: of the models.
        canary: share of the leases that a new model gets until it is known to agree, in [0, 1]; 0 brings
            it into use at once.
        canary_pairs: compared before that is known.
        band: by which factor distances may differ from those of the model in use, above 1: each on the
            probe, on average in a trial.
        quiet_seconds: see above.
        poll_seconds: how often the file is looked at without notice from the system.

    Raises:
        UsageError: the first model cannot be used, or an option is out of its range.
    """

    def __init__(
        self,
        path: Path | None,
        perception: PerceptionConfig,
        device: torch.device,
        *,
        canary: float = 0.0,
        canary_pairs: int = 100,
        band: float = 2.0,
        quiet_seconds: float = 0.2,
        poll_seconds: float = 2.0,
    ) -> None:
        if not 0 <= canary <= 1:
            raise UsageError(f"canary: expected a share from 0 to 1, got {canary}")
        if not band > 1:
            raise UsageError(f"band: expected a factor above 1, got {band}")
        self._path = path
        self._perception = perception
        self._device = device
        self._band = band
        self._quiet_seconds, self._poll_seconds = quiet_seconds, poll_seconds
        self._judged = self._signature()
        first = load_distance(perception, device) if path is None else load_model(path, perception, device)
        fault = find_fault(first, None, band, device)
        if fault is not None:
            raise UsageError(f"{path or 'perception'}: {fault}")
        self._succession = Succession(first, canary, canary_pairs, band)
        self._verdict = Condition()
        self._stop = Event()
        self._thread: Thread | None = None

    def __enter__(self) -> "ModelStore":
        if self._path is not None:
            try:
                import watchfiles  # noqa: F401
            except ImportError as error:
                raise UsageError("a model is followed with the extra serve only") from error
            self._thread = Thread(target=self._follow, args=(self._path,), name="model file", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def counts(self) -> Counts:
        """What has happened to the file, for metrics."""
        return self._succession.counts

    @property
    def digest(self) -> str:
        """Of the model in use."""
        return self._succession.stable.digest

    @property
    def digests(self) -> tuple[str, ...]:
        """Of all models that a lease may get: the one in use, then the one on trial."""
        return tuple(loaded.digest for loaded in self._succession.candidates)

    def lease(self) -> Loaded:
        """The model for the next batch: all of a batch's calls go to one lease."""
        return self._succession.lease()

    def settled(self, timeout_seconds: float) -> bool:
        """Waits until the file as it is now has been taken or refused.

        Returns:
            False where that takes longer.
        """
        with self._verdict:
            return self._verdict.wait_for(lambda: self._judged == self._signature(), timeout_seconds)

    def _follow(self, path: Path) -> None:
        from watchfiles import watch

        # The folder, because a rename changes that. What the system does not tell (network drives, a link's
        # target elsewhere) is seen by looking.
        changes = watch(
            path.parent,
            watch_filter=None,
            debounce=200,
            stop_event=self._stop,
            rust_timeout=round(1000 * self._poll_seconds),
            yield_on_timeout=True,
            recursive=False,
        )
        for _ in changes:
            try:
                self._look(path)
            except Exception:  # the next replacement shall find somebody watching
                _log.exception("%s: cannot follow the model file", path)

    def _look(self, path: Path) -> None:
        """Judges the file, if it is another one than before."""
        while (signature := self._signature()) != self._judged and not self._stop.is_set():
            self._stop.wait(self._quiet_seconds)
            if self._signature() == signature:
                self._judge(path, signature)

    def _judge(self, path: Path, signature: _Signature) -> None:
        fault, model = None, None
        if signature is not None:
            try:
                model = load_model(path, self._perception, self._device)
                in_use = self._succession.stable
                if model.digest != in_use.digest:
                    fault = find_fault(model, in_use.model, self._band, self._device)
            except UsageError as error:
                fault = str(error)
            if self._signature() != signature:
                return  # it was written to meanwhile
        if signature is None:
            _log.warning("%s: the model file is gone; the model in use stays", path)
        elif fault is not None:
            self._succession.refuse()
            _log.error("%s: the model is refused, the one in use stays: %s", path, fault)
        elif model is not None:
            self._succession.offer(model)
        with self._verdict:
            self._judged = signature
            self._verdict.notify_all()

    def _signature(self) -> _Signature:
        try:
            status = None if self._path is None else self._path.stat()
        except OSError:
            return None
        if status is None:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
