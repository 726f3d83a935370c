"""The tensor stages: a batch of pictures becomes baseline JPEG files.

color -> DCT -> look (attention, statistics) -> tables -> quantize -> entropy code
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.config import Config
from imgcompress.formats.jpeg.encoder import CoefficientBatch, encode_baseline
from imgcompress.image.batch import BatchGeometry, batch_geometry, stack_coefficients, stack_pixels
from imgcompress.image.buffers import BufferPool
from imgcompress.image.dct import forward_dct, inverse_dct
from imgcompress.image.picture import Picture
from imgcompress.image.planes import planes_from_pixels
from imgcompress.image.sampling import SAMPLINGS, Sampling
from imgcompress.image.statistics import ac_variance, class_shares, classify, energy_entropy
from imgcompress.perception.attention import attention_map, qp_from_attention, weight_from_qp
from imgcompress.quantization.quantize import dead_zone_thresholds, quantize
from imgcompress.quantization.tables import ijg_tables, imgcompress_tables

QUALITY_OF_FULL_CHROMA = 90
"""From this quality on, ``subsampling: auto`` keeps all chroma samples of sources that are no JPEGs."""


@dataclass(frozen=True)
class Layout:
    """What the pictures of one batch have in common.

    Attributes:
        sampling: the layout of the frame that is written.
        padded_size: height and width in whole MCUs, pixels.
        on_source_grid: the coefficients come from the source JPEG itself, not from its pixels.
        table_of_component: the number of each component's table; three where a source JPEG has different
            ones for Cb and Cr.
    """

    sampling: Sampling
    padded_size: tuple[int, int]
    on_source_grid: bool
    table_of_component: tuple[int, ...]


def choose_layout(picture: Picture, subsampling: str, quality: int) -> Layout:
    """Decides how a picture is coded; pictures with equal layouts can share a batch.

    A source JPEG that keeps its sampling is recompressed on its own grid, from its stored coefficients.

    Args:
        picture: the source.
        subsampling: "444", "422", "420" or "auto".
        quality: 1 to 100.
    """
    source = picture.jpeg
    if picture.is_gray:
        name = "gray"
    elif subsampling != "auto":
        name = subsampling
    elif source is not None:
        name = source.subsampling if source.subsampling in SAMPLINGS else "444"
    else:
        name = "444" if quality >= QUALITY_OF_FULL_CHROMA else "420"
    sampling = SAMPLINGS[name]
    on_source_grid = source is not None and source.coefficients is not None and source.subsampling == name
    table_of_component: tuple[int, ...] = (0, 1, 1)[: sampling.components]
    if on_source_grid and source is not None and not torch.equal(source.tables[1:2], source.tables[2:3]):
        table_of_component = (0, 1, 2)
    padded_size = sampling.padded_size(picture.height, picture.width)
    return Layout(sampling, padded_size, on_source_grid, table_of_component)


class Encoder:
    """Runs the stages on one device. Not for use from several threads at once.

    Args:
        config: all settings.
        device: where the tensors live.
    """

    def __init__(self, config: Config, device: torch.device) -> None:
        self.buffers = BufferPool()
        self._config = config
        self._device = device

    @torch.inference_mode()
    def encode(self, pictures: Sequence[Picture], layout: Layout, headers: Sequence[bytes]) -> list[bytes]:
        """Encodes a batch.

        Args:
            pictures: 8-bit pictures of this layout.
            layout: from :func:`choose_layout`.
            headers: each picture's metadata segments.

        Returns:
            One baseline JPEG file a picture.
        """
        geometry = batch_geometry(pictures, layout.sampling)
        luma, coefficients = self._transform(pictures, geometry, layout)
        weights = self._look(luma, geometry)
        tables = self._choose_tables(pictures, coefficients[0], geometry, layout)
        planes = self._quantize(coefficients, tables, weights, geometry, layout)
        batch = CoefficientBatch(
            planes,
            tables.int(),
            layout.table_of_component,
            geometry.heights,
            geometry.widths,
            geometry.sampling,
        )
        return encode_baseline(batch, headers)

    def _transform(
        self, pictures: Sequence[Picture], geometry: BatchGeometry, layout: Layout
    ) -> tuple[Tensor, list[Tensor]]:
        """Luma samples, and the DCT coefficients of every component."""
        components = range(geometry.sampling.components)
        if layout.on_source_grid:
            coefficients = [stack_coefficients(pictures, geometry, c, self._device) for c in components]
            return inverse_dct(coefficients[0]).clamp(0, 255), coefficients
        pixels = stack_pixels(pictures, geometry, self._device, self.buffers)
        planes = planes_from_pixels(pixels, geometry.sampling)
        return planes[0], [forward_dct(plane) for plane in planes]

    def _look(self, luma: Tensor, geometry: BatchGeometry) -> Tensor:
        """The weight of every luma block, from the attention map's QP."""
        settings = self._config.attention
        real = geometry.real_blocks(0, self._device)
        if not settings.enabled:
            return torch.ones(real.shape, device=self._device)
        attention = attention_map(
            luma, real, scale_weights=settings.scale_weights, strength=settings.strength
        )
        return weight_from_qp(qp_from_attention(attention))

    def _choose_tables(
        self, pictures: Sequence[Picture], luma: Tensor, geometry: BatchGeometry, layout: Layout
    ) -> Tensor:
        """Steps ``[batch, tables, 8, 8]``."""
        quality = self._config.quality
        if self._config.quantization.tables == "ijg":
            tables = ijg_tables(quality, self._device).expand(len(pictures), -1, -1, -1)
        else:
            classes = classify(energy_entropy(luma), ac_variance(luma))
            shares = class_shares(classes, geometry.real_blocks(0, self._device))
            tables = imgcompress_tables(quality, shares)
        count = 1 + max(layout.table_of_component)
        tables = tables[:, [0, 1, 1][:count]]
        if not layout.on_source_grid:
            return tables
        # Never finer than the source: finer steps would only spend bits on its quantization noise.
        sources = torch.stack([picture.jpeg.tables[:count] for picture in pictures if picture.jpeg])
        return torch.maximum(tables, sources.to(self._device, torch.float32))

    def _quantize(
        self,
        coefficients: Sequence[Tensor],
        tables: Tensor,
        weights: Tensor,
        geometry: BatchGeometry,
        layout: Layout,
    ) -> tuple[Tensor, ...]:
        """Integers of every component; chroma blocks take the mean weight of the luma blocks they cover."""
        settings = self._config.quantization
        planes = []
        for component, (values, table) in enumerate(
            zip(coefficients, layout.table_of_component, strict=True)
        ):
            thresholds = None
            if settings.dead_zone == "adaptive":
                own = weights
                if component > 0:
                    own = torch.nn.functional.adaptive_avg_pool2d(weights, geometry.padded_grid(component))
                thresholds = dead_zone_thresholds(own, settings.dead_zone_threshold, settings.dead_zone_slope)
            planes.append(quantize(values, tables[:, table].float(), thresholds).to(torch.int16))
        return tuple(planes)
