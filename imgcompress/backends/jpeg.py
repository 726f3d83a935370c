"""JPEG: batches of one layout go through the tensor stages together."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from imgcompress import __version__
from imgcompress.backends.attempt import Attempt, Source
from imgcompress.config import Config
from imgcompress.errors import PictureError, Reason
from imgcompress.faults import as_picture_error, caught
from imgcompress.formats.jpeg.lossless import pack_progressive
from imgcompress.formats.jpeg.markers import jfif, metadata_segments
from imgcompress.image.jpeg_file import mark_segment
from imgcompress.image.metadata import strip
from imgcompress.image.picture import Picture
from imgcompress.layout import Layout, choose_layout
from imgcompress.search import TargetEncoder
from imgcompress.track import Encoded
from imgcompress.verify import decode_again


@dataclass(frozen=True)
class _Job:
    """A picture that is to be encoded, with its place in the caller's list.

    Attributes:
        header, trailer: what stands before and behind the coded picture.
        encodes, seconds: what an earlier try with another sampling has cost.
    """

    index: int
    picture: Picture
    layout: Layout
    header: bytes
    trailer: bytes = b""
    encodes: int = 0
    seconds: float = 0.0


class JpegBackend:
    """Encodes JPEG files. Not for use from several threads at once.

    Args:
        config: all settings.
        device: where the tensors live.
        distance: the VGG distance, loaded; None to load it where it is needed.

    Raises:
        UsageError: the target cannot be searched for, or a model's file is not there.
    """

    format = "jpeg"

    def __init__(
        self,
        config: Config,
        device: torch.device,
        distance: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self._config = config
        self._device = device
        self._batch_megapixels = config.limits.batch_megapixels
        self._encoder = TargetEncoder(config, device, distance)
        self.buffers = self._encoder.encoder.buffers
        self._mark = [mark_segment(__version__, config.digest())] if config.mark else []

    def refuse(self, picture: Picture) -> None:
        """See :class:`Backend`: neither alpha nor more than 8 bits."""
        if picture.alpha is not None:
            raise PictureError(Reason.ALPHA, "JPEG has no alpha channel")
        if picture.bit_depth > 8:
            raise PictureError(Reason.DEEP_COLOR, f"JPEG cannot hold {picture.bit_depth} bits a channel")

    def attempt(self, sources: Sequence[Source], pool: Executor) -> list[Attempt | PictureError]:
        """See :class:`Backend`."""
        results: dict[int, Attempt | PictureError] = {}
        jobs = []
        for index, source in enumerate(sources):
            job = caught(self._prepare, index, source.picture)
            if isinstance(job, PictureError):
                results[index] = job
            else:
                jobs.append(job)
        packing = []
        for job, encoded in self._encode_all(jobs):
            if isinstance(encoded, PictureError):
                results[job.index] = encoded
            else:
                packing.append((job.index, pool.submit(self._pack, job, *encoded)))
        for index, future in packing:
            results[index] = caught(future.result)
        return [results[index] for index in range(len(sources))]

    def _prepare(self, index: int, picture: Picture) -> _Job:
        """Decides how a picture is coded."""
        nominal = self._encoder.goal.nominal_score
        layout = choose_layout(picture, self._config.subsampling, nominal, self._device)
        metadata = strip(picture.metadata, self._config.strip)
        header = jfif(metadata.density) + metadata_segments(metadata, self._mark)
        return _Job(index, picture, layout, header, metadata.trailer)

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
                size = min(self._config.batch_size, fitting)
                yield group[start : start + size]
                start += size

    def _encode(self, batch: Sequence[_Job]) -> list[tuple[Encoded, float] | PictureError]:
        """Each picture's encoding and its seconds; a batch that fails is tried again in halves.

        What did not fit into memory is remembered: no later batch is larger than the halves.
        """
        started = time.perf_counter()
        pictures = [job.picture for job in batch]
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
            if self._device.type == "cuda":
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
                        layout = choose_layout(job.picture, "444", self._encoder.goal.nominal_score)
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
        chosen = self._config.subsampling == "auto" and not job.layout.on_source_grid
        subsampled = job.layout.sampling.name not in ("444", "gray")
        return chosen and subsampled and encoded.fault.reason is Reason.TARGET_UNREACHABLE

    def _pack(self, job: _Job, encoded: Encoded, seconds: float) -> Attempt:
        """Chooses the scans, opens the result with another decoder; runs in the pool."""
        started = time.perf_counter()
        data = pack_progressive(encoded.data) if self._config.jpeg.progressive else encoded.data
        data += job.trailer
        if job.trailer and self._config.max_bytes is not None and len(data) > self._config.max_bytes:
            message = f"{len(job.trailer)} bytes behind the picture leave too little of max_bytes"
            raise PictureError(Reason.LIMITS_CONFLICT, message)
        decoded = decode_again(data)
        seconds += job.seconds + time.perf_counter() - started
        settings = self._settings(job, encoded)
        return Attempt("jpeg", data, decoded, encoded.scores, settings, encoded.fault, seconds=seconds)

    def _settings(self, job: _Job, encoded: Encoded) -> dict[str, Any]:
        """What the report says that was asked for and chosen."""
        target = self._encoder.goal.target
        return {
            "quality": self._config.quality,
            "target": f"{target.metric.name}={target.value:g}",
            "encodes": job.encodes + encoded.encodes,
            "subsampling": job.layout.sampling.name,
            "tables": self._config.quantization.tables,
            "dead_zone": self._config.quantization.dead_zone,
            "rounds": self._config.loop.rounds,
            "on_source_grid": job.layout.on_source_grid,
        }
