import io

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.forensics.read_structure import read_structure
from imgcompress.forensics.table_quality import TablesQuality, table_quality
from imgcompress.quantization.tables import ijg_tables


def saved(mode: str = "RGB", **options: object) -> TablesQuality:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).convert(mode).save(buffer, "JPEG", **options)
    tables = read_structure(buffer.getvalue()).tables
    assert tables is not None
    return table_quality(tables)


@pytest.mark.parametrize("quality", range(1, 101))
def test_every_quality_of_libjpeg_is_found_exactly(quality: int) -> None:
    found = saved(quality=quality)
    assert found.chroma is not None
    assert found.exact
    assert (found.luma.quality, found.chroma.quality) == (quality, quality)


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_gray_files_have_luma_alone(quality: int) -> None:
    found = saved("L", quality=quality)
    assert (found.exact, found.luma.quality, found.chroma) == (True, quality, None)


@pytest.mark.parametrize("quality", [1, 10, 20])
def test_tables_of_16_bits_are_found(quality: int) -> None:
    tables = ijg_tables(quality, largest=32767.0).to(torch.int64)
    assert tables.max() > 255
    found = table_quality(tables)
    assert (found.exact, found.luma.quality) == (True, quality)


def test_luma_and_chroma_are_told_apart() -> None:
    fine, coarse = ijg_tables(90).to(torch.int64), ijg_tables(40).to(torch.int64)
    found = table_quality(torch.stack((fine[0], coarse[1], coarse[1])))
    assert found.chroma is not None
    assert (found.luma.quality, found.chroma.quality) == (90, 40)
    assert found.luma.exact
    assert found.chroma.exact
    assert not found.exact


def test_a_luma_table_for_chroma_is_named() -> None:
    luma = ijg_tables(70).to(torch.int64)[0]
    found = table_quality(luma.expand(3, 8, 8))
    assert found.chroma is not None
    assert (found.chroma.base, found.chroma.quality, found.exact) == ("luma", 70, False)


def test_other_tables_get_the_nearest_quality_and_its_distance() -> None:
    table = ijg_tables(50).to(torch.int64)[:1].clone()
    table[0, 7, 7] += 50
    found = table_quality(table).luma
    assert found.quality == 50
    assert found.distance == pytest.approx(abs(np.log(149 / 99)) / 8, rel=1e-4)
    flat = table_quality(torch.full((1, 8, 8), 16)).luma
    assert not flat.exact
    assert flat.distance > found.distance
