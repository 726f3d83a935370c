import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from imgcompress.forensics.steps import EVIDENCE, find_steps, step_features
from imgcompress.image.color import rgb_to_gray
from imgcompress.quantization.tables import ijg_tables


def _as_jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def _luma(rgb: np.ndarray) -> torch.Tensor:
    return rgb_to_gray(torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float())


def _coarseness(quality: int) -> float:
    table = ijg_tables(quality)[0].tolist()
    steps = [table[v][u] for v in range(6) for u in range(6) if 0 < u + v <= 5]
    return sum(map(math.log, steps)) / len(steps)


@pytest.fixture(scope="module")
def coffee() -> np.ndarray:
    return data.coffee()[:256, :384]


@pytest.mark.parametrize("quality", [15, 40, 67, 85, 93])
def test_libjpegs_steps_are_found_from_pixels(coffee: np.ndarray, quality: int, device: torch.device) -> None:
    steps = find_steps(_luma(_as_jpeg(coffee, quality)).to(device))
    assert steps.offset.tolist() == [[0, 0]]
    assert steps.coarseness.item() == pytest.approx(_coarseness(quality), abs=0.1)
    assert steps.sharpness.item() > 0.4
    assert steps.evidence.item() > EVIDENCE


@pytest.mark.parametrize("shift", [(0, 0), (3, 6), (7, 1)])
def test_the_first_compression_shows_under_a_second_one(coffee: np.ndarray, shift: tuple[int, int]) -> None:
    down, right = shift
    again = _as_jpeg(_as_jpeg(coffee, 50)[down:, right:], 95)
    steps = find_steps(_luma(again))
    assert steps.offset.tolist() == [[-down % 8, -right % 8]]
    assert steps.coarseness.item() == pytest.approx(_coarseness(50), abs=0.15)


def test_nothing_is_found_where_nothing_was_compressed(coffee: np.ndarray) -> None:
    steps = find_steps(_luma(coffee))
    assert (steps.coarseness.item(), steps.sharpness.item()) == (0, 0)
    assert steps.evidence.item() < EVIDENCE
    assert steps.clarity.item() < 0.05


def test_clarity_does_not_grow_with_the_picture(coffee: np.ndarray) -> None:
    part = coffee[:, :192]
    once = find_steps(_luma(_as_jpeg(part, 60)))
    twice = find_steps(_luma(_as_jpeg(np.tile(part, (1, 2, 1)), 60)))
    assert twice.evidence.item() > 1.3 * once.evidence.item()
    assert twice.clarity.item() == pytest.approx(once.clarity.item(), rel=0.03)


def test_a_batch_is_its_pictures(coffee: np.ndarray, device: torch.device) -> None:
    batch = torch.cat([_luma(_as_jpeg(coffee, quality)) for quality in (30, 80)] + [_luma(coffee)]).to(device)
    alone = torch.cat([step_features(picture[None]) for picture in batch])
    torch.testing.assert_close(step_features(batch), alone)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (8, 8), (17, 16)])
def test_small_and_even_pictures(size: tuple[int, int], device: torch.device) -> None:
    assert step_features(torch.full((2, *size), 80.0, device=device)).tolist() == [[0, 0, 0]] * 2
    noise = 255 * torch.rand(1, *size, generator=torch.Generator().manual_seed(1)).to(device)
    assert step_features(noise).isfinite().all()
