"""Pictures in, outcomes out: encode, open again, measure, fall back to the source where that is better."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from imgcompress import __version__
from imgcompress.config import Config
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.formats.jpeg.lossless import optimize_losslessly, pack_progressive
from imgcompress.formats.jpeg.markers import jfif, metadata_segments
from imgcompress.image.jpeg_file import mark_segment
from imgcompress.image.metadata import strip
from imgcompress.image.picture import Decoded, Picture
from imgcompress.image.strip_file import STRIPPABLE, strip_file
from imgcompress.layout import Layout, choose_layout
from imgcompress.records import Status
from imgcompress.search import Encoded, TargetEncoder
from imgcompress.verify import Verdict, Verifier, decode_again

KEPT_REASONS = frozenset(
    {
        Reason.ALREADY_OURS,
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
class Source:
    """A file's bytes and what was decoded from them."""

    data: bytes
    picture: Picture


@dataclass(frozen=True)
class Outcome:
    """How one picture ended.

    Attributes:
        status, reason: as in the report.
        data: the output's bytes; None when the picture failed.
        format: the output's format, the source's when it failed, None where that is unknown.
        scores: what the verification measured.
        settings: what the encoder was asked for and chose.
        seconds: time spent; a batch's shared stages are divided evenly among its pictures.
        error: a sentence when it failed, or was kept for a kind that is only copied.
    """

    status: Status
    reason: Reason
    data: bytes | None
    format: str | None
    scores: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class _Job:
    """A picture that is to be encoded, with its place in the caller's list.

    Attributes:
        header, trailer: what stands before and behind the coded picture.
        encodes, seconds: what an earlier try with another sampling has cost.
    """

    index: int
    source: Source
    layout: Layout
    header: bytes
    trailer: bytes = b""
    encodes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Packed:
    """An encoded picture.

    Attributes:
        encoded: what the search came up with.
        data: the file as it would be written.
        pixels: what another decoder shows.
        lossless: the source JPEG coded again without loss, where there is one.
        seconds: time spent so far.
    """

    encoded: Encoded
    data: bytes
    pixels: Tensor
    lossless: bytes | None
    seconds: float


