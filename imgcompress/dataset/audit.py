"""Looks at what a past run has left: is it there, is it what was written, is it as good as was promised?

find -> read, hash -> decode -> measure -> say
          threads     threads    device
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from imgcompress.backends.codec import writes_upright
from imgcompress.compressor import codecs_of, find_device, is_same
from imgcompress.config import Config
from imgcompress.dataset.audit_tasks import Task, tasks
from imgcompress.dataset.audited import Audited, Condition
from imgcompress.dataset.blobs import Blob, FileBlob
from imgcompress.dataset.claims import Claim, Item
from imgcompress.dataset.pipeline import map_ahead, windows_of
from imgcompress.errors import PictureError, Reason
from imgcompress.faults import as_picture_error, caught
from imgcompress.image.picture import Decoded, Picture
from imgcompress.image.read import probe, read_picture
from imgcompress.image.upright import turned_back
from imgcompress.measure import Measure
from imgcompress.records import FileRecord, Status
from imgcompress.targets import METRICS
from imgcompress.verify import decode_again

SLACK = 0.02
"""How far beyond its bound a score may be measured again, as a share of the metric's tolerance.

0.01 of SSIMULACRA2: numbers may be added in another order. On one CPU no score of 24 crops of 256x192 moved
by more than 4e-6 between batches and pairs, one thread and two; other devices have not been tried.
"""


class _FoundError(Exception):
    """An output's condition is known before the last stage."""

    def __init__(self, condition: Condition, message: str) -> None:
        super().__init__(message)
        self.condition = condition


@dataclass(frozen=True)
class _Looked:
    """An output on its way; each stage fills in what it finds.

    Attributes:
        data, original: the bytes of the output and of its source; None where nothing is compared.
        unmeasured: what is to be said if there is no source to compare with and all else is well.
        megapixels: that both take when they are decoded.
        result, reference: decoded.
    """

    claim: Claim
    data: bytes = field(repr=False)
    original: bytes | None = field(default=None, repr=False)
    unmeasured: Audited | None = None
    megapixels: float = 0.0
    result: Decoded | None = None
    reference: Decoded | None = None


_Stage = _Looked | Audited | None
"""What goes from stage to stage: once it is known how an output ends, that."""


