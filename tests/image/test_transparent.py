import pytest
import torch

from imgcompress.image.transparent import fill_transparent


def disc(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = ((y - height / 2) ** 2 + (x - width / 2) ** 2).sqrt()
    return ((min(height, width) / 3 - distance) * 40 + 128).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (64, 65), (257, 130)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_what_shows_stays_and_the_rest_is_between_what_shows(size, dtype, device):
    most = 1.0 if dtype is torch.float32 else torch.iinfo(dtype).max
    generator = torch.Generator().manual_seed(1)
    pixels = (torch.rand((2, 3, *size), generator=generator) * 0.5 + 0.25).mul(most).to(dtype).to(device)
    alpha = disc(*size).expand(2, -1, -1).to(device)
    hidden = (alpha == 0)[:, None].expand(-1, 3, -1, -1)
    dirty = torch.where(hidden, torch.zeros((), dtype=dtype, device=device), pixels)
    filled = fill_transparent(dirty, alpha)
    assert filled.dtype == dtype
    assert torch.equal(filled[~hidden], pixels[~hidden])
    if hidden.any():
        shown, found = pixels[~hidden].float(), filled[hidden].float()
        assert shown.min() - 1e-4 <= found.min() and found.max() <= shown.max() + 1e-4


def test_the_fill_does_not_depend_on_the_hidden_colors(photo, device):
    pixels, alpha = photo[None, :, :90, :120].to(device), disc(90, 120)[None].to(device)
    other = torch.where(alpha[:, None] == 0, 255 - pixels, pixels)
    assert not torch.equal(other, pixels)
    assert torch.equal(fill_transparent(other, alpha), fill_transparent(pixels, alpha))


def test_a_batch_is_filled_as_its_pictures_alone(photo):
    pixels = torch.stack([photo[:, :50, :70], photo[:, 50:100, :70]])
    alpha = torch.stack([disc(50, 70), disc(50, 70).flip(0)])
    alpha[1, :20] = 0
    together = fill_transparent(pixels, alpha)
    for row in range(2):
        assert torch.equal(
            together[row : row + 1], fill_transparent(pixels[row : row + 1], alpha[row : row + 1])
        )


def test_where_nothing_shows_all_is_black(photo):
    assert not fill_transparent(photo[None], torch.zeros((1, *photo.shape[1:]), dtype=torch.uint8)).any()


def test_the_fill_is_flat_beside_one_color():
    pixels = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    alpha = disc(40, 40)[None]
    pixels = torch.where(alpha[:, None] == 0, pixels, torch.tensor(90, dtype=torch.uint8))
    assert (fill_transparent(pixels, alpha) == 90).all()
