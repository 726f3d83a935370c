import pytest
import torch

from imgcompress.image import strips
from imgcompress.image.dct import forward_dct
from imgcompress.image.planes import decoded_pixels
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.image.strips import by_rows, overlapping, pixels_by_rows


@pytest.mark.parametrize("rows", [8, 16, 24, 400])
def test_blocks_do_not_depend_on_strips(rows: int, photo: torch.Tensor) -> None:
    planes = photo[:2, :72].float()

    def transformed(plane: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return forward_dct(plane), plane + other

    blocks, total = by_rows(transformed, planes, planes, rows=rows)
    assert torch.equal(blocks, forward_dct(planes))
    assert torch.equal(total, 2 * planes)


@pytest.mark.parametrize("name", ["444", "422", "440", "420", "gray"])
def test_pixels_do_not_depend_on_strips(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = SAMPLINGS[name]
    generator = torch.Generator().manual_seed(0)
    blocks = [
        60 * torch.randn(2, 10 * vertical, 3 * horizontal, 8, 8, generator=generator)
        for horizontal, vertical in map(sampling.factors, range(sampling.components))
    ]
    whole = decoded_pixels(blocks, sampling)
    heights = []

    def decode(strip: list[torch.Tensor]) -> torch.Tensor:
        heights.append(len(strip[-1][0]))
        return decoded_pixels(strip, sampling)

    # Three rows of MCUs a strip: the last one has a single row.
    monkeypatch.setattr(strips, "BLOCK_PIXELS", 3 * 2 * 64 * blocks[0].shape[2] * sampling.factors(0)[1])
    assert torch.equal(pixels_by_rows(decode, blocks, sampling), whole)
    assert heights == [4, 5, 5, 2]


def test_strips_overlap_within_the_picture() -> None:
    cut = list(overlapping(10, 4, 2))
    assert cut == [
        (slice(0, 6), slice(0, 4), slice(0, 4)),
        (slice(2, 10), slice(4, 8), slice(2, 6)),
        (slice(6, 10), slice(8, 10), slice(2, 4)),
    ]
