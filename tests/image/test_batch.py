import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.image.batch import BatchGeometry, batch_geometry, stack_coefficients, stack_pixels
from imgcompress.image.buffers import BufferPool
from imgcompress.image.dct import inverse_dct
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture
from imgcompress.image.sampling import SAMPLINGS

SIZES = [(17, 33), (32, 48), (25, 40)]


def pictures(photo: torch.Tensor) -> list[Picture]:
    return [Picture(photo[:, :height, :width].clone(), "png") for height, width in SIZES]


def jpeg(photo: torch.Tensor, height: int, width: int, quality: int = 80) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(photo[:, :height, :width].permute(1, 2, 0).contiguous().numpy())
    image.save(buffer, "JPEG", quality=quality, subsampling=2)
    return buffer.getvalue()


def test_pixels_and_their_repeated_edges(photo: torch.Tensor, device: torch.device) -> None:
    group = pictures(photo)
    geometry = batch_geometry(group, SAMPLINGS["420"])
    assert geometry.padded_size == (32, 48)
    batch = stack_pixels(group, geometry, device, BufferPool()).cpu().numpy()
    for page, picture in zip(batch, group, strict=True):
        space = ((0, 0), (0, 32 - picture.height), (0, 48 - picture.width))
        assert np.array_equal(page, np.pad(picture.pixels.numpy(), space, mode="edge"))


def test_the_buffers_are_used_again_without_mixing_batches(photo: torch.Tensor) -> None:
    group, pool, cpu = pictures(photo), BufferPool(), torch.device("cpu")
    geometry = batch_geometry(group, SAMPLINGS["420"])
    first = stack_pixels(group, geometry, cpu, pool).clone()
    backwards = group[::-1]
    second = stack_pixels(backwards, batch_geometry(backwards, SAMPLINGS["420"]), cpu, pool)
    assert torch.equal(second, first.flip(0))
    assert (pool.allocations, pool.reuses) == (2, 2)


@pytest.mark.parametrize("name", ["420", "422", "444", "gray"])
def test_real_blocks_are_those_of_each_picture(name: str) -> None:
    sampling = SAMPLINGS[name]
    heights = (33, 39, 48) if name == "420" else (33, 39, 40)
    widths = (48, 47, 33) if name == "420" else (48, 47, 41)
    geometry = BatchGeometry(heights, widths, sampling)
    for component in range(sampling.components):
        real = geometry.real_blocks(component, torch.device("cpu"))
        assert tuple(real.shape[1:]) == geometry.padded_grid(component)
        for page, (down, across) in zip(real, geometry.grids(component), strict=True):
            assert page.sum() == down * across
            assert page[:down, :across].all()


def test_one_batch_has_one_padded_size() -> None:
    with pytest.raises(AssertionError, match="one padded size"):
        _ = BatchGeometry((8, 17), (8, 8), SAMPLINGS["420"]).padded_size


def test_stored_coefficients_give_the_decoders_luma(photo: torch.Tensor, device: torch.device) -> None:
    files = [jpeg(photo, *size, quality) for size, quality in zip(SIZES, (60, 80, 95), strict=True)]
    group = [read_picture(file) for file in files]
    geometry = batch_geometry(group, SAMPLINGS["420"])
    luma = inverse_dct(stack_coefficients(group, geometry, 0, device)).cpu()
    assert luma.shape == (3, 32, 48)
    for page, file in zip(luma, files, strict=True):
        image = Image.open(io.BytesIO(file))
        image.draft("YCbCr", None)
        theirs = np.array(image)[..., 0]
        ours = page[: theirs.shape[0], : theirs.shape[1]].clamp(0, 255).numpy()
        assert np.abs(ours - theirs).max() <= 1.5
    chroma = stack_coefficients(group, geometry, 1, device)
    assert chroma.shape == (3, 2, 3, 8, 8)


def test_padding_repeats_the_last_stored_block(photo: torch.Tensor) -> None:
    picture = read_picture(jpeg(photo[:, 100:, 150:], 20, 36))
    geometry = batch_geometry([picture], SAMPLINGS["420"])
    blocks = stack_coefficients([picture], geometry, 0, torch.device("cpu"))[0]
    assert geometry.grids(0) == [(3, 5)] and blocks.shape == (4, 6, 8, 8)
    assert torch.equal(blocks[3], blocks[2]) and torch.equal(blocks[:, 5], blocks[:, 4])
    assert not torch.equal(blocks[3], blocks[0]) and not torch.equal(blocks[:, 5], blocks[:, 0])


def test_the_sources_are_left_alone(photo: torch.Tensor) -> None:
    picture = pictures(photo)[0]
    kept = replace(picture, pixels=picture.pixels.clone())
    stack_pixels([picture], batch_geometry([picture], SAMPLINGS["420"]), torch.device("cpu"), BufferPool())
    assert torch.equal(picture.pixels, kept.pixels)
