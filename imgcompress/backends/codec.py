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
from imgcompress.backends.start import foretold, place_of, score_at
from imgcompress.config import Config
from imgcompress.errors import PictureError, UsageError
from imgcompress.faults import caught
from imgcompress.formats.codec import Codec
from imgcompress.image.jpeg_markers import COM
from imgcompress.image.metadata import strip
from imgcompress.image.picture import Decoded, Metadata, Picture
from imgcompress.image.upright import turned_back, upright
from imgcompress.measure import Measure
from imgcompress.track import Encoded, Goal, Track, refuse_what_needs_a_search


@dataclass(frozen=True)
class _Lane:
    """One picture's way.

    Attributes:
        index: its place in the caller's list.
        picture: with the metadata that it is to keep; upright where the format's readers would not turn it.
        orientation: by which the source is turned otherwise than that.
        track: its search.
    """

    index: int
    picture: Picture
    orientation: int
    track: Track


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
        self._goal = _on_axis(Goal.of(config))
        self._fixed = not codec.has_quality or config.max_encodes == 1
        if self._fixed:
            cause = "max_encodes is 1" if codec.has_quality else f"this {codec.format} has no quality to set"
            refuse_what_needs_a_search(config, self._goal.target, cause, any_target=not codec.has_quality)
        self._sampling = codec.samplings[0] if config.subsampling == "auto" else config.subsampling
        if self._sampling not in codec.samplings:
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
            lane = caught(self._lane, index, source.picture)
            if isinstance(lane, PictureError):
                results[index] = lane
            else:
                lanes.append(lane)
        packing = []
        for lane, encoded in self._search(lanes, pool):
            if isinstance(encoded, PictureError):
                results[lane.index] = encoded
            else:
                packing.append((lane.index, pool.submit(self._attempt, lane, encoded)))
        for index, future in packing:
            results[index] = caught(future.result)
        seconds = (time.perf_counter() - started) / max(1, len(sources))
        return [
            result if isinstance(result, PictureError) else replace(result, seconds=seconds)
            for result in (results[index] for index in range(len(sources)))
        ]

    def _lane(self, index: int, picture: Picture) -> _Lane:
        start = foretold(picture, self.format, self._goal.nominal_score)
        track = Track(self._goal, picture.height * picture.width, start=start)
        bare = replace(picture, metadata=strip(picture.metadata, self._config.strip))
        if not writes_upright(self._codec, picture.format):
            return _Lane(index, bare, 1, track)
        return _Lane(index, upright(bare), bare.metadata.orientation, track)

    def _search(
        self, lanes: Sequence[_Lane], pool: Executor
    ) -> Iterable[tuple[_Lane, Encoded | PictureError]]:
        """Tries side by side: one of each picture is encoded in the pool, then all are measured together."""
        while lanes:
            trying = []
            for lane in lanes:
                place = lane.track.proposal()
                if place is None:
                    yield lane, lane.track.result()
                else:
                    trying.append((lane, place, pool.submit(self._encode, lane, place)))
            tried = []
            for lane, place, future in trying:
                found = caught(future.result)
                if isinstance(found, PictureError):
                    yield lane, found
                else:
                    tried.append((lane, place, *found))
            if self._fixed:
                for lane, place, data, _ in tried:
                    yield lane, Encoded(data, place, {}, 1, None)
                return
            scores = self._measure.scores(
                [lane.picture.decoded for lane, *_ in tried], [decoded for *_, decoded in tried]
            )
            for (lane, place, data, _), measured in zip(tried, scores, strict=True):
                lane.track.add(place, data, measured)
            lanes = [lane for lane, *_ in tried]

    def _encode(self, lane: _Lane, place: float) -> tuple[bytes, Decoded]:
        """Encodes a picture and opens the result; runs in the pool."""
        data = self._codec.encode(lane.picture, self._quality(place), self._sampling, self._mark)
        is_looked_at = not self._fixed and self._goal.metrics
        return data, self._codec.decode(data) if is_looked_at else lane.picture.decoded

    def _quality(self, place: float) -> float:
        return self._codec.quality_of_score(score_at(place))

    def _attempt(self, lane: _Lane, encoded: Encoded) -> Attempt:
        """Opens what the search has ended with; runs in the pool."""
        settings: dict[str, Any] = {"subsampling": "gray" if lane.picture.is_gray else self._sampling}
        if self._codec.has_quality:
            target = self._goal.target
            settings |= {
                "quality": self._config.quality,
                "target": f"{target.metric.name}={target.value:g}",
                "encodes": encoded.encodes,
                f"{self.format}_quality": round(self._quality(encoded.nominal), 2),
            }
        else:
            settings["lossless"] = self._codec.is_lossless
        if left_out := _left_out(lane.picture.metadata, self.format):
            settings["left_out"] = left_out
        return Attempt(
            self.format,
            encoded.data,
            turned_back(self._codec.decode(encoded.data), lane.orientation),
            encoded.scores,
            settings,
            encoded.fault,
            must_equal=self._codec.is_lossless,
        )


def writes_upright(codec: Codec, source: str) -> bool:
    """Whether files are turned as they are to be seen, rather than as their sources are stored.

    Args:
        codec: of the files.
        source: the sources' format.
    """
    return not codec.heeds_orientation and source != codec.format


def _on_axis(goal: Goal) -> Goal:
    """The same, with scores on the axis where pictures differ evenly."""
    metric = goal.target.metric
    if metric.name != "ssimulacra2":
        return goal
    return replace(goal, target=replace(goal.target, metric=replace(metric, axis=place_of)))


def _left_out(metadata: Metadata, form: str) -> list[str]:
    """What a JPEG said that has no place in another format."""
    carried = {COM} if form == "png" else set()
    left_out = ["segments"] if any(marker not in carried for marker, _ in metadata.segments) else []
    return left_out + (["trailer"] if metadata.trailer else [])
