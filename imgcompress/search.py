"""Encodes a batch as JPEG so that every picture hits its target; pictures leave the batch as they do."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from imgcompress.config import Config
from imgcompress.encode import Encoder, Quantized
from imgcompress.formats.jpeg.lossless import pack_progressive
from imgcompress.image.picture import Picture
from imgcompress.layout import Layout
from imgcompress.measure import Measure
from imgcompress.quantization.scale import step_of_score
from imgcompress.track import Encoded, Goal, Track, refuse_what_needs_a_search
from imgcompress.verify import decode_again


class TargetEncoder:
    """Finds the step at which a picture hits its target. Not for use from several threads at once.

    Args:
        config: all settings.
        device: where the tensors live.
        distance: the VGG distance, loaded; None to load it where it is needed.

    Raises:
        UsageError: the target is none, it or a limit would need a search where there is none, or a model's
            file is missing or not the one expected.
    """

    def __init__(
        self,
        config: Config,
        device: torch.device,
        distance: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.encoder = Encoder(config, device)
        self._config = config
        self.goal = Goal.of(config)
        self._fixed = config.quantization.tables == "ijg" or config.max_encodes == 1
        if self._fixed:
            is_ijg = config.quantization.tables == "ijg"
            cause = "quantization.tables is ijg" if is_ijg else "max_encodes is 1"
            refuse_what_needs_a_search(config, self.goal.target, cause, any_target=is_ijg)
        self._measure = Measure(self.goal.metrics, config, device, distance)

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
            steps = [step_of_score(self.goal.nominal_score)] * len(pictures)
            files = self.encoder.write(prepared, self.encoder.quantize(prepared, steps), headers)
            return [Encoded(data, self.goal.nominal_score, {}, 1, None) for data in files]
        has_lambda = self._config.loop.rounds > 0
        tracks = [
            Track(self.goal, picture.height * picture.width, self._size, first_is_off=has_lambda)
            for picture in pictures
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
            files = self.encoder.write(prepared, quantized, [headers[index] for index in active])
            scores = self._measure.scores(
                [pictures[index].decoded for index in active], [decode_again(data) for data in files]
            )
            for index, at, data, measured in zip(active, nominal, files, scores, strict=True):
                tracks[index].add(at, data, measured)
        return [track.result() for track in tracks]

    def _size(self, data: bytes) -> int:
        return len(pack_progressive(data) if self._config.jpeg.progressive else data)
