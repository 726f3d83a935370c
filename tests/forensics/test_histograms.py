import numpy as np
import torch

from imgcompress.forensics.histograms import MOST, band_histograms


def test_counts_are_numpys_own(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(1)
    blocks = torch.randint(-40, 41, (5, 7, 8, 8), generator=generator, dtype=torch.int16)
    found = band_histograms(blocks.to(device)).cpu()
    for row, column in ((0, 0), (0, 3), (7, 2)):
        counts, _ = np.histogram(blocks[..., row, column].numpy(), bins=np.arange(-MOST, MOST + 2))
        assert found[8 * row + column].tolist() == counts.tolist()
    assert found.sum().item() == blocks.numel()


def test_no_blocks_count_nothing_and_values_beyond_the_range_are_held() -> None:
    assert band_histograms(torch.zeros(0, 3, 8, 8, dtype=torch.int16)).sum().item() == 0
    held = band_histograms(torch.full((1, 1, 8, 8), -1024, dtype=torch.int16))
    assert held[:, 0].tolist() == [1] * 64