class Auditor:
    """Looks at outputs. Not for use from several threads at once.

    Args:
        config: the device, threads and limits, and how the VGG distance is taken.

    Raises:
        UsageError: the device asked for is not there.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._device = find_device(config.device)
        self._codecs = codecs_of(config)
        self._measures: dict[tuple[str, ...], Measure] = {}

    def audit(self, items: Iterable[Item]) -> Iterator[Audited | None]:
        """Looks at all that is claimed.

        Args:
            items: of a past run; taken a bounded number ahead.

        Returns:
            What was found, in the order of the items; None for an item without a claim.

        Raises:
            UsageError: the claims cannot be read any more, or a model or library that they need is not there.
        """
        with ThreadPoolExecutor(self._config.threads, thread_name_prefix="audit") as pool:
            decoding: Iterator[_Stage] = iter(())
            for window in self._windows(pool, items):
                # While this window is decoded, the one before it is measured.
                upcoming = pool.map(self._decode, window)
                yield from self._measured(list(decoding))
                decoding = upcoming
            yield from self._measured(list(decoding))

    def _windows(self, pool: Executor, items: Iterable[Item]) -> Iterator[list[_Stage]]:
        """Cuts the stream of what has been read by count and by pixels."""
        looked = map_ahead(pool, self._look, tasks(items), ahead=2 * self._config.threads)
        most_megapixels = self._config.limits.in_flight_megapixels / 2
        return windows_of(looked, _megapixels, 4 * self._config.batch_size, most_megapixels)

    def _look(self, task: Task | Audited | None) -> _Stage:
        """Reads and hashes an output and, where they are to be compared, its source. Runs in the pool."""
        if not isinstance(task, Task):
            return task
        claim = task.claim
        try:
            data = _read_output(task.output, claim.record)
            if claim.record.reason is Reason.NOT_A_PICTURE:
                return Audited(claim.name, Condition.OK)
            size = probe(data)
            megapixels = (size.width or 0) * (size.height or 0) / 1e6
            if megapixels > self._config.limits.max_megapixels:
                message = f"{megapixels:.1f} megapixels are more than limits.max_megapixels"
                raise _FoundError(Condition.UNREADABLE, message)
            looked = _Looked(claim, data, megapixels=2 * megapixels)
            if not _is_compared(claim):
                return looked
            try:
                return replace(looked, original=_read_source(task.source, claim.record))
            except _FoundError as error:
                return replace(looked, unmeasured=_audited(claim, error))
        except Exception as error:  # a fault with one picture must not end the run
            return _audited(claim, error)

    def _decode(self, looked: _Stage) -> _Stage:
        """Opens an output and its source. Runs in the pool."""
        if not isinstance(looked, _Looked):
            return looked
        try:
            return self._decoded(looked)
        except Exception as error:
            return _audited(looked.claim, error)

    def _decoded(self, looked: _Looked) -> _Stage:
        claim, most = looked.claim, self._config.limits.max_megapixels
        record = claim.record
        if claim.status is Status.KEPT:  # nothing has encoded it that its decoder could share code with
            result = read_picture(looked.data, most).decoded
        else:
            result = self._decode_result(looked.data, record)
        if looked.original is None:
            return _judged(looked, {}, looked.unmeasured)
        try:
            source = read_picture(looked.original, most)
        except PictureError as error:
            raise _FoundError(Condition.SOURCE_MISSING, f"its source cannot be read: {error}") from error
        result = self._as_stored(result, claim, source)
        if result.pixels.shape[1:] != source.pixels.shape[1:]:
            raise _FoundError(Condition.UNREADABLE, "it has another size than its source")
        if not _must_equal(claim):
            return replace(looked, original=None, result=result, reference=source.decoded)
        if looked.data != looked.original and not is_same(result, source.decoded):
            raise _FoundError(Condition.BELOW_TARGET, "its pixels are not its source's, as they were to be")
        return _judged(looked, {})

    def _decode_result(self, data: bytes, record: FileRecord) -> Decoded:
        if record.format == "jpeg":
            result = decode_again(data)
        elif record.format in self._codecs:
            result = self._codecs[record.format].decode(data)
        else:
            raise _FoundError(Condition.UNREADABLE, f"no decoder is known for the format {record.format}")
        sides = sorted(result.pixels.shape[1:])
        if sides != sorted((record.width or 0, record.height or 0)):  # it may lie turned
            raise _FoundError(Condition.UNREADABLE, "it has another size than its source had")
        return result

    def _as_stored(self, result: Decoded, claim: Claim, source: Picture) -> Decoded:
        """A result turned as its source is stored."""
        codec = self._codecs.get(claim.record.format or "")
        if claim.status is Status.KEPT or codec is None or not writes_upright(codec, source.format):
            return result
        return turned_back(result, source.metadata.orientation)

    def _measured(self, window: Sequence[_Stage]) -> Iterator[Audited | None]:
        """Measures what is left to be measured; pairs of which the same is to be known go together."""
        groups: dict[tuple[str, ...], list[tuple[int, _Looked]]] = {}
        for index, each in enumerate(window):
            if isinstance(each, _Looked):
                groups.setdefault(_scores_promised(each.claim), []).append((index, each))
        found: dict[int, Audited] = {}
        for metrics, group in groups.items():
            if metrics not in self._measures:
                self._measures[metrics] = Measure(metrics, self._config, self._device)
            all_scores = _scores(self._measures[metrics], [each for _, each in group])
            for (index, each), scores in zip(group, all_scores, strict=True):
                if isinstance(scores, PictureError):
                    message = f"it cannot be measured: {scores}"
                    found[index] = _audited(each.claim, _FoundError(Condition.BELOW_TARGET, message))
                else:
                    found[index] = _judged(each, scores)
        for index, each in enumerate(window):
            yield found[index] if isinstance(each, _Looked) else each


def _megapixels(stage: _Stage) -> float:
    return stage.megapixels if isinstance(stage, _Looked) else 0.0


def _read_output(blob: Blob, record: FileRecord) -> bytes:
    if isinstance(blob, FileBlob) and not blob.path.is_file():
        raise _FoundError(Condition.MISSING, "there is no file")
    if record.bytes_out is not None and (size := blob.size()) != record.bytes_out:
        raise _FoundError(Condition.ALTERED, f"it has {size:,} bytes; {record.bytes_out:,} were written")
    data = blob.read()
    if record.sha256_out not in (None, hashlib.sha256(data).hexdigest()):
        raise _FoundError(Condition.ALTERED, "its SHA-256 is not that of what was written")
    return data


def _read_source(blob: Blob | None, record: FileRecord) -> bytes:
    if blob is None:
        raise _FoundError(Condition.SOURCE_MISSING, "there is no source to compare it with")
    try:
        if isinstance(blob, FileBlob) and not blob.path.is_file():
            raise _FoundError(Condition.SOURCE_MISSING, f"its source is gone: {blob.path}")
        if record.bytes_in is not None and blob.size() != record.bytes_in:
            raise _FoundError(Condition.SOURCE_CHANGED, "its source has another size by now")
        data = blob.read()
    except OSError as error:
        message = f"its source cannot be read: {error.strerror or error}"
        raise _FoundError(Condition.SOURCE_MISSING, message) from error
    if record.sha256_in not in (None, hashlib.sha256(data).hexdigest()):
        raise _FoundError(Condition.SOURCE_CHANGED, "its source has other bytes by now")
    return data


def _audited(claim: Claim, error: Exception) -> Audited:
    """What an error says about an output."""
    if isinstance(error, _FoundError):
        return Audited(claim.name, error.condition, str(error), promised=claim.record.promised)
    said = error.strerror if isinstance(error, OSError) else None
    return Audited(
        claim.name,
        Condition.UNREADABLE,
        said or str(as_picture_error(error)),
        promised=claim.record.promised,
    )


def _must_equal(claim: Claim) -> bool:
    """Whether its pixels are to be the source's."""
    return claim.status is not Status.RECOMPRESSED or claim.record.settings.get("lossless") is True


