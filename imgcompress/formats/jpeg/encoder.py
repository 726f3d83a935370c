"""Baseline JPEG files from quantized coefficients, a batch of pictures at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcompress.formats.jpeg import markers
from imgcompress.formats.jpeg.huffman import canonical_tables, code_lengths, pack_symbols
from imgcompress.image.sampling import Sampling
from imgcompress.quantization.symbols import fill_dummy_blocks, symbol_stream
from imgcompress.shapes import Int

LARGEST_DC_CATEGORY = 11
"""DC differences within +-2047 (T.81, table F.1)."""

LARGEST_AC_CATEGORY = 10
"""AC coefficients within +-1023 (T.81, table F.2)."""


@dataclass(frozen=True)
class CoefficientBatch:
    """Quantized pictures of one padded size, on one device.

    Attributes:
        planes: for each component the blocks [batch, down, across, 8, 8], natural order, whole MCUs; DC
            differences within +-2047, AC within +-1023.
        tables: 1 to 3 quantization tables a picture, natural order, steps 1 to 65535.
        table_of_component: the number of the table that each component uses.
        heights: true height of each picture in pixels.
        widths: true width of each picture in pixels.
        sampling: the frame's sampling.
    """

    planes: tuple[Int[Tensor, "batch _ _ 8 8"], ...]
    tables: Int[Tensor, "batch tables 8 8"]
    table_of_component: tuple[int, ...]
    heights: tuple[int, ...]
    widths: tuple[int, ...]
    sampling: Sampling


def encode_baseline(batch: CoefficientBatch, headers: Sequence[bytes]) -> list[bytes]:
    """Write each picture as a sequential Huffman-coded JPEG with its own optimal code tables.

    Args:
        batch: the pictures.
        headers: what stands between SOI and the tables of each picture (`jfif`, `metadata_segments`).

    Returns:
        Whole files, one for each picture.

    Raises:
        PictureError: UNSUPPORTED, a side is over 65500 pixels.
        ValueError: a coefficient or a quantization step is out of range, or the parts of the batch do not
            fit together.

    Source: T.81, B.2 (order of the segments), F.1.
    """
    sampling = batch.sampling
    if len(headers) != len(batch.heights):
        raise ValueError(f"{len(headers)} headers for {len(batch.heights)} pictures")
    if len(batch.table_of_component) != sampling.components:
        raise ValueError(
            f"{len(batch.table_of_component)} table numbers for {sampling.components} components"
        )
    if max(batch.table_of_component) >= batch.tables.shape[1]:
        raise ValueError("a component's quantization table is missing")
    steps = batch.tables.flatten(2).tolist()
    before_codes = [
        markers.SOI
        + header
        + markers.quantization_tables(picture_steps)
        + markers.frame_header(
            height,
            width,
            sampling,
            batch.table_of_component,
            extended=markers.needs_extended_frame(picture_steps),
        )
        for header, picture_steps, height, width in zip(
            headers, steps, batch.heights, batch.widths, strict=True
        )
    ]

    planes = [
        fill_dummy_blocks(plane, component, sampling, batch.heights, batch.widths)
        for component, plane in enumerate(batch.planes)
    ]
    stream = symbol_stream(planes, sampling, batch.heights, batch.widths)
    codes = canonical_tables(code_lengths(stream.counts))
    on_cpu = torch.cat([stream.counts, codes.bits, codes.values], dim=-1).cpu()
    counts, bits, values = torch.split(on_cpu, [256, 16, 256], dim=-1)
    _check_categories(counts)
    code_tables = [
        markers.huffman_tables(list(zip(picture_bits, picture_values, strict=True)))
        for picture_bits, picture_values in zip(bits.tolist(), values.tolist(), strict=True)
    ]
    scan = markers.scan_header(sampling.components)
    return [
        before + tables + scan + data + markers.EOI
        for before, tables, data in zip(before_codes, code_tables, pack_symbols(stream, codes), strict=True)
    ]


def _check_categories(counts: Int[Tensor, "batch tables 256"]) -> None:
    """Refuse symbols that baseline does not have; the counts are on the CPU, so this waits for no device."""
    category = torch.arange(256) & 15
    for number, (name, largest) in enumerate(
        (("DC difference", LARGEST_DC_CATEGORY), ("AC coefficient", LARGEST_AC_CATEGORY))
    ):
        wrong = (counts[:, number::2] * (category > largest)).sum((1, 2)).nonzero().flatten().tolist()
        if wrong:
            raise ValueError(
                f"a {name} of picture {wrong[0]} of the batch is beyond +-{2**largest - 1}, baseline's limit"
            )
