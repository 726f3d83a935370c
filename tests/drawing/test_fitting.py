import os

import numpy as np
import pytest
import torch

from imgcompress.drawing.fitting import as_image, font, one_line, shown_size, within


def test_gray_and_rgb_are_rgb() -> None:
    gray = torch.arange(6, dtype=torch.uint8).reshape(1, 2, 3)
    assert (np.asarray(as_image(gray)) == gray[0].numpy()[..., None]).all()
    rgb = torch.arange(18, dtype=torch.uint8).reshape(3, 2, 3)
    assert (np.asarray(as_image(rgb)) == rgb.permute(1, 2, 0).numpy()).all()


def test_sizes() -> None:
    assert within((4000, 3000), 1000) == (1000, 750) and within((30, 20), 1000) == (30, 20)
    assert within((5000, 1), 100) == (100, 1)
    assert shown_size((1, 1), 100, 50) == (50, 50) and shown_size((20, 10), 100, 50) == (40, 20)
    assert shown_size((70, 10), 100, 50) == (70, 10) and shown_size((400, 10), 100, 50) == (100, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain.png",
        "x" * 100_000,
        "a\nb\t\x00",
        os.fsdecode(b"caf\xe9.png"),
        "\u202egnp.exe",
        "\U0001f4a5",
    ],
)
@pytest.mark.parametrize("width", [1, 40, 300])
def test_lines_fit(text: str, width: int) -> None:
    line = one_line(text, width)
    assert line.isprintable() and (line in ("", "…") or font().getlength(line) <= width)
    font().getmask(line)  # every letter can be drawn


def test_what_fits_is_left_as_it_is() -> None:
    assert one_line("a photo.png", 300) == "a photo.png"
    assert one_line("a\nb", 300) == "a\ufffdb"
    assert one_line("m" * 100, 100).endswith("m…")
