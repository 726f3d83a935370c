"""Encodes a batch so that every picture hits its target; pictures leave the batch as they do."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from imgcompress.config import Config
from imgcompress.encode import Encoder, Quantized
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.formats.jpeg.lossless import pack_progressive
from imgcompress.image.picture import Picture
from imgcompress.layout import Layout
from imgcompress.measure import Measure
from imgcompress.quantization.scale import score_of_quality, step_of_score
from imgcompress.targets import METRICS, Search, Target, parse_target
from imgcompress.verify import decode_again


@dataclass(frozen=True)
class Encoded:
    """One picture's best encoding.

    Attributes:
        data: a baseline JPEG file.
        scores: what was measured on the way: the target's metric, and SSIMULACRA2 where a limit asks for it.
        encodes: how many encodings it took.
        fault: why the target or a limit was missed, or None.
    """

    data: bytes
    scores: dict[str, float]
    encodes: int
    fault: PictureError | None


class TargetEncoder:
    """Finds the step at which a picture hits its target. Not for use from several threads at once.

    Args:
        config: all settings.
        device: where the tensors live.

    Raises:
        UsageError: the target is none, it or a limit would need a search where there is none, or a model's
            file is missing or not the one expected.
    """

    def __init__(self, config: Config, device: torch.device) -> None:
        self.encoder = Encoder(config, device)
        self._config = config
        score = score_of_quality(config.quality)
        self.target = Target(
            METRICS["ssimulacra2"], score, config.tolerance or METRICS["ssimulacra2"].tolerance
        )
        if config.target is not None:
            self.target = parse_target(config.target, config.tolerance)
        self._fixed = config.quantization.tables == "ijg" or config.max_encodes == 1
        if self._fixed:
            _refuse_what_needs_a_search(config, self.target)
        names = {self.target.metric.name} - {"bytes", "bpp"}
        if config.min_score is not None:
            names.add("ssimulacra2")
        self._measure = Measure(sorted(names), config, device)

    @property
    def nominal_score(self) -> float:
        """The SSIMULACRA2 that is aimed at; for other metrics, what the quality number stands for."""
        if self.target.metric.name == "ssimulacra2":
            return self.target.value
        return score_of_quality(self._config.quality)

    def encode(self, pictures: Sequence[Picture], layout: Layout, headers: Sequence[bytes]) -> list[Encoded]:
        """Encodes a batch.

        Args:
            pictures: 8-bit pictures of this layout.
            layout: what they have in common.
            headers: each picture's metadata segments.

        Returns:
            One encoding a picture, the nearest to the target of those tried.
        """
        prepared = self.encoder.prepare(pictures, layout)
        if self._fixed:
            steps = [step_of_score(self.nominal_score)] * len(pictures)
            files = self.encoder.write(prepared, self.encoder.quantize(prepared, steps), headers)
            return [Encoded(data, {}, 1, None) for data in files]
        tracks = [
            _Track(picture, header, self._config, self.target, self.nominal_score)
            for picture, header in zip(pictures, headers, strict=True)
        ]
        active = list(range(len(tracks)))
        quantized: Quantized | None = None
        rounds: int | None = None  # the first time, what the settings say
        while active:
            proposals = [tracks[index].proposal() for index in active]
            kept = [row for row, proposal in enumerate(proposals) if proposal is not None]
            if not kept:
                break
            if len(kept) < len(active):
                rows = torch.tensor(kept, device=prepared.shares.device)
                prepared = prepared.select(rows)
                quantized = None if quantized is None else quantized.select(rows)
                active = [active[row] for row in kept]
            nominal = [proposal for proposal in proposals if proposal is not None]
            steps = [step_of_score(at) for at in nominal]
            edges = [tracks[index].edge for index in active]
            tables = [
                step if edge is None else step_of_score(edge) for step, edge in zip(steps, edges, strict=True)
            ]
            quantized = self.encoder.quantize(prepared, steps, quantized, rounds, tables)
            # The second try goes on with the first one's loop. From the third on nothing more is learned,
            # so that tries can be compared with each other.
            rounds = 1 if rounds is None else 0
            files = self.encoder.write(prepared, quantized, [tracks[index].header for index in active])
            scores = self._measure.scores(
                [tracks[index].picture.decoded for index in active], [decode_again(data) for data in files]
            )
            for index, at, data, measured in zip(active, nominal, files, scores, strict=True):
                tracks[index].add(at, data, measured)
        return [track.result() for track in tracks]


def _refuse_what_needs_a_search(config: Config, target: Target) -> None:
    is_ijg = config.quantization.tables == "ijg"
    cause = "quantization.tables is ijg" if is_ijg else "max_encodes is 1"
    if config.target is not None and (is_ijg or target.metric.name != "ssimulacra2"):
        raise UsageError(f"target: {config.target} needs a search, and {cause}")
    for key in ("max_bytes", "min_score"):
        if getattr(config, key) is not None:
            raise UsageError(f"{key}: it needs a search, and {cause}")


@dataclass(frozen=True)
class _Try:
    nominal: float
    data: bytes
    scores: dict[str, float]


class _Track:
    """The search for one picture: first the target, then whichever limit its result breaks.

    On a JPEG's own grid the score falls from a cliff where a step leaves the source's. From there on the
    tables stay as they are on the edge, and lambda alone goes on.

    Attributes:
        edge: the nominal score that the tables are held at; None where they follow the proposals.
    """

    def __init__(
        self, picture: Picture, header: bytes, config: Config, target: Target, nominal: float
    ) -> None:
        self.picture = picture
        self.header = header
        self._config = config
        self._target = target
        self._tries: list[_Try] = []
        self._has_lambda = config.loop.rounds > 0
        self._search = Search(target, nominal, self._has_lambda)
        self._searches_left = ["ssimulacra2", "bytes"]
        self.edge: float | None = None

    def proposal(self) -> float | None:
        """The next nominal score to try, or None when the picture is done."""
        while len(self._tries) < self._config.max_encodes:
            if self._has_lambda and self.edge is None and (cliff := self._search.cliff) is not None:
                self.edge, value = self._search.tried[cliff]
                self._search = Search(self._search.target, self.edge)
                self._search.add(self.edge, value)
            nominal = self._search.proposal()
            if nominal is not None:
                return nominal
            limit = self._broken_limit(self._tries[self._search.best])
            if limit is None:
                return None
            nominal = self._tries[self._search.best].nominal
            self._search, self.edge = Search(limit, nominal, self._has_lambda), None
            for attempt in self._tries:
                self._search.add(attempt.nominal, attempt.scores[limit.metric.name])
        return None

    def add(self, nominal: float, data: bytes, scores: dict[str, float]) -> None:
        """Tells what came out of a proposal."""
        if self._config.max_bytes is not None or self._target.metric.name in ("bytes", "bpp"):
            size = len(pack_progressive(data) if self._config.jpeg.progressive else data)
            pixels = self.picture.height * self.picture.width
            scores = scores | {"bytes": float(size), "bpp": 8 * size / pixels}
        self._tries.append(_Try(nominal, data, scores))
        self._search.add(nominal, scores[self._search.target.metric.name])

    def result(self) -> Encoded:
        """The encoding nearest to the target among those within the limits, if possible not beyond it."""
        within = [attempt for attempt in self._tries if self._is_within(attempt)]
        metric, value = self._target.metric, self._target.value
        best = min(within or self._tries, key=self._distance)
        reached = best.scores[metric.name]
        fault = None
        if not within:
            fault = self._broken_limits()
        elif len(within) == len(self._tries) and self._target.falls_short(reached):
            message = f"{metric.name} {reached:.4g} is the nearest to {value:g} that was reached"
            fault = PictureError(Reason.TARGET_UNREACHABLE, message)
        return Encoded(best.data, best.scores, len(self._tries), fault)

    def _distance(self, attempt: _Try) -> tuple[bool, float]:
        reached = attempt.scores[self._target.metric.name]
        return self._target.falls_short(reached), abs(reached - self._target.value)

    def _broken_limits(self) -> PictureError:
        """What to say when no try is within the limits; the source itself always has the least score."""
        least, most = self._config.min_score, self._config.max_bytes
        limits = [f"SSIMULACRA2 {least:g} or more"] if least is not None else []
        limits += [f"{most} bytes or fewer"] if most is not None else []
        reason = Reason.TARGET_UNREACHABLE if most is None else Reason.LIMITS_CONFLICT
        return PictureError(reason, f"none of {len(self._tries)} encodings has {' and '.join(limits)}")

    def _broken_limit(self, attempt: _Try) -> Target | None:
        """A limit that this try breaks, as a target; each limit is searched for once."""
        least, most = self._config.min_score, self._config.max_bytes
        for name in list(self._searches_left):
            if name == "ssimulacra2" and least is not None and attempt.scores[name] < least:
                self._searches_left.remove(name)
                return Target(METRICS[name], least + 0.25, 0.25)
            if name == "bytes" and most is not None and attempt.scores[name] > most:
                self._searches_left.remove(name)
                return Target(METRICS[name], 0.99 * most, 0.01 * most)
        return None

    def _is_within(self, attempt: _Try) -> bool:
        least, most = self._config.min_score, self._config.max_bytes
        return (least is None or attempt.scores["ssimulacra2"] >= least) and (
            most is None or attempt.scores["bytes"] <= most
        )
