import pytest
import torch

from imgcompress.image.picture import Picture
from imgcompress.layout import choose_layout, choose_sampling


def deep(values: torch.Tensor) -> torch.Tensor:
    """The same in 16 bits."""
    return (values.int() * 257).to(torch.uint16)


@pytest.mark.parametrize(("saturation", "name"), [(0.0, "420"), (1.0, "444")])
@pytest.mark.parametrize("size", [(33, 41), (1500, 700)])
def test_fine_chroma_counts_at_any_depth_where_it_is_seen(
    saturation: float, name: str, size: tuple[int, int], device: torch.device
) -> None:
    stripes = (torch.arange(size[1]) % 2).expand(size).float()
    colors = torch.stack((255 * stripes, 128 * torch.ones(size), 255 * (1 - stripes)))
    gray = colors.mean(0, keepdim=True)
    pixels = (gray + saturation * (colors - gray)).to(torch.uint8)
    alpha = torch.full(size, 255, dtype=torch.uint8)
    alpha[: size[0] // 2] = 0  # of the larger picture some strips have nothing that is seen
    for picture in (
        Picture(pixels, "png"),
        Picture(pixels, "png", alpha=alpha),
        Picture(deep(pixels), "png", 16),
        Picture(deep(pixels), "png", 16, deep(alpha)),
    ):
        assert choose_sampling(picture, "auto", 88.0, device) == name
    assert choose_layout(Picture(pixels, "png"), "auto", 88.0, device).sampling.name == name
    for hidden in (
        Picture(pixels, "png", alpha=torch.zeros_like(alpha)),
        Picture(deep(pixels), "png", 16, deep(torch.zeros_like(alpha))),
    ):
        assert choose_sampling(hidden, "auto", 88.0, device) == "420"


def test_sampling_that_is_asked_for_or_follows(photo: torch.Tensor) -> None:
    picture = Picture(photo[:, :20, :30].contiguous(), "png")
    assert choose_sampling(picture, "422", 95.0) == "422"
    assert choose_sampling(Picture(picture.pixels[:1], "png"), "444", 95.0) == "gray"
    assert choose_sampling(picture, "auto", 75.0) == "420"
    assert choose_sampling(picture, "auto", 99.0) == "444"
