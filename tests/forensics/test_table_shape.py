import pytest
import torch

from imgcompress.forensics.table_shape import scaled_share
from imgcompress.quantization.tables import ijg_tables


def luma(quality: int) -> torch.Tensor:
    return ijg_tables(quality)[0].flatten().to(torch.int64)


@pytest.mark.parametrize("quality", [5, 20, 35, 65, 80, 95, 100])
def test_libjpegs_tables_are_one_shape_scaled(quality: int) -> None:
    assert float(scaled_share(luma(quality), luma(50)[None])) == 1


def test_other_shapes_are_told_apart() -> None:
    flat = torch.full((64,), 16)
    shares = scaled_share(luma(60), torch.stack((luma(50), flat, luma(50).flip(0))))
    assert shares[0] == 1
    assert float(shares[1:].max()) < 0.5


def test_the_share_counts_steps() -> None:
    changed = luma(50)
    changed[:16] += 30
    assert float(scaled_share(changed, luma(50)[None])) == 48 / 64
