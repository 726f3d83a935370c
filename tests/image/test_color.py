from pathlib import Path

import imagecodecs
import jpeglib
import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.image.color import (
    downsample_chroma,
    hold_edges,
    pad_to,
    rgb_to_gray,
    rgb_to_ycbcr,
    upsample_chroma,
    ycbcr_to_rgb,
)
from imgcompress.image.dct import inverse_dct
from imgcompress.image.sampling import SAMPLINGS


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 255


def test_ycbcr_is_pillows(photo: torch.Tensor, device: torch.device):
    expected = np.asarray(Image.fromarray(photo.permute(1, 2, 0).numpy()).convert("YCbCr"))
    ours = rgb_to_ycbcr(photo[None].float().to(device))[0].permute(1, 2, 0).cpu()
    # Pillow's tables round to integers.
    assert (ours - torch.from_numpy(expected.copy())).abs().max() < 1.01
    assert torch.equal(ours[..., 0], rgb_to_gray(photo[None].float().to(device))[0].cpu())


@pytest.mark.parametrize(
    ("rgb", "ycbcr"),
    [
        ((255, 255, 255), (255, 128, 128)),
        ((0, 0, 0), (0, 128, 128)),
        ((255, 0, 0), (76.245, 84.97232, 255.5)),
        ((0, 0, 255), (29.07, 255.5, 107.26545)),
    ],
)
def test_primaries_as_jfif_has_them(rgb: tuple[float, ...], ycbcr: tuple[float, ...]):
    ours = rgb_to_ycbcr(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1))
    torch.testing.assert_close(ours.flatten(), torch.tensor(ycbcr, dtype=torch.float32), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (257, 265)])
def test_color_goes_there_and_back(size: tuple[int, int], device: torch.device):
    rgb = noise(2, 3, *size).to(device)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(rgb)), rgb, rtol=0, atol=1e-4)


def test_box_average():
    plane = torch.tensor([[[1.0, 3.0, 10.0, 20.0], [5.0, 7.0, 30.0, 40.0]]])
    assert downsample_chroma(plane, 2, 2).tolist() == [[[4.0, 25.0]]]
    assert downsample_chroma(plane, 2, 1).tolist() == [[[2.0, 15.0], [6.0, 35.0]]]
    assert downsample_chroma(plane, 1, 2).tolist() == [[[3.0, 5.0, 20.0, 30.0]]]
    assert torch.equal(downsample_chroma(plane, 1, 1), plane)


def test_triangle_weights_and_edges():
    row = torch.tensor([[[0.0, 4.0, 8.0]]])
    assert upsample_chroma(row, 2, 1).tolist() == [[[0.0, 1.0, 3.0, 5.0, 7.0, 8.0]]]
    assert upsample_chroma(row.mT, 1, 2).flatten().tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]
    assert upsample_chroma(row, 2, 2).tolist() == [[[0.0, 1.0, 3.0, 5.0, 7.0, 8.0]] * 2]


def test_plain_replication():
    plane = torch.tensor([[[1.0, 2.0]]])
    assert upsample_chroma(plane, 2, 2, smooth=False).tolist() == [[[1.0, 1.0, 2.0, 2.0]] * 2]


@pytest.mark.parametrize("factors", [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("smooth", [True, False])
def test_upsampling_keeps_the_mean_and_has_gradients(factors: tuple[int, int], smooth: bool):
    plane = noise(2, 7, 9).requires_grad_()
    result = upsample_chroma(plane, *factors, smooth=smooth)
    assert result.shape == (2, 7 * factors[1], 9 * factors[0])
    torch.testing.assert_close(result.mean((1, 2)), plane.mean((1, 2)))
    result.sum().backward()
    torch.testing.assert_close(plane.grad, torch.full_like(plane, float(factors[0] * factors[1])))


@pytest.mark.parametrize("size", [(64, 96), (58, 66), (33, 18), (7, 9), (16, 6)])
@pytest.mark.parametrize("name", ["444", "422", "440", "420"])
def test_decoding_agrees_with_libjpeg(size: tuple[int, int], name: str, photo: torch.Tensor, tmp_path: Path):
    sampling = SAMPLINGS[name]
    path = tmp_path / "picture.jpg"
    pixels = photo[:, 100 : 100 + size[0], 200 : 200 + size[1]].permute(1, 2, 0).numpy()
    path.write_bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=80, subsampling=name))
    expected = torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1).float()
    assert expected.shape[1:] == size
    stored = jpeglib.read_dct(str(path))
    planes = []
    for index, component in enumerate((stored.Y, stored.Cb, stored.Cr)):
        steps = torch.from_numpy(stored.get_component_qt(index).astype(np.float32))
        plane = inverse_dct(torch.from_numpy(component.astype(np.float32))[None] * steps)
        true_size = torch.tensor([sampling.component_size(index, *size)])
        plane = hold_edges(plane.round().clamp(0, 255), true_size)
        planes.append(plane if index == 0 else upsample_chroma(plane, sampling.horizontal, sampling.vertical))
    ours = ycbcr_to_rgb(torch.stack([plane[:, : size[0], : size[1]] for plane in planes], dim=1))[0]
    error = (ours.clamp(0, 255) - expected).abs()
    # libjpeg's integer IDCT is sometimes one level off, which 1.772 (Cb to blue) makes nearly two.
    assert error.max() < 4
    assert (error > 2).float().mean() < 5e-3
    assert error.mean() < 0.42
    assert max(error[:, -1].mean(), error[:, :, -1].mean()) < 0.6


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(("size", "wanted"), [((1, 1), (16, 16)), ((7, 9), (8, 64)), ((16, 8), (16, 8))])
def test_padding_repeats_the_edge(size: tuple[int, int], wanted: tuple[int, int], dtype: torch.dtype):
    picture = noise(3, *size).to(dtype)
    padded = pad_to(picture, *wanted)
    assert padded.dtype == dtype
    expected = np.pad(
        picture.numpy(), ((0, 0), (0, wanted[0] - size[0]), (0, wanted[1] - size[1])), mode="edge"
    )
    assert np.array_equal(padded.numpy(), expected)


def test_edges_are_held_per_picture(device: torch.device):
    planes = noise(3, 16, 24)
    sizes = [(16, 24), (1, 1), (9, 17)]
    held = hold_edges(planes.to(device), torch.tensor(sizes, device=device)).cpu()
    for plane, result, (rows, columns) in zip(planes, held, sizes, strict=True):
        assert torch.equal(result, pad_to(plane[:rows, :columns], 16, 24))
