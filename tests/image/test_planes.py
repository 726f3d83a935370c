import io

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.image.dct import inverse_dct
from imgcompress.image.jpeg_file import parse_jpeg, read_coefficients
from imgcompress.image.planes import pixels_from_planes, planes_from_pixels
from imgcompress.image.sampling import SAMPLINGS

NAMES = ["444", "422", "440", "420", "gray"]


def pixels(photo: torch.Tensor, name: str, height: int = 48, width: int = 64) -> torch.Tensor:
    both = torch.stack([photo[:, :height, :width], photo[:, 100 : 100 + height, 200 : 200 + width]]).float()
    return both[:, :1] if name == "gray" else both


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_batches(name: str, photo: torch.Tensor, device: torch.device) -> None:
    sampling = SAMPLINGS[name]
    source = pixels(photo, name).to(device)
    planes = planes_from_pixels(source, sampling)
    assert [tuple(plane.shape[1:]) for plane in planes] == [
        sampling.component_size(component, 48, 64) for component in range(sampling.components)
    ]
    alone = planes_from_pixels(source[1:], sampling)
    assert all(torch.equal(plane[1:], one) for plane, one in zip(planes, alone, strict=True))


@pytest.mark.parametrize(("name", "most"), [("444", 0.02), ("gray", 0.0)])
def test_nothing_is_lost_without_subsampling(name: str, most: float, photo: torch.Tensor) -> None:
    source = pixels(photo, name)
    again = pixels_from_planes(planes_from_pixels(source, SAMPLINGS[name]), SAMPLINGS[name])
    assert (again - source).abs().max() <= most


@pytest.mark.parametrize("name", ["422", "440", "420"])
def test_subsampling_loses_chroma_only(name: str, photo: torch.Tensor) -> None:
    source, sampling = pixels(photo, name), SAMPLINGS[name]
    planes = planes_from_pixels(source, sampling)
    again = pixels_from_planes(planes, sampling)
    luma = planes_from_pixels(again, sampling)[0]
    assert (luma - planes[0]).abs().max() <= 0.02
    assert 0.1 < (again - source).abs().mean() < 3
    flat = torch.tensor([200.0, 30.0, 90.0])[None, :, None, None].expand(1, 3, 16, 16)
    assert (pixels_from_planes(planes_from_pixels(flat, sampling), sampling) - flat).abs().max() <= 0.02


@pytest.mark.parametrize(("name", "option"), [("444", 0), ("422", 1), ("420", 2), ("gray", None)])
def test_pixels_are_those_that_libjpeg_shows(name: str, option: int | None, photo: torch.Tensor) -> None:
    source = pixels(photo, name)[0].byte()
    image = source[0] if name == "gray" else source.permute(1, 2, 0)
    buffer = io.BytesIO()
    options = {} if option is None else {"subsampling": option}
    Image.fromarray(image.contiguous().numpy()).save(buffer, "JPEG", quality=90, **options)
    header = parse_jpeg(buffer.getvalue())
    stored = read_coefficients(buffer.getvalue(), header)
    assert stored is not None
    planes = tuple(
        inverse_dct((blocks * table).float()[None]).clamp(0, 255)
        for blocks, table in zip(stored, header.tables, strict=True)
    )
    ours = pixels_from_planes(planes, SAMPLINGS[name])[0].clamp(0, 255).round()
    theirs = torch.from_numpy(np.array(Image.open(buffer)))
    theirs = theirs[None] if name == "gray" else theirs.permute(2, 0, 1)
    difference = (ours - theirs).abs()
    # libjpeg rounds its planes to whole levels and works in integers.
    assert difference.max() <= 4 and difference.mean() <= 0.5