class Compressor:
    """Recompresses pictures with one set of settings. Not for use from several threads at once.

    The padded batch (pinned memory on CUDA) and its float copy are kept between batches; ``buffers`` counts.

    Args:
        config: all settings.

    Raises:
        UsageError: the device asked for, or a model's file, is not there.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.device = find_device(config.device)
        self._batch_megapixels = config.limits.batch_megapixels
        self._encoder = TargetEncoder(config, self.device)
        self._verifier = Verifier(config, self.device)
        self.buffers = self._encoder.encoder.buffers
        self._mark = [mark_segment(__version__, config.digest())] if config.mark else []

    def compress(self, sources: Sequence[Source], pool: Executor) -> list[Outcome]:
        """Recompresses pictures of any sizes; those of one layout go through the stages together.

        Args:
            sources: pictures; how many are in memory at once is the caller's choice.
            pool: packs and decodes the results while the next batch is computed.

        Returns:
            One outcome a source, in order. Nothing is raised for a single picture.
        """
        outcomes: dict[int, Outcome] = {}
        jobs: list[_Job] = []
        for index, source in enumerate(sources):
            try:
                jobs.append(self._prepare(index, source))
            except Exception as error:  # a fault with one picture must not end the run
                outcomes[index] = self._without_encoding(source, as_picture_error(error))
        packing: list[tuple[_Job, Future[_Packed]]] = []
        for job, encoded in self._encode_all(jobs):
            if isinstance(encoded, PictureError):
                outcomes[job.index] = self._without_encoding(job.source, encoded)
            else:
                packing.append((job, pool.submit(self._pack, job, *encoded)))
        packed: list[tuple[_Job, _Packed]] = []
        for job, future in packing:
            try:
                packed.append((job, future.result()))
            except Exception as error:
                outcomes[job.index] = self._without_encoding(job.source, as_picture_error(error))
        started = time.perf_counter()
        verdicts = self._judge(packed)
        share = (time.perf_counter() - started) / max(1, len(packed))
        for (job, result), verdict in zip(packed, verdicts, strict=True):
            if isinstance(verdict, PictureError):
                outcome = self._without_encoding(job.source, verdict)
            else:
                outcome = self._choose(job, result, verdict)
            outcomes[job.index] = replace(outcome, seconds=result.seconds + share)
        return [outcomes[index] for index in range(len(sources))]

    def _prepare(self, index: int, source: Source) -> _Job:
        """Decides how a picture is coded, or raises the reason why it is not."""
        picture = source.picture
        if picture.marked and not self.config.again:
            raise PictureError(Reason.ALREADY_OURS, "this tool made the file")
        if picture.keep is not None:
            raise PictureError(*picture.keep)
        most = self.config.max_pixels
        if most is not None and picture.height * picture.width > most:
            raise PictureError(Reason.MAX_PIXELS, f"the picture has more than {most} pixels")
        if picture.frames > 1:
            several = picture.format in ("jpeg", "tiff")
            reason = Reason.SEVERAL_PICTURES if several else Reason.ANIMATED
            raise PictureError(reason, f"the file holds {picture.frames} pictures")
        if picture.alpha is not None:
            raise PictureError(Reason.ALPHA, "JPEG has no alpha channel")
        if picture.bit_depth > 8:
            raise PictureError(Reason.DEEP_COLOR, f"JPEG cannot hold {picture.bit_depth} bits a channel")
        layout = choose_layout(picture, self.config.subsampling, self._encoder.nominal_score, self.device)
        metadata = strip(picture.metadata, self.config.strip)
        header = jfif(metadata.density) + metadata_segments(metadata, self._mark)
        return _Job(index, source, layout, header, metadata.trailer)

    def _batches(self, jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
        """Groups by layout, at most ``batch_size`` pictures and as many pixels as fit together."""
        groups: dict[Layout, list[_Job]] = {}
        for job in jobs:
            groups.setdefault(job.layout, []).append(job)
        for layout, group in groups.items():
            megapixels = layout.padded_size[0] * layout.padded_size[1] / 1e6
            start = 0
            while start < len(group):
                # Asked anew each time: memory may have run out meanwhile.
                fitting = max(1, int(self._batch_megapixels / megapixels))
                size = min(self.config.batch_size, fitting)
                yield group[start : start + size]
                start += size

    def _encode(self, batch: Sequence[_Job]) -> list[tuple[Encoded, float] | PictureError]:
        """Each picture's encoding and its seconds; a batch that fails is tried again in halves.

        What did not fit into memory is remembered: no later batch is larger than the halves.
        """
        started = time.perf_counter()
        pictures = [job.source.picture for job in batch]
        try:
            results = self._encoder.encode(pictures, batch[0].layout, [job.header for job in batch])
        except Exception as error:
            failure = as_picture_error(error)
        else:
            seconds = (time.perf_counter() - started) / len(batch)
            return [(result, seconds) for result in results]
        # Outside of the handler, as the error's traceback holds the batch's tensors.
        if len(batch) == 1:
            return [failure]
        half = (len(batch) + 1) // 2
        if failure.reason is Reason.OUT_OF_MEMORY:
            height, width = batch[0].layout.padded_size
            self._batch_megapixels = min(self._batch_megapixels, half * height * width / 1e6)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return [*self._encode(batch[:half]), *self._encode(batch[half:])]

    def _encode_all(
        self, jobs: Sequence[_Job]
    ) -> Iterator[tuple[_Job, tuple[Encoded, float] | PictureError]]:
        """Encodes batch after batch; what misses its target with subsampled chroma comes again without."""
        while jobs:
            again: list[_Job] = []
            for batch in self._batches(jobs):
                for job, encoded in zip(batch, self._encode(batch), strict=True):
                    if not isinstance(encoded, PictureError) and self._needs_full_chroma(job, encoded[0]):
                        layout = choose_layout(job.source.picture, "444", self._encoder.nominal_score)
                        again.append(
                            replace(job, layout=layout, encodes=encoded[0].encodes, seconds=encoded[1])
                        )
                    else:
                        yield job, encoded
            jobs = again

    def _needs_full_chroma(self, job: _Job, encoded: Encoded) -> bool:
        """Whether subsampled chroma, chosen by us, may be what kept a picture from its target."""
        if encoded.fault is None:
            return False
        chosen = self.config.subsampling == "auto" and not job.layout.on_source_grid
        subsampled = job.layout.sampling.name not in ("444", "gray")
        return chosen and subsampled and encoded.fault.reason is Reason.TARGET_UNREACHABLE

    def _pack(self, job: _Job, encoded: Encoded, seconds: float) -> _Packed:
        """Chooses the scans, opens the result with another decoder; runs in the pool."""
        started = time.perf_counter()
        data = pack_progressive(encoded.data) if self.config.jpeg.progressive else encoded.data
        data += job.trailer
        if job.trailer and self.config.max_bytes is not None and len(data) > self.config.max_bytes:
            message = f"{len(job.trailer)} bytes behind the picture leave too little of max_bytes"
            raise PictureError(Reason.LIMITS_CONFLICT, message)
        pixels = decode_again(data).pixels
        lossless = self._lossless(job.source) if job.source.picture.jpeg is not None else None
        seconds += job.seconds + time.perf_counter() - started
        return _Packed(encoded, data, pixels, lossless, seconds)

    def _lossless(self, source: Source) -> bytes | None:
        """The source JPEG coded again, its pixels checked to be identical."""
        metadata = strip(source.picture.metadata, self.config.strip)
        data = optimize_losslessly(source.data, metadata)
        return data if torch.equal(decode_again(data).pixels, source.picture.pixels) else None

    def _judge(self, results: Sequence[tuple[_Job, _Packed]]) -> list[Verdict | PictureError]:
        """What the verification says of each result; if it breaks down, it is tried again one by one."""
        try:
            return [
                *self._verifier.judge(
                    [job.source.picture.decoded for job, _ in results],
                    [Decoded(result.pixels) for _, result in results],
                )
            ]
        except Exception as error:
            failure = as_picture_error(error)
        if len(results) == 1:
            return [failure]
        return [verdict for result in results for verdict in self._judge([result])]

    def _choose(self, job: _Job, packed: _Packed, verdict: Verdict) -> Outcome:
        """Takes the encoded picture if it passed and is the smallest, else what the source can become."""
        source = job.source
        said = self._said(job, packed.encoded)
        said["scores"] = said["scores"] | verdict.scores
        if packed.encoded.fault is not None:
            error = self._as_seen_from(source, packed.encoded.fault)
            return replace(self._without_encoding(source, error, packed.lossless), **said)
        if not verdict.accepted:
            error = PictureError(Reason.VERIFY_REFUSED, "the result is too far from the source")
            outcome = self._without_encoding(source, error, packed.lossless)
            return replace(outcome, **said)
        smallest = min(len(source.data), len(packed.lossless or source.data))
        # A JPEG whose coefficients all survived has not been recompressed, and need not carry the mark.
        is_jpeg = source.picture.jpeg is not None
        unchanged = is_jpeg and torch.equal(packed.pixels, source.picture.pixels)
        saved = 100 * (1 - len(packed.data) / len(source.data))
        if unchanged or len(packed.data) >= smallest or saved < self.config.min_savings:
            error = PictureError(Reason.NOT_SMALLER, "the result is not smaller, or not by enough")
            return replace(self._without_encoding(source, error, packed.lossless), **said)
        return Outcome(Status.RECOMPRESSED, Reason.SMALLER, packed.data, "jpeg", **said)

    def _as_seen_from(self, source: Source, fault: PictureError) -> PictureError:
        """A source JPEG is itself as good a JPEG as was asked for: what is missing is a smaller one."""
        is_met = source.picture.jpeg is not None and not self._encoder.target.metric.is_size
        if is_met and fault.reason is Reason.TARGET_UNREACHABLE:
            return PictureError(Reason.NOT_SMALLER, f"{fault}; only the source itself is as good as that")
        return fault

    def _said(self, job: _Job, encoded: Encoded) -> dict[str, Any]:
        """What the report says of an encoding: its scores, and what was asked for and chosen."""
        target = self._encoder.target
        settings = {
            "quality": self.config.quality,
            "target": f"{target.metric.name}={target.value:g}",
            "encodes": job.encodes + encoded.encodes,
            "subsampling": job.layout.sampling.name,
            "tables": self.config.quantization.tables,
            "dead_zone": self.config.quantization.dead_zone,
            "rounds": self.config.loop.rounds,
            "on_source_grid": job.layout.on_source_grid,
        }
        return {
            "scores": {name: round(value, 6) for name, value in encoded.scores.items()},
            "settings": settings,
        }

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
        note = None if picture.keep is None else str(error)
        if mode != "none" and picture.format in STRIPPABLE:
            data = strip_file(source.data, picture.format, mode)
            return Outcome(Status.KEPT, error.reason, data, picture.format, error=note)
        must_strip = mode != "none" and strip(picture.metadata, mode) != picture.metadata
        is_plain = picture.jpeg is not None and picture.frames == 1 and picture.keep is None
        if must_strip and lossless is None and is_plain:
            lossless = self._lossless(source)
        if lossless is not None and (must_strip or len(lossless) < len(source.data)):
            return Outcome(Status.OPTIMIZED, error.reason, lossless, "jpeg")
        if must_strip:
            message = f"{error}, and a copy would keep the metadata that --strip {mode} is to drop"
            return Outcome(Status.FAILED, Reason.CANNOT_STRIP, None, picture.format, error=message)
        return Outcome(Status.KEPT, error.reason, source.data, picture.format, error=note)


def as_picture_error(error: Exception) -> PictureError:
    """What an error of any kind says about the picture at hand; the others go on."""
    if isinstance(error, PictureError):
        return error
    # Without memory on the CPU torch raises a plain RuntimeError.
    no_memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)
    reason = Reason.OUT_OF_MEMORY if no_memory else Reason.INTERNAL_ERROR
    return PictureError(reason, f"{type(error).__name__}: {error}")


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
