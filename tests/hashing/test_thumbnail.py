import pytest
import torch

from imgcompress.hashing import thumbnail as thumbnail_module
from imgcompress.hashing.thumbnail import SIDE, tents, thumbnail, thumbnails
from imgcompress.image.picture import Decoded


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (64, 64), (65, 1), (257, 265), (1000, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_even_picture_stays_even(size: tuple[int, int], channels: int, device: torch.device) -> None:
    made = thumbnails(torch.full((2, channels, *size), 0.3, device=device))
    assert made.shape == (2, 3, SIDE, SIDE)
    torch.testing.assert_close(made, torch.full_like(made, 0.3))


@pytest.mark.parametrize("length", [80, 128, 1001])
def test_a_ramp_is_sampled_at_the_centers(length: int) -> None:
    ramp = (torch.arange(length) + 0.5) / length
    found = tents(length, torch.device("cpu")) @ ramp
    torch.testing.assert_close(found, (torch.arange(SIDE) + 0.5) / SIDE, atol=1e-4, rtol=0)


def test_the_tent_is_two_box_filters() -> None:
    length, box = 64 * 16, 8
    passes = torch.nn.functional.conv1d(
        torch.full((1, 1, box), 1 / box), torch.full((1, 1, box), 1 / box), padding=box - 1
    )[0, 0]
    row = tents(length, torch.device("cpu"))[10]
    center = 10 * 16 + 8  # between two pixels, so that the tent's samples are means of neighbors
    expected = (passes[:-1] + passes[1:]) / 2
    torch.testing.assert_close(row[center - box + 1 : center + box - 1], expected, atol=1e-6, rtol=0)


def test_strips_make_no_difference(photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = thumbnails(photo[None])
    monkeypatch.setattr(thumbnail_module, "BLOCK_PIXELS", 600 * 7)
    torch.testing.assert_close(thumbnails(photo[None]), whole)


def test_depths_agree(photo: torch.Tensor) -> None:
    deep = (photo.to(torch.int32) * 257).to(torch.uint16)
    torch.testing.assert_close(thumbnails(deep[None]), thumbnails(photo[None]))
    torch.testing.assert_close(thumbnails(photo[None] / 255), thumbnails(photo[None]))


def test_what_is_transparent_is_mid_gray(photo: torch.Tensor, device: torch.device) -> None:
    alpha = torch.full(photo.shape[1:], 255, dtype=torch.uint8)
    alpha[:200] = 0
    seen = thumbnail(Decoded(photo, alpha), device).cpu()
    assert torch.allclose(seen[:, :31], torch.tensor(0.5))
    torch.testing.assert_close(seen[:, 33:], thumbnail(Decoded(photo), device).cpu()[:, 33:])
