"""Pictures in, outcomes out: encode, open again, measure, fall back to the source where that is better."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor

from imgcompress.backends.attempt import Attempt, Backend, Source
from imgcompress.backends.codec import CodecBackend
from imgcompress.backends.jpeg import JpegBackend
from imgcompress.config import Config
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.faults import as_picture_error
from imgcompress.formats.avif import AvifCodec
from imgcompress.formats.codec import Codec
from imgcompress.formats.jpeg.lossless import optimize_losslessly
from imgcompress.formats.png import PngCodec
from imgcompress.formats.webp import WebpCodec
from imgcompress.image.buffers import BufferPool
from imgcompress.image.metadata import strip
from imgcompress.image.picture import Decoded
from imgcompress.image.strip_file import STRIPPABLE, strip_file
from imgcompress.records import Status
from imgcompress.targets import METRICS
from imgcompress.track import Goal
from imgcompress.triage import Triage
from imgcompress.verify import Verdict, Verifier, decode_again

__all__ = ["KEPT_REASONS", "Compressor", "Outcome", "Source", "as_picture_error", "find_device"]

KEPT_REASONS = frozenset(
    {
        Reason.ALREADY_OURS,
        Reason.CRUSHED,
        Reason.BELOW_SCORE,
        Reason.ALPHA,
        Reason.DEEP_COLOR,
        Reason.ANIMATED,
        Reason.SEVERAL_PICTURES,
        Reason.METADATA_TOO_LARGE,
        Reason.COLOR_SPACE,
        Reason.GAIN_MAP,
        Reason.UNSUPPORTED,
        Reason.UNCHECKED,
        Reason.MAX_PIXELS,
        Reason.NOT_SMALLER,
        Reason.VERIFY_REFUSED,
        Reason.TARGET_UNREACHABLE,
    }
)
"""Why a picture is not encoded although nothing is wrong with it; every other reason is a failure."""


@dataclass(frozen=True)
class Outcome:
    """How one picture ended.

    Attributes:
        status, reason: as in the report.
        data: the output's bytes; None when the picture failed.
        format: the output's format, the source's when it failed, None where that is unknown.
        scores: what the verification measured.
        settings: what the encoder was asked for and chose.
        seconds: time spent; what a batch shares is divided evenly among its pictures.
        promised: of what was asked for, metric to the worst value that the output keeps.
        error: a sentence when it failed, or was spared, or is of a kind that is only copied.
    """

    status: Status
    reason: Reason
    data: bytes | None
    format: str | None
    scores: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    promised: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Judged:
    """An attempt after its verification.

    Attributes:
        attempt: with all its scores.
        accepted: whether it is near enough to the source to be written at all.
        fault: why it is not to be taken; None where nothing is wrong with it.
    """

    attempt: Attempt
    accepted: bool
    fault: PictureError | None


class Compressor:
    """Recompresses pictures with one set of settings. Not for use from several threads at once.

    For JPEG the padded batch (pinned memory on CUDA) and its float copy are kept between batches;
    ``buffers`` counts.

    Args:
        config: all settings.
        distance: the perceptual distance, loaded, for targets and verification; None to load the one that
            the settings name where it is needed.

    Raises:
        UsageError: the device asked for, or a model's file, is not there, or settings exclude one another.
    """

    def __init__(self, config: Config, distance: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        self.config = config
        self.device = find_device(config.device)
        self._goal = Goal.of(config)
        self._backends = _backends(config, self.device, distance)
        self._verifier = Verifier(config, self.device, distance)
        self._triage = Triage(config, self.device)

    @property
    def buffers(self) -> BufferPool | None:
        """Those of the JPEG stages; None where no JPEG is made."""
        made = [backend.buffers for backend in self._backends if isinstance(backend, JpegBackend)]
        return made[0] if made else None

    def compress(self, sources: Sequence[Source], pool: Executor) -> list[Outcome]:
        """Recompresses pictures of any sizes, in each format that the settings ask for.

        Args:
            sources: pictures; how many are in memory at once is the caller's choice.
            pool: encodes, packs and decodes while the next batch is computed.

        Returns:
            One outcome a source, in order. Nothing is raised for a single picture.
        """
        refused = self._triage.refusals(sources)
        attempts: list[list[Attempt | PictureError]] = [
            [] if reason is None else [reason] for reason in refused
        ]
        for backend in self._backends:
            taken = []
            for index, source in enumerate(sources):
                if refused[index] is None:
                    try:
                        backend.refuse(source.picture)
                        taken.append(index)
                    except Exception as error:  # a fault with one picture must not end the run
                        attempts[index].append(as_picture_error(error))
            made = _attempt(backend, [sources[index] for index in taken], pool)
            for index, attempt in zip(taken, made, strict=True):
                attempts[index].append(attempt)
        lossless = [
            pool.submit(self._lossless, source)
            if source.picture.jpeg is not None and any(isinstance(each, Attempt) for each in tried)
            else None
            for source, tried in zip(sources, attempts, strict=True)
        ]
        judged = self._judge_all(sources, attempts)
        return [
            self._outcome(source, tried, verdicts, future)
            for source, tried, verdicts, future in zip(sources, attempts, judged, lossless, strict=True)
        ]

    def _lossless(self, source: Source) -> bytes | None:
        """The source JPEG coded again, its pixels checked to be identical."""
        metadata = strip(source.picture.metadata, self.config.strip)
        data = optimize_losslessly(source.data, metadata)
        return data if torch.equal(decode_again(data).pixels, source.picture.pixels) else None

    def _judge_all(
        self, sources: Sequence[Source], attempts: Sequence[Sequence[Attempt | PictureError]]
    ) -> list[list[_Judged]]:
        """The attempts at each picture, verified."""
        started = time.perf_counter()
        made = [
            (index, attempt)
            for index, tried in enumerate(attempts)
            for attempt in tried
            if isinstance(attempt, Attempt)
        ]
        verified = self._judge([(sources[index], attempt) for index, attempt in made])
        share = (time.perf_counter() - started) / max(1, len(made))
        judged: list[list[_Judged]] = [[] for _ in sources]
        for (index, attempt), each in zip(made, verified, strict=True):
            timed = replace(each.attempt, seconds=attempt.seconds + share)
            judged[index].append(replace(each, attempt=timed))
        return judged

    def _judge(self, results: Sequence[tuple[Source, Attempt]]) -> list[_Judged]:
        """Measures results against their sources; if that breaks down, it is tried again one by one."""
        try:
            verdicts = self._verifier.judge(
                [source.picture.decoded for source, _ in results],
                [attempt.decoded for _, attempt in results],
            )
            return [_judged(*result, verdict) for result, verdict in zip(results, verdicts, strict=True)]
        except Exception as error:
            failure = as_picture_error(error)
        if len(results) == 1:
            return [_Judged(results[0][1], False, failure)]
        return [judged for result in results for judged in self._judge([result])]

    def _outcome(
        self,
        source: Source,
        tried: Sequence[Attempt | PictureError],
        judged: Sequence[_Judged],
        coded_again: "Future[bytes | None] | None",
    ) -> Outcome:
        """Takes the smallest encoding that passed if that is smaller, else what the source can become."""
        if not judged:
            # Of several formats the last one holds most.
            errors = [each for each in tried if isinstance(each, PictureError)]
            return self._without_encoding(source, errors[-1])
        seconds = sum(each.attempt.seconds for each in judged)
        try:
            lossless = None if coded_again is None else coded_again.result()
        except Exception as error:
            return replace(self._without_encoding(source, as_picture_error(error)), seconds=seconds)
        chosen = self._choose(source, judged)
        attempt, fault = chosen.attempt, chosen.fault
        settings = attempt.settings
        if len(self._backends) > 1:
            costs = {each.attempt.format: len(each.attempt.data) for each in judged if each.fault is None}
            settings = settings | {"costs": costs}
        said: dict[str, Any] = {"scores": attempt.scores, "settings": settings, "seconds": seconds}
        fault = fault or self._not_smaller(source, attempt, lossless)
        promised = self._promised(attempt)
        if fault is None:
            return Outcome(
                Status.RECOMPRESSED, Reason.SMALLER, attempt.data, attempt.format, **said, promised=promised
            )
        if chosen.accepted and self._is_conversion(source, attempt, fault):
            reason = Reason.CONVERTED if fault.reason is Reason.NOT_SMALLER else fault.reason
            return Outcome(
                Status.RECOMPRESSED, reason, attempt.data, attempt.format, **said, promised=promised
            )
        fault = self._as_seen_from(source, fault)
        return replace(self._without_encoding(source, fault, lossless), **said)

    def _promised(self, attempt: Attempt) -> dict[str, float]:
        """The strictest of the bounds that were looked at and that an encoding keeps."""
        size = 8.0 * len(attempt.data)
        values = attempt.scores | {"bytes": size / 8, "bpp": size / attempt.decoded.pixels[0].numel()}
        promised: dict[str, float] = {}
        for name, bound in (*self._goal.bounds, *self._verifier.bounds):
            metric = METRICS[name]
            is_kept = isfinite(bound) and metric.keeps(values.get(name, nan), bound)
            if is_kept and metric.keeps(bound, promised.get(name, bound)):
                promised[name] = bound
        return promised

    def _choose(self, source: Source, judged: Sequence[_Judged]) -> _Judged:
        """The smallest without a fault; else, where one must be taken, the one that went furthest."""
        fit = [each for each in judged if each.fault is None]
        if fit:
            return min(fit, key=lambda each: len(each.attempt.data))
        convertible = [
            each
            for each in judged
            if each.accepted and each.fault and self._is_conversion(source, each.attempt, each.fault)
        ]
        return max(convertible, key=lambda each: len(each.attempt.data), default=judged[0])

    def _is_conversion(self, source: Source, attempt: Attempt, fault: PictureError) -> bool:
        """Whether a result is to be taken for its format."""
        of_another = attempt.format != source.picture.format
        return self.config.convert and of_another and fault.reason in _CONVERTED_ALL_THE_SAME

    def _not_smaller(self, source: Source, attempt: Attempt, lossless: bytes | None) -> PictureError | None:
        """Why a faultless encoding is not worth taking; None where it is."""
        smallest = min(len(source.data), len(lossless or source.data))
        # A JPEG whose coefficients all survived has not been recompressed, and need not carry the mark.
        is_jpeg = attempt.format == "jpeg" and source.picture.jpeg is not None
        unchanged = is_jpeg and torch.equal(attempt.decoded.pixels, source.picture.pixels)
        saved = 100 * (1 - len(attempt.data) / len(source.data))
        if unchanged or len(attempt.data) >= smallest or saved < self.config.min_savings:
            return PictureError(Reason.NOT_SMALLER, "the result is not smaller, or not by enough")
        return None

    def _as_seen_from(self, source: Source, fault: PictureError) -> PictureError:
        """A source JPEG is itself as good a JPEG as was asked for: what is missing is a smaller one."""
        is_met = source.picture.jpeg is not None and not self._goal.target.metric.is_size
        if is_met and fault.reason is Reason.TARGET_UNREACHABLE:
            return PictureError(Reason.NOT_SMALLER, f"{fault}; only the source itself is as good as that")
        return fault

    def _without_encoding(
        self, source: Source, error: PictureError, lossless: bytes | None = None
    ) -> Outcome:
        """The source itself where nothing is wrong with it, else a failure."""
        if error.reason in KEPT_REASONS:
            try:
                return self._keep(source, error, lossless)
            except Exception as fault:
                error = as_picture_error(fault)
        return Outcome(Status.FAILED, error.reason, None, source.picture.format, error=str(error))

    def _keep(self, source: Source, error: PictureError, lossless: bytes | None) -> Outcome:
        """The source in fewer bytes or without unwanted metadata where that costs no pixel, else a copy."""
        picture, mode = source.picture, self.config.strip
        is_spared = error.reason in _SPARED
        note = str(error) if is_spared or picture.keep is not None else None
        if mode != "none" and picture.format in STRIPPABLE:
            data = strip_file(source.data, picture.format, mode)
            return Outcome(Status.KEPT, error.reason, data, picture.format, error=note)
        must_strip = mode != "none" and strip(picture.metadata, mode) != picture.metadata
        is_plain = picture.jpeg is not None and picture.frames == 1 and picture.keep is None
        if (must_strip or is_spared) and lossless is None and is_plain:
            lossless = self._lossless(source)
        if lossless is not None and (must_strip or len(lossless) < len(source.data)):
            return Outcome(Status.OPTIMIZED, error.reason, lossless, "jpeg", error=note)
        if must_strip:
            message = f"{error}, and a copy would keep the metadata that --strip {mode} is to drop"
            return Outcome(Status.FAILED, Reason.CANNOT_STRIP, None, picture.format, error=message)
        return Outcome(Status.KEPT, error.reason, source.data, picture.format, error=note)


_SPARED = frozenset({Reason.CRUSHED, Reason.BELOW_SCORE})
"""Why a picture gets no further loss although nothing else is in the way of a smaller file."""

_CONVERTED_ALL_THE_SAME = frozenset({Reason.NOT_SMALLER, Reason.TARGET_UNREACHABLE})


def _judged(source: Source, attempt: Attempt, verdict: Verdict) -> _Judged:
    said = {name: round(value, 6) for name, value in attempt.scores.items()} | verdict.scores
    fault, accepted = attempt.fault, verdict.accepted
    if attempt.must_equal and not is_same(attempt.decoded, source.picture.decoded):
        accepted = False
    if fault is None and not accepted:
        fault = PictureError(Reason.VERIFY_REFUSED, "the result is too far from the source")
    return _Judged(replace(attempt, scores=said), accepted, fault)


def is_same(result: Decoded, source: Decoded) -> bool:
    """Whether two pictures are equal sample by sample; gray may have become RGB."""
    if result.pixels.dtype != source.pixels.dtype or (result.alpha is None) != (source.alpha is None):
        return False
    pixels = source.pixels.expand_as(result.pixels) if len(source.pixels) == 1 else source.pixels
    is_alpha_same = result.alpha is None or source.alpha is None or torch.equal(result.alpha, source.alpha)
    return is_alpha_same and torch.equal(result.pixels, pixels)


def _attempt(backend: Backend, sources: Sequence[Source], pool: Executor) -> Sequence[Attempt | PictureError]:
    """All attempts of a backend; if it breaks down, pictures are tried again one by one."""
    if not sources:
        return []
    try:
        return backend.attempt(sources, pool)
    except Exception as error:
        failure = as_picture_error(error)
    if len(sources) == 1:
        return [failure]
    return [attempt for source in sources for attempt in _attempt(backend, [source], pool)]


def _backends(
    config: Config, device: torch.device, distance: Callable[[Tensor, Tensor], Tensor] | None
) -> list[Backend]:
    """The formats that are made; of several, those that have the sampling asked for."""
    codecs = codecs_of(config)
    if config.format == "jpeg":
        return [JpegBackend(config, device, distance)]
    if config.format != "auto":
        return [CodecBackend(codecs[config.format], config, device, distance)]
    made = [
        codecs[name] for name in ("webp", "avif") if config.subsampling in ("auto", *codecs[name].samplings)
    ]
    return [
        JpegBackend(config, device, distance),
        *(CodecBackend(codec, config, device, distance) for codec in made),
    ]


def codecs_of(config: Config) -> dict[str, Codec]:
    """The formats that a library encodes, with their settings."""
    return {"webp": WebpCodec(config.webp), "avif": AvifCodec(config.avif), "png": PngCodec()}


def find_device(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: "cpu", "cuda", or "auto" for CUDA where there is one.

    Raises:
        UsageError: CUDA was asked for and is not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: cuda was asked for, but torch sees no CUDA device")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
