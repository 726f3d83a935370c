"""The tensor stages: a batch of pictures becomes baseline JPEG files.

color -> DCT -> look (attention, statistics) -> tables -> quantize -> loop -> entropy code
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from imgcompress.config import Config
from imgcompress.formats.jpeg.encoder import CoefficientBatch, encode_baseline
from imgcompress.image.batch import BatchGeometry, batch_geometry, stack_coefficients, stack_pixels
from imgcompress.image.buffers import BufferPool
from imgcompress.image.dct import forward_dct, inverse_dct
from imgcompress.image.picture import Picture
from imgcompress.image.planes import decoded_pixels, planes_from_pixels
from imgcompress.image.sampling import BLOCK
from imgcompress.image.statistics import ac_variance, class_shares, classify, energy_entropy
from imgcompress.image.strips import block_rows, by_rows, pixels_by_rows
from imgcompress.layout import Layout
from imgcompress.perception.attention import attention_map, qp_from_attention, weight_from_qp
from imgcompress.perception.distance import PerceptualDistance, load_distance
from imgcompress.perception.objective import MixedObjective
from imgcompress.quantization.deringing import overshoot_clipped
from imgcompress.quantization.loop import LambdaScales, LoopState, decide, refine, start
from imgcompress.quantization.quantize import dead_zone_thresholds, quantize
from imgcompress.quantization.tables import (
    SHAPE,
    TableShape,
    ijg_tables,
    imgcompress_tables,
    whole_steps,
)
from imgcompress.shapes import Float, Int


@dataclass(frozen=True)
class Prepared:
    """A batch on the device, ready to be quantized with any steps.

    Attributes:
        layout: what the pictures have in common.
        geometry: their true sizes.
        coefficients: orthonormal DCT coefficients of each component.
        luma: samples, where clipped ones may be coded beyond white and black; None on a source's own grid.
        weights: W_0 of the blocks of each component, from the attention map.
        shares: of smooth, texture and edge blocks.
        finest: the source JPEGs' steps, below which none goes; None where there are none.
        objective: what the loop descends; None without a loop.
        tiled: whether the batch is so large that the loop looks at it in tiles.
    """

    layout: Layout
    geometry: BatchGeometry
    coefficients: tuple[Tensor, ...]
    luma: Float[Tensor, "batch height width"] | None
    weights: tuple[Tensor, ...]
    shares: Float[Tensor, "batch 3"]
    finest: Float[Tensor, "batch tables 8 8"] | None
    objective: MixedObjective | None
    tiled: bool

    def select(self, rows: Int[Tensor, "kept"]) -> "Prepared":
        """The same for some pictures of the batch."""
        return replace(
            self,
            geometry=self.geometry.select(rows.tolist()),
            coefficients=tuple(plane[rows] for plane in self.coefficients),
            luma=None if self.luma is None else self.luma[rows],
            weights=tuple(plane[rows] for plane in self.weights),
            shares=self.shares[rows],
            finest=None if self.finest is None else self.finest[rows],
            objective=None if self.objective is None else self.objective.select(rows),
        )


@dataclass(frozen=True)
class Quantized:
    """Integers with the steps that they count, and what the loop has learned on the way."""

    tables: Float[Tensor, "batch tables 8 8"]
    state: LoopState

    def select(self, rows: Int[Tensor, "kept"]) -> "Quantized":
        """The same for some pictures of the batch."""
        return Quantized(self.tables[rows], self.state.select(rows))


_Transformed = tuple[Tensor | None, Tensor, tuple[Tensor, ...]]
"""The originals as the objective gets them, luma samples, and the coefficients of each component."""


class Encoder:
    """Runs the stages on one device. Not for use from several threads at once.

    Args:
        config: all settings.
        device: where the tensors live.
        shape: of our tables.

    Raises:
        UsageError: the VGG trunk is part of the objective, and its file is missing or not the one expected.
    """

    def __init__(self, config: Config, device: torch.device, shape: TableShape = SHAPE) -> None:
        self.buffers = BufferPool()
        self._config = config
        self._device = device
        self._shape = torch.tensor(shape.numbers, device=device)
        # Annex K's tables stand for what libjpeg does, which has neither.
        as_libjpeg = config.quantization.tables == "ijg"
        self._rounds = 0 if as_libjpeg else config.loop.rounds
        self._deringing = config.quantization.deringing and not as_libjpeg
        self._vgg: PerceptualDistance | None = None
        if config.objective.vgg > 0 and self._rounds > 0:
            self._vgg = load_distance(config.perception, device)

    @torch.no_grad()
    def prepare(self, pictures: Sequence[Picture], layout: Layout) -> Prepared:
        """Everything that does not depend on the steps.

        Args:
            pictures: 8-bit pictures of this layout.
            layout: from :func:`imgcompress.layout.choose_layout`.

        Returns:
            The batch; it is valid until the next one is prepared.
        """
        geometry = batch_geometry(pictures, layout.sampling)
        height, width = geometry.padded_size
        tiled = len(pictures) * height * width > 1e6 * self._config.limits.tile_megapixels
        if layout.on_source_grid:
            originals, luma, coefficients = self._from_source_grid(pictures, geometry)
        else:
            originals, luma, coefficients = self._from_pixels(pictures, geometry, tiled)
        rows = block_rows(len(pictures), coefficients[0].shape[2])
        (classes,) = by_rows(_classes, coefficients[0], rows=rows)
        objective = None
        if originals is not None:
            settings = self._config.objective
            objective = MixedObjective(originals, settings, self._vgg, tiled=tiled)
        overshoot = self._deringing and not layout.on_source_grid
        return Prepared(
            layout,
            geometry,
            coefficients,
            luma if overshoot else None,
            self._look(luma, geometry),
            class_shares(classes, geometry.real_blocks(0, self._device)),
            self._finest_steps(pictures, layout),
            objective,
            tiled,
        )

    @torch.no_grad()
    def quantize(
        self,
        prepared: Prepared,
        reference_steps: Sequence[float],
        earlier: Quantized | None = None,
        rounds: int | None = None,
        table_steps: Sequence[float] | None = None,
    ) -> Quantized:
        """Quantizes a batch.

        Args:
            prepared: the batch.
            reference_steps: how coarse each picture becomes; no matter for ``quantization.tables: ijg``.
            earlier: the same pictures with other steps, with whose weights and targets the loop goes on.
            rounds: of the loop; None for what the settings say.
            table_steps: of the tables, where lambda alone is to follow ``reference_steps``; None for those.
        """
        tables, lambda_scales = self._tables(prepared, reference_steps, table_steps or reference_steps)
        steps = [tables[:, number] for number in prepared.layout.table_of_component]
        coefficients = prepared.coefficients
        rows = block_rows(len(tables), coefficients[0].shape[2])
        if prepared.luma is not None:
            moved = by_rows(partial(_overshot, steps[0]), prepared.luma, rows=BLOCK * rows)
            coefficients = (*moved, *coefficients[1:])
        first = [
            by_rows(partial(self._first, table), plane, weight, rows=rows)[0]
            for plane, table, weight in zip(coefficients, steps, prepared.weights, strict=True)
        ]
        state = start(first, prepared.weights)
        if prepared.objective is None:
            return Quantized(tables, state)
        if earlier is not None:
            state = replace(earlier.state, quantized=tuple(first))
        settings, geometry = self._config.loop, prepared.geometry
        # The dead zone gives the trellis its first code lengths; the loop's first look is at what it decides.
        state = decide(coefficients, steps, state, geometry, settings=settings, lambda_scales=lambda_scales)
        state = refine(
            coefficients,
            steps,
            state,
            geometry,
            objective=prepared.objective.terms,
            settings=settings,
            rounds=self._rounds if rounds is None else rounds,
            lambda_scales=lambda_scales,
            tiled=prepared.tiled,
        )
        return Quantized(tables, state)

    @torch.no_grad()
    def write(self, prepared: Prepared, quantized: Quantized, headers: Sequence[bytes]) -> list[bytes]:
        """Codes a batch.

        Args:
            prepared: the batch.
            quantized: its integers.
            headers: each picture's metadata segments.

        Returns:
            One baseline JPEG file a picture.
        """
        geometry = prepared.geometry
        batch = CoefficientBatch(
            quantized.state.quantized,
            quantized.tables.int(),
            prepared.layout.table_of_component,
            geometry.heights,
            geometry.widths,
            geometry.sampling,
        )
        return encode_baseline(batch, headers)

    def _from_source_grid(self, pictures: Sequence[Picture], geometry: BatchGeometry) -> _Transformed:
        """From the stored coefficients; the originals are what they decode to."""
        sampling = geometry.sampling
        coefficients = tuple(
            stack_coefficients(pictures, geometry, component, self._device)
            for component in range(sampling.components)
        )
        originals = None
        if self._rounds > 0:
            originals = pixels_by_rows(partial(decoded_pixels, sampling=sampling), coefficients, sampling)
        rows = block_rows(len(pictures), coefficients[0].shape[2])
        (luma,) = by_rows(lambda blocks: (inverse_dct(blocks),), coefficients[0], rows=rows)
        return originals, luma, coefficients

    def _from_pixels(self, pictures: Sequence[Picture], geometry: BatchGeometry, tiled: bool) -> _Transformed:
        """From the pixels, of which tiles are cut as bytes."""
        sampling = geometry.sampling
        dtype = torch.uint8 if tiled else torch.float32
        pixels = stack_pixels(pictures, geometry, self._device, self.buffers, dtype)
        blocks = block_rows(len(pictures), geometry.padded_grid(0)[1])
        rows = sampling.mcu_height * max(1, BLOCK * blocks // sampling.mcu_height)

        def transformed(strip: Tensor) -> tuple[Tensor, ...]:
            planes = planes_from_pixels(strip.transpose(1, 2).float(), sampling)
            return (planes[0], *(forward_dct(plane) for plane in planes))

        luma, *coefficients = by_rows(transformed, pixels.transpose(1, 2), rows=rows)
        originals = None
        if self._rounds > 0:
            originals = pixels if tiled else pixels / 255
        return originals, luma, tuple(coefficients)

    def _first(self, table: Tensor, plane: Tensor, weight: Tensor) -> tuple[Tensor]:
        """The first integers of some rows of blocks."""
        dead_zone = self._config.quantization
        thresholds = None
        if dead_zone.dead_zone == "adaptive":
            thresholds = dead_zone_thresholds(
                weight, dead_zone.dead_zone_threshold, dead_zone.dead_zone_slope
            )
        return (quantize(plane, table, thresholds).to(torch.int16),)

    def _look(self, luma: Tensor, geometry: BatchGeometry) -> tuple[Tensor, ...]:
        """The weights of every component's blocks; chroma's are the means of the luma blocks they cover."""
        settings = self._config.attention
        real = geometry.real_blocks(0, self._device)
        weights = torch.ones(real.shape, device=self._device)
        if settings.enabled:
            attention = attention_map(
                luma.clamp(0, 255), real, scale_weights=settings.scale_weights, strength=settings.strength
            )
            weights = weight_from_qp(qp_from_attention(attention))
        grids = [geometry.padded_grid(component) for component in range(geometry.sampling.components)]
        return (weights, *(adaptive_avg_pool2d(weights, grid) for grid in grids[1:]))

    def _finest_steps(self, pictures: Sequence[Picture], layout: Layout) -> Tensor | None:
        """Finer steps than a source JPEG's would only spend bits on its quantization noise."""
        if not layout.on_source_grid:
            return None
        count = 1 + max(layout.table_of_component)
        sources = torch.stack([picture.jpeg.tables[:count] for picture in pictures if picture.jpeg])
        return sources.to(self._device, torch.float32)

    def _tables(
        self, prepared: Prepared, reference_steps: Sequence[float], table_steps: Sequence[float]
    ) -> tuple[Float[Tensor, "batch tables 8 8"], LambdaScales]:
        """Whole steps, and what lambda is multiplied by so that it stands for the steps meant."""
        meant = self._meant(prepared, reference_steps)
        tables = whole_steps(self._meant(prepared, table_steps))
        if prepared.finest is not None:
            tables = torch.maximum(tables, prepared.finest)
        # Whole steps, and a source's own, are not those meant; what a bit is worth makes up for it.
        scales = 2 * torch.log(meant / tables).flatten(2).mean(2)
        luma, chroma = scales[:, 0], scales[:, 1:].mean(1).nan_to_num()  # gray has no chroma
        return tables, (luma.exp(), chroma.exp())

    def _meant(self, prepared: Prepared, steps: Sequence[float]) -> Float[Tensor, "batch tables 8 8"]:
        """Tables as they would be if steps could be any number."""
        if self._config.quantization.tables == "ijg":
            tables = ijg_tables(self._config.quality, self._device).expand(len(prepared.shares), -1, -1, -1)
        else:
            tables = imgcompress_tables(
                torch.tensor(steps, dtype=torch.float32, device=self._device),
                prepared.shares,
                chroma_area=prepared.layout.sampling.chroma_area,
                shape=self._shape,
            )
        return tables[:, [0, 1, 1][: 1 + max(prepared.layout.table_of_component)]]


def _classes(coefficients: Tensor) -> tuple[Tensor]:
    return (classify(energy_entropy(coefficients), ac_variance(coefficients)),)


def _overshot(steps: Tensor, luma: Tensor) -> tuple[Tensor]:
    """Coefficients of some rows of luma, where clipped samples may lie beyond white and black."""
    return (forward_dct(overshoot_clipped(luma, steps)),)
