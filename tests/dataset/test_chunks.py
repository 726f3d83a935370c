"""The order of a stream, whatever order it is computed in."""

from imgcompress.dataset.blobs import MemoryBlob
from imgcompress.dataset.chunks import CHUNKS_AHEAD, Chunks, Unit
from imgcompress.dataset.pipeline import Computed, Job, failed
from imgcompress.errors import PictureError, Reason


def jobs(count: int) -> list[Job | None]:
    return [Job(MemoryBlob(str(number).encode())) for number in range(count)]


def results(unit: Unit) -> list[Computed | None]:
    return [failed(PictureError(Reason.DECODE_ERROR, job.blob.read().decode())) for job in unit.jobs.values()]


def names(done: list[Computed | None]) -> list[str | None]:
    return [None if computed is None else computed.outcome.error for computed in done]


def test_results_come_in_the_order_of_the_jobs() -> None:
    stream = jobs(5)
    stream[1:1] = [None, None]
    chunks = Chunks(stream, 2, 1, is_cuda=False)
    units = [unit for _ in range(3) if (unit := chunks.next_unit()) is not None]
    assert [len(unit.jobs) for unit in units] == [2, 2, 1] and chunks.next_unit() is None
    for unit in reversed(units[1:]):
        chunks.fill(unit, results(unit))
        assert chunks.take_done() == []
    chunks.fill(units[0], results(units[0]))
    assert names(chunks.take_done()) == ["0", None, None, "1", "2", "3", "4"]
    assert chunks.is_empty


def test_a_bounded_number_is_under_way() -> None:
    chunks = Chunks(jobs(1000), 1, 3, is_cuda=False)
    units = [chunks.next_unit() for _ in range(CHUNKS_AHEAD * 3)]
    assert None not in units and chunks.next_unit() is None
    assert units[0] is not None
    chunks.fill(units[0], results(units[0]))
    assert len(chunks.take_done()) == 1 and chunks.next_unit() is not None


def test_what_a_dead_worker_had_comes_again_and_the_suspects_alone() -> None:
    chunks = Chunks(jobs(4), 2, 2, is_cuda=False)
    units = [unit for _ in range(2) if (unit := chunks.next_unit()) is not None]
    chunks.lose(units, "with code -9")
    again = [unit for _ in range(3) if (unit := chunks.next_unit()) is not None]
    assert [(len(unit.jobs), unit.is_suspect) for unit in again] == [(1, True), (1, True), (2, False)]
    chunks.lose(again[:1], "with code -9")
    assert chunks.next_unit() is None
    for unit in again[1:]:
        chunks.fill(unit, results(unit))
    first, *rest = chunks.take_done()
    assert first is not None and first.outcome.reason is Reason.WORKER_DIED
    assert "two processes ended over it, one with code -9" in (first.outcome.error or "")
    assert names(rest) == ["1", "2", "3"]


def test_what_was_not_begun_comes_again_as_it_was() -> None:
    chunks = Chunks(jobs(4), 2, 2, is_cuda=False)
    units = [unit for _ in range(2) if (unit := chunks.next_unit()) is not None]
    chunks.lose(units[:1], "with code -9")
    suspect = chunks.next_unit()
    assert suspect is not None and suspect.is_suspect
    chunks.put_back([suspect, units[1]])
    again = [unit for _ in range(3) if (unit := chunks.next_unit()) is not None]
    assert again[1:] == [suspect, units[1]] and not units[1].is_suspect
    for unit in again:
        chunks.fill(unit, results(unit))
    assert names(chunks.take_done()) == ["0", "1", "2", "3"]
