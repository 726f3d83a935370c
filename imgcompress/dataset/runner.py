"""The way of every picture: looked up, computed by an engine, written, noted. Records come in order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace

from imgcompress.config import Config
from imgcompress.dataset.files import FileResult, Files, FileTask
from imgcompress.dataset.ledger import FILE_NAME, Ledger, Row
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.pipeline import Computed, Engine, Job, map_ahead
from imgcompress.dataset.resume import History, clear_after_a_kill, settings_of
from imgcompress.dataset.shard_run import LeftMember, MemberTask, ShardEnd, ShardRun, left_members
from imgcompress.dataset.sources import Entry
from imgcompress.dataset.workers import LocalEngine
from imgcompress.errors import PictureError, Reason
from imgcompress.records import FileRecord

Task = FileTask | MemberTask | LeftMember | ShardEnd


Written = Future[FileResult] | FileRecord
"""A file whose writing is under way, or the record of what needs none."""


Watch = Callable[[FileRecord, Callable[[], bytes], Callable[[], bytes]], object]


class Runner:
    """Sends pictures through an engine.

    Args:
        config: all settings.
        options: what may be touched.
        engine: where pictures are computed; None for this machine.
        progress: called with a number of pictures whenever so many more are computed or left alone.
        watch: called with the record of each picture that has an output, and with what gives the source's
            and the output's bytes, before it is written.

    Raises:
        UsageError: the device or a model asked for is not there.
    """

    def __init__(
        self,
        config: Config,
        options: RunOptions,
        engine: Engine | None = None,
        progress: Callable[[int], object] = lambda _: None,
        watch: Watch = lambda _record, _source, _output: None,
    ) -> None:
        self._config = config
        self._options = options
        self._engine = LocalEngine(config) if engine is None else engine
        self._progress = progress
        self._watch = watch
        self._stopping = threading.Event()
        self._is_incomplete = False

    @property
    def is_incomplete(self) -> bool:
        """Whether the run was ended with pictures left."""
        return self._is_incomplete

    def stop(self) -> None:
        """Ends the run after what is in flight; any thread or signal handler may call it."""
        self._stopping.set()

    def run(self, entries: Iterable[Entry]) -> Iterator[FileRecord]:
        """Works through the entries.

        Args:
            entries: candidates, taken a bounded number ahead of the results.

        Returns:
            One record a picture, in their order, as soon as it is written; those of a shard when it is.

        Raises:
            UsageError: the ledger cannot be used, or another run is at work there.
        """
        stack = ExitStack()
        state, writes = self._options.state, not self._options.dry_run
        ledger, settings = None, ""
        if state is not None and (writes or (state / FILE_NAME).is_file()):
            settings = settings_of(self._config)
            ledger = stack.enter_context(Ledger(state, read_only=not writes))
        most = self._config.limits.max_megapixels
        history = History(ledger, settings, self._options.resume, self._config.again, most)
        return self._run(stack, history, entries)

    def _run(self, stack: ExitStack, history: History, entries: Iterable[Entry]) -> Iterator[FileRecord]:
        files = Files(history, self._options)
        pending: deque[Task] = deque()
        with stack:
            if history.ledger is not None and not self._options.dry_run:
                clear_after_a_kill(history.ledger, self._options.backup)
            pool = ThreadPoolExecutor(self._config.threads, thread_name_prefix="imgcompress")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            stack.callback(_give_up, pending)
            tasks = stack.enter_context(closing(self._tasks(pool, files, history, entries)))
            computing = stack.enter_context(closing(self._engine.run(self._jobs(tasks, pending))))
            writing: list[Written] = []
            for computed in computing:
                settled = [(pending.popleft(), result) for result in computed]
                # While these are written, the next are computed.
                begun = self._settle(pool, files, history, settled)
                yield from self._written(files, history, writing)
                writing = begun
            yield from self._written(files, history, writing)

    def _tasks(
        self, pool: Executor, files: Files, history: History, entries: Iterable[Entry]
    ) -> Generator[Task]:
        """All that is to be done, in order; shards one after another."""
        chosen = self._options.chosen
        wanted = (entry for entry in entries if chosen is None or entry.key in chosen.files)
        for task in map_ahead(pool, files.look_up, wanted, ahead=2 * self._config.threads):
            if task.entry.is_shard and task.is_done:
                self._note(history, [files.confirmation(files.result(task, None))])
                yield from left_members(task.entry, history, chosen)
            elif task.entry.is_shard and task.job is not None:
                if chosen is None or self._options.dry_run:
                    yield from ShardRun(task.entry, task.found, history, self._options).tasks()
                else:
                    error = PictureError(Reason.WRITE_ERROR, "a part of a shard is not written (--dry-run)")
                    yield replace(task, job=None, error=error)
            else:
                yield task

    def _jobs(self, tasks: Iterable[Task], pending: deque[Task]) -> Iterator[Job | None]:
        """What the engine is given; the tasks wait for their results meanwhile."""
        for task in tasks:
            if self._stopping.is_set():
                self._is_incomplete = True
                return
            pending.append(task)
            yield task.job

    def _settle(
        self,
        pool: Executor,
        files: Files,
        history: History,
        settled: list[tuple[Task, Computed | None]],
    ) -> "list[Written]":
        """Begins to write what is computed."""
        results = {
            place: files.result(task, computed)
            for place, (task, computed) in enumerate(settled)
            if isinstance(task, FileTask)
        }
        self._note(history, (files.intent(result) for result in results.values()))
        written: list[Written] = []
        pictures = 0
        for place, (task, computed) in enumerate(settled):
            pictures += not isinstance(task, ShardEnd)
            if isinstance(task, FileTask):
                self._show(task.job, results[place].record, computed)
                written.append(pool.submit(files.write, results[place]))
            elif isinstance(task, MemberTask):
                self._show(task.job, task.run.add(task, computed), computed)
            elif isinstance(task, LeftMember):
                written.append(task.record)
            else:
                written.extend(task.run.finish())
        self._progress(pictures)
        return written

    def _show(self, job: Job | None, record: FileRecord, computed: Computed | None) -> None:
        if job is not None and computed is not None and (data := computed.outcome.data) is not None:
            self._watch(record, job.blob.read, lambda: data)

    def _written(self, files: Files, history: History, writing: "list[Written]") -> Iterator[FileRecord]:
        """Waits until all is written, and says so."""
        done = [part.result() if isinstance(part, Future) else part for part in writing]
        results = [part for part in done if isinstance(part, FileResult)]
        self._note(history, (files.confirmation(result) for result in results))
        for key in filter(None, (files.gone(result) for result in results)):
            self._note(history, (), instead_of=key)
        for part in done:
            record = part.record if isinstance(part, FileResult) else part
            yield replace(record, dry_run=self._options.dry_run)

    def _note(self, history: History, rows: Iterable[Row | None], instead_of: str | None = None) -> None:
        if history.ledger is not None and not self._options.dry_run:
            history.ledger.put((row for row in rows if row is not None), instead_of)


def _give_up(pending: Iterable[Task]) -> None:
    """Shards that a run which ends early leaves unfinished."""
    for task in pending:
        if isinstance(task, MemberTask | ShardEnd):
            task.run.abort()
