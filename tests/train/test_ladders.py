"""Every step of every ladder does more harm than the one before, by a measure that the ladders do not use."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from train.ladders import BLUR, CHROMA, NOISE, QUALITIES, RESIZE, Ladder, Pixels, jpeg_ladder


def encode(pixels: Pixels, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize(
    "ladder", [BLUR, CHROMA, NOISE, RESIZE, jpeg_ladder("jpeg", encode)], ids=lambda ladder: ladder.name
)
def test_squared_errors_grow_along_a_ladder(ladder: Ladder, photo: torch.Tensor) -> None:
    pixels = photo[:, 100:228, 200:393].permute(1, 2, 0).contiguous().numpy()
    errors = []
    for step in ladder.steps:
        with Image.open(io.BytesIO(ladder.damage(pixels, step, generator()))) as image:
            assert image.size == (193, 128)
            errors.append(np.mean((np.array(image, dtype=np.float64) - pixels) ** 2))
    assert errors[0] > 0
    assert all(lighter < heavier for lighter, heavier in pairwise(errors))


def test_noise_is_one_pattern_of_the_named_deviation() -> None:
    gray = np.full((64, 96, 3), 128, dtype=np.uint8)
    weak, strong = (
        np.array(Image.open(io.BytesIO(NOISE.damage(gray, step, generator()))), dtype=np.float64) - 128
        for step in (4.0, 16.0)
    )
    assert weak.std() == pytest.approx(4, rel=0.05)
    assert np.abs(strong / 4 - weak).max() <= 0.625  # both rounded


def test_chroma_keeps_luma(photo: torch.Tensor) -> None:
    pixels = photo.permute(1, 2, 0).contiguous().numpy()
    full, halved = (Image.open(io.BytesIO(CHROMA.damage(pixels, step, generator()))) for step in CHROMA.steps)
    assert [image.layer[0][1:3] for image in (full, halved)] == [(1, 1), (2, 2)]  # type: ignore[attr-defined]
    full.draft("L", full.size)
    halved.draft("L", halved.size)
    assert np.array_equal(np.array(full), np.array(halved))


def test_qualities_fall() -> None:
    assert QUALITIES[0] == 95
    assert QUALITIES[-1] == 25
