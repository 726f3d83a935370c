import numpy as np
import pytest
import torch

from imgcompress.forensics.earlier_steps import EarlierCompression
from imgcompress.forensics.histogram_plot import draw_histograms
from imgcompress.forensics.histograms import BANDS, MOST, VALUES

MARK = (220, 90, 20)


def combed(step: int, apart: int, bands: tuple[int, ...]) -> torch.Tensor:
    """Values on multiples of ``apart`` alone, in these bands."""
    histograms = torch.zeros(BANDS, VALUES, dtype=torch.int64)
    for band in bands:
        for multiple in range(-5, 6):
            histograms[band, MOST + multiple * apart // step] = 500 - 80 * abs(multiple)
    return histograms


def known(bands: dict[int, int]) -> EarlierCompression:
    steps = torch.zeros(64, dtype=torch.int64)
    for band, step in bands.items():
        steps[band] = step
    return EarlierCompression((0, 0), 60, steps.view(8, 8), 0.99)


def test_marks_stand_below_the_bars() -> None:
    table = torch.full((8, 8), 2)
    picture = draw_histograms(combed(2, 12, (1, 8, 9, 2)), table, known({1: 12, 8: 12, 9: 12, 2: 12}))
    shown = np.array(picture)[:200]
    marked = (shown == MARK).all(2).any(0)
    barred = (shown == (70, 110, 170)).all(2).any(0)
    # Every column with a bar has a mark next to it, and there is one on each side of zero at least.
    for column in np.flatnonzero(barred):
        assert marked[max(column - 10, 0) : column + 11].any()
    assert marked[:430].any() and marked[450:].any()


def test_bands_whose_step_shows_come_first_and_without_any_there_are_no_marks() -> None:
    histograms, table = combed(3, 6, tuple(range(1, 40))), torch.full((8, 8), 3)
    assert not (np.array(draw_histograms(histograms, table, None)) == MARK).all(2).any()
    some = np.array(draw_histograms(histograms, table, known({16: 7})))
    rows = np.flatnonzero((some == MARK).all(2).any(1))
    assert len(rows) and rows[-1] - rows[0] < 20


@pytest.mark.parametrize("step", [1, 16, 255, 65535])
def test_empty_and_extreme_histograms_are_drawn(step: int) -> None:
    histograms = torch.zeros(BANDS, VALUES, dtype=torch.int64)
    table = torch.full((8, 8), step)
    size = draw_histograms(histograms, table, None).size
    assert size == draw_histograms(histograms + 1, table, known({1: 128})).size == (880, 824)
