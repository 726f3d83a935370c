import numpy as np
import pytest
import torch
from psnr.samples import ENCODERS

from imgcompress.forensics.band_model import THRESHOLDS
from imgcompress.forensics.dead_zone import DEAD_ZONES, TableKind, table_kind, threshold_indices
from imgcompress.image.jpeg_file import parse_jpeg
from imgcompress.quantization.tables import ijg_tables


def test_the_kinds_of_tables() -> None:
    luma, chroma = ijg_tables(83).long()
    assert table_kind(torch.stack((luma, chroma, chroma))) is TableKind.STANDARD
    assert table_kind(luma[None]) is TableKind.STANDARD
    other = luma + torch.eye(8, dtype=torch.int64)
    assert table_kind(torch.stack((other, other, other))) is TableKind.EQUAL
    assert table_kind(torch.stack((other, chroma, chroma))) is TableKind.OTHER
    assert table_kind(other[None]) is TableKind.OTHER


def test_thresholds_grow_with_frequency_and_plain_rounding_has_one(device: torch.device) -> None:
    indices = threshold_indices(3, device)
    assert indices.shape == (len(DEAD_ZONES), 192)
    assert {THRESHOLDS[index] for index in indices[0].tolist()} == {0.5}
    for zone in indices.view(len(DEAD_ZONES), 3, 8, 8):
        assert (zone.diff(dim=2) >= 0).all()
        assert torch.equal(zone, zone.mT)


@pytest.mark.parametrize("quality", [20, 50, 80, 95, 98])
@pytest.mark.parametrize("subsampling", ["420", "444"])
def test_jpegli_and_mozjpeg_are_known_by_their_tables(quality: int, subsampling: str) -> None:
    pytest.importorskip("ajpegli")
    pytest.importorskip("pyvips")
    pixels = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    for name, kind in (("jpegli", TableKind.JPEGLI), ("mozjpeg", TableKind.EQUAL)):
        assert table_kind(parse_jpeg(ENCODERS[name](pixels, quality, subsampling)).tables) is kind
