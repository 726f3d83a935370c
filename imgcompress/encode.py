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
    """

    sampling: Sampling
    padded_size: tuple[int, int]
    on_source_grid: bool


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
    return Layout(sampling, sampling.padded_size(picture.height, picture.width), on_source_grid)


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
        tables, table_of_component = self._choose_tables(pictures, coefficients[0], geometry, layout)
        planes = self._quantize(coefficients, tables, table_of_component, weights, geometry)
        batch = CoefficientBatch(
            planes, tables.int(), table_of_component, geometry.heights, geometry.widths, geometry.sampling
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
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Steps ``[batch, tables, 8, 8]`` and which table each component uses."""
        quality = self._config.quality
        if self._config.quantization.tables == "ijg":
            tables = ijg_tables(quality, self._device).expand(len(pictures), -1, -1, -1)
        else:
            classes = classify(energy_entropy(luma), ac_variance(luma))
            shares = class_shares(classes, geometry.real_blocks(0, self._device))
            tables = imgcompress_tables(quality, shares)
        if geometry.sampling.components == 1:
            tables = tables[:, :1]
        if not layout.on_source_grid:
            return tables, (0, 1, 1)[: geometry.sampling.components]
        # Never finer than the source: finer steps would only spend bits on its quantization noise.
        sources = torch.stack([picture.jpeg.tables for picture in pictures if picture.jpeg]).float()
        if geometry.sampling.components == 3 and torch.equal(sources[:, 1], sources[:, 2]):
            sources = sources[:, :2]
        else:
            tables = tables[:, [0, 1, 1][: geometry.sampling.components]]
        tables = torch.maximum(tables, sources.to(self._device))
        return tables, (0, 1, tables.shape[1] - 1)[: geometry.sampling.components]

    def _quantize(
        self,
        coefficients: Sequence[Tensor],
        tables: Tensor,
        table_of_component: Sequence[int],
        weights: Tensor,
        geometry: BatchGeometry,
    ) -> tuple[Tensor, ...]:
        """Integers of every component; chroma blocks take the mean weight of the luma blocks they cover."""
        settings = self._config.quantization
        planes = []
        for component, (values, table) in enumerate(zip(coefficients, table_of_component, strict=True)):
            thresholds = None
            if settings.dead_zone == "adaptive":
                own = weights
                if component > 0:
                    own = torch.nn.functional.adaptive_avg_pool2d(weights, geometry.padded_grid(component))
                thresholds = dead_zone_thresholds(own, settings.dead_zone_threshold, settings.dead_zone_slope)
            planes.append(quantize(values, tables[:, table].float(), thresholds).to(torch.int16))
        return tuple(planes)