def _is_compared(claim: Claim) -> bool:
    """Whether the source is needed; not for a copy that is one by its checksum."""
    record = claim.record
    if claim.status is Status.KEPT and record.sha256_out is not None:
        return record.sha256_in != record.sha256_out
    return _must_equal(claim) or bool(_scores_promised(claim))


def _scores_promised(claim: Claim) -> tuple[str, ...]:
    return tuple(sorted(name for name in claim.record.promised if not METRICS[name].is_size))


def _scores(measure: Measure, pairs: Sequence[_Looked]) -> list[dict[str, float] | PictureError]:
    """What is measured of pairs; if that breaks down, it is tried again one by one."""
    references = [each.reference for each in pairs if each.reference is not None]
    results = [each.result for each in pairs if each.result is not None]
    scores = caught(measure.scores, references, results)
    if not isinstance(scores, PictureError):
        return [*scores]
    if len(pairs) == 1:
        return [scores]
    return [each for pair in pairs for each in _scores(measure, [pair])]


def _judged(looked: _Looked, scores: Mapping[str, float], otherwise: Audited | None = None) -> Audited:
    """Compares what was measured with what was promised.

    Args:
        looked: the output.
        scores: that were measured; sizes are added.
        otherwise: what is to be said where nothing is wrong; None for that.
    """
    record = looked.claim.record
    size = 8.0 * len(looked.data)
    pixels = (record.width or 0) * (record.height or 0)
    values = {**scores, "bytes": size / 8, "bpp": size / pixels if pixels else math.nan}
    is_scored = looked.reference is not None
    measured, broken = {}, []
    for name, bound in record.promised.items():
        metric = METRICS[name]
        if not metric.is_size and not is_scored:
            continue
        value = measured[name] = values.get(name, math.nan)
        tolerance = metric.tolerance * (abs(bound) if metric.relative else 1.0)
        if not metric.keeps(value, bound, 0.0 if metric.is_size else SLACK * tolerance):
            most = "most" if metric.is_ceiling else "least"
            broken.append(f"{name} is {value:.6g}, promised was {bound:.6g} at {most}")
    if broken:
        message = "; ".join(broken)
        return Audited(looked.claim.name, Condition.BELOW_TARGET, message, measured, record.promised)
    if otherwise is not None:
        return replace(otherwise, scores=measured)
    return Audited(looked.claim.name, Condition.OK, "", measured, record.promised)
