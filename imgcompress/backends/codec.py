"""WebP, AVIF and PNG: a library encodes, the search finds the quality that hits the target."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from imgcompress import __version__
from imgcompress.backends.attempt import Attempt, Source
from imgcompress.config import Config
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.faults import as_picture_error
from imgcompress.formats.codec import Codec
from imgcompress.image.metadata import strip
from imgcompress.image.picture import Decoded, Picture
from imgcompress.layout import choose_sampling
from imgcompress.measure import Measure
from imgcompress.track import Encoded, Goal, Track, refuse_what_needs_a_search


@dataclass(frozen=True)
class _Lane:
    """One picture's way.

    Attributes:
        index: its place in the caller's list.
        picture: with the metadata that it is to keep.
        sampling: of chroma.
        is_ours: whether another sampling may be tried.
        track: its search.
        encodes: what an earlier try with another sampling has cost.
    """

    index: int
    picture: Picture
    sampling: str
    is_ours: bool
    track: Track
    encodes: int = 0


class CodecBackend:
    """Encodes by a library, a picture a thread; measures a batch together.

    Args:
        codec: the library's encoder with its settings.
        config: all settings.
        device: where tries are measured.
        distance: the VGG distance, loaded; None to load it where it is needed.

    Raises:
        UsageError: the target cannot be searched for, the format has not the sampling asked for, or a
            model's file is not there.
    """

    def __init__(
        self,
        codec: Codec,
        config: Config,
        device: torch.device,
        distance: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.format = codec.format
        self._codec = codec
        self._config = config
        self._device = device
        self._goal = Goal.of(config)
        self._fixed = codec.is_lossless or config.max_encodes == 1
        if self._fixed:
            cause = f"{codec.format} is lossless" if codec.is_lossless else "max_encodes is 1"
            refuse_what_needs_a_search(config, self._goal.target, cause, any_target=codec.is_lossless)
        if config.subsampling not in ("auto", *codec.samplings):
            names = ", ".join(codec.samplings)
            raise UsageError(f"subsampling: {codec.format} has {names}, not {config.subsampling}")
        self._measure = Measure(self._goal.metrics, config, device, distance)
        self._mark = f"{__version__} {config.digest()}".encode("ascii") if config.mark else None

    def refuse(self, picture: Picture) -> None:
        """See :class:`Backend`."""
        self._codec.refuse(picture)

    def attempt(self, sources: Sequence[Source], pool: Executor) -> list[Attempt | PictureError]:
        """See :class:`Backend`."""
        started = time.perf_counter()
        results: dict[int, Attempt | PictureError] = {}
        lanes = []
        for index, source in enumerate(sources):
            try:
                lanes.append(self._lane(index, source.picture))
            except Exception as error:  # a fault with one picture must not end the run
                results[index] = as_picture_error(error)
        packing = []
        for lane, encoded in self._encode_all(lanes, pool):
            if isinstance(encoded, PictureError):
                results[lane.index] = encoded
            else:
                packing.append((lane, encoded, pool.submit(self._codec.decode, encoded.data)))
        for lane, encoded, future in packing:
            try:
                results[lane.index] = self._attempt(lane, encoded, future.result())
            except Exception as error:
                results[lane.index] = as_picture_error(error)
        seconds = (time.perf_counter() - started) / max(1, len(sources))
        return [
            result if isinstance(result, PictureError) else replace(result, seconds=seconds)
            for result in (results[index] for index in range(len(sources)))
        ]

    def _lane(self, index: int, picture: Picture) -> _Lane:
        samplings, asked = self._codec.samplings, self._config.subsampling
        is_ours = asked == "auto" and len(samplings) > 1
        sampling = samplings[0]
        if is_ours:
            sampling = choose_sampling(picture, "auto", self._goal.nominal_score, self._device)
        elif len(samplings) > 1:
            sampling = "gray" if picture.is_gray else asked
        bare = replace(picture, metadata=strip(picture.metadata, self._config.strip))
        return _Lane(index, bare, sampling, is_ours, self._track(picture))

    def _track(self, picture: Picture) -> Track:
        return Track(self._goal, picture.height * picture.width)

    def _encode_all(
        self, lanes: Sequence[_Lane], pool: Executor
    ) -> Iterable[tuple[_Lane, Encoded | PictureError]]:
        """Each picture's best encoding; what misses its target with subsampled chroma comes again."""
        again = []
        for lane, encoded in self._search(lanes, pool):
            if isinstance(encoded, Encoded) and _needs_full_chroma(lane, encoded):
                track = self._track(lane.picture)
                again.append(replace(lane, sampling="444", track=track, encodes=encoded.encodes))
            else:
                yield lane, encoded
        yield from self._search(again, pool)

    def _search(
        self, lanes: Sequence[_Lane], pool: Executor
    ) -> Iterable[tuple[_Lane, Encoded | PictureError]]:
        """Tries side by side: one of each picture is encoded in the pool, then all are measured together."""
        while lanes:
            trying = []
            for lane in lanes:
                nominal = lane.track.proposal()
                if nominal is None:
                    yield lane, lane.track.result()
                else:
                    trying.append((lane, nominal, pool.submit(self._encode, lane, nominal)))
            tried = []
            for lane, nominal, future in trying:
                try:
                    tried.append((lane, nominal, *future.result()))
                except Exception as error:
                    yield lane, as_picture_error(error)
            if self._fixed:
                for lane, nominal, data, _ in tried:
                    yield lane, Encoded(data, nominal, {}, 1, None)
                return
            scores = self._measure.scores(
                [lane.picture.decoded for lane, *_ in tried], [decoded for *_, decoded in tried]
            )
            for (lane, nominal, data, _), measured in zip(tried, scores, strict=True):
                lane.track.add(nominal, data, measured)
            lanes = [lane for lane, *_ in tried]

    def _encode(self, lane: _Lane, nominal: float) -> tuple[bytes, Decoded]:
        """Encodes a picture and opens the result; runs in the pool."""
        quality = self._codec.quality_of_score(nominal)
        data = self._codec.encode(lane.picture, quality, lane.sampling, self._mark)
        is_looked_at = not self._fixed and self._goal.metrics
        return data, self._codec.decode(data) if is_looked_at else lane.picture.decoded

    def _attempt(self, lane: _Lane, encoded: Encoded, decoded: Decoded) -> Attempt:
        settings: dict[str, Any] = {"subsampling": lane.sampling, "lossless": True}
        if not self._codec.is_lossless:
            target = self._goal.target
            settings = {
                "quality": self._config.quality,
                "target": f"{target.metric.name}={target.value:g}",
                "encodes": lane.encodes + encoded.encodes,
                "subsampling": lane.sampling,
                f"{self.format}_quality": round(self._codec.quality_of_score(encoded.nominal), 2),
            }
        return Attempt(
            self.format,
            encoded.data,
            decoded,
            encoded.scores,
            settings,
            encoded.fault,
            must_equal=self._codec.is_lossless,
        )


def _needs_full_chroma(lane: _Lane, encoded: Encoded) -> bool:
    """Whether subsampled chroma, chosen by us, may be what kept a picture from its target."""
    is_missed = encoded.fault is not None and encoded.fault.reason is Reason.TARGET_UNREACHABLE
    return is_missed and lane.is_ours and lane.sampling not in ("444", "gray")
