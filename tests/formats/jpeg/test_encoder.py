import io
from dataclasses import replace
from pathlib import Path

import jpeglib
import mozjpeg_lossless_optimization
import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.formats.jpeg.encoder import CoefficientBatch, encode_baseline
from imgcompress.formats.jpeg.markers import jfif
from imgcompress.image.sampling import SAMPLINGS, Sampling
from imgcompress.quantization.symbols import ZIGZAG

HEADER = jfif(None)
SIZES = ((1, 1), (7, 9), (16, 16), (257, 265), (33, 16))
KINDS = ("zero", "sparse", "dense", "extreme", "last")


def coefficients(shape: tuple[int, ...], kind: str, seed: int = 0) -> torch.Tensor:
    """Random blocks; DC stays in -1024..1023, so its differences are within +-2047."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-1023, 1024, shape, generator=generator, dtype=torch.int32)
    if kind == "zero":
        return torch.zeros_like(values)
    if kind == "sparse":  # runs over 16, 32 and 48
        values.masked_fill_(torch.rand(shape, generator=generator) > 0.03, 0)
    if kind == "dense":
        values >>= torch.randint(0, 11, shape, generator=generator, dtype=torch.int32)
    if kind == "extreme":
        values = torch.where(values > 0, 1023, -1023).to(torch.int32)
        across = torch.arange(shape[2]) % 2
        values[..., 0, 0] = torch.where(across == 0, -1024, 1023).to(torch.int32)
    if kind == "last":  # no EOB
        values.flatten(3)[..., list(ZIGZAG[1:63])] *= torch.rand((*shape[:3], 62), generator=generator) < 0.02
        values[..., 7, 7] = 1
    return values


def random_batch(sampling: Sampling, sizes: tuple[tuple[int, int], ...], kind: str) -> CoefficientBatch:
    heights, widths = zip(*sizes, strict=True)
    padded = sampling.padded_size(max(heights), max(widths))
    down, across = padded[0] // sampling.mcu_height, padded[1] // sampling.mcu_width
    planes = []
    for component in range(sampling.components):
        horizontal, vertical = sampling.factors(component)
        shape = (len(sizes), down * vertical, across * horizontal, 8, 8)
        planes.append(coefficients(shape, kind, seed=component))
    steps = torch.arange(1, 65, dtype=torch.int32).view(8, 8)
    tables = torch.stack([steps, steps.flip(0) + 3][: min(2, sampling.components)])
    return CoefficientBatch(
        planes=tuple(planes),
        tables=tables.repeat(len(sizes), 1, 1, 1),
        table_of_component=(0, 1, 1)[: sampling.components],
        heights=heights,
        widths=widths,
        sampling=sampling,
    )


def on(device: torch.device, batch: CoefficientBatch) -> CoefficientBatch:
    return replace(
        batch, planes=tuple(plane.to(device) for plane in batch.planes), tables=batch.tables.to(device)
    )


def picture_of(batch: CoefficientBatch, index: int) -> CoefficientBatch:
    """One picture, its grids cut to its own MCUs."""
    sampling, height, width = batch.sampling, batch.heights[index], batch.widths[index]
    down, across = -(-height // sampling.mcu_height), -(-width // sampling.mcu_width)
    planes = []
    for component, plane in enumerate(batch.planes):
        horizontal, vertical = sampling.factors(component)
        planes.append(plane[index : index + 1, : down * vertical, : across * horizontal])
    return replace(
        batch,
        planes=tuple(planes),
        tables=batch.tables[index : index + 1],
        heights=(height,),
        widths=(width,),
    )


def encode(batch: CoefficientBatch) -> list[bytes]:
    return encode_baseline(batch, [HEADER] * len(batch.heights))


def read_back(path: Path, data: bytes) -> tuple[jpeglib.DCTJPEG, list[torch.Tensor]]:
    path.write_bytes(data)
    read = jpeglib.read_dct(str(path))
    planes = [plane for plane in (read.Y, read.Cb, read.Cr) if plane is not None]
    return read, [torch.from_numpy(plane.astype(np.int32)) for plane in planes]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def batch_from(path: Path, sampling: Sampling) -> CoefficientBatch:
    """A JPEG file's coefficients as libjpeg reads them, padded to whole MCUs with junk."""
    read, planes = read_back(path, path.read_bytes())
    down, across = -(-read.height // sampling.mcu_height), -(-read.width // sampling.mcu_width)
    padded = []
    for component, plane in enumerate(planes):
        horizontal, vertical = sampling.factors(component)
        full = torch.full((1, down * vertical, across * horizontal, 8, 8), 99, dtype=torch.int32)
        full[0, : plane.shape[0], : plane.shape[1]] = plane
        padded.append(full)
    return CoefficientBatch(
        planes=tuple(padded),
        tables=torch.from_numpy(read.qt.astype(np.int32))[None],
        table_of_component=tuple(int(number) for number in read.quant_tbl_no),
        heights=(int(read.height),),
        widths=(int(read.width),),
        sampling=sampling,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SAMPLINGS)
def test_libjpeg_reads_back_what_was_meant(
    name: str, kind: str, tmp_path: Path, device: torch.device
) -> None:
    sampling = SAMPLINGS[name]
    batch = random_batch(sampling, SIZES, kind)
    files = encode(on(device, batch))
    assert len(files) == len(SIZES)
    for index, (height, width) in enumerate(SIZES):
        picture = Image.open(io.BytesIO(files[index]))
        picture.load()
        assert picture.size == (width, height)
        assert picture.mode == ("L" if name == "gray" else "RGB")
        read, planes = read_back(tmp_path / f"{index}.jpg", files[index])
        assert len(planes) == sampling.components
        for component, plane in enumerate(planes):
            down, across = sampling.block_grid(component, height, width)
            assert torch.equal(plane, batch.planes[component][index, :down, :across])
            table = read.qt[read.quant_tbl_no[component]].astype(np.int32)
            meant = batch.tables[index, batch.table_of_component[component]]
            assert torch.equal(torch.from_numpy(table), meant)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_batched_equals_unbatched_and_twice_the_same(name: str, device: torch.device) -> None:
    batch = on(device, random_batch(SAMPLINGS[name], SIZES, "dense"))
    files = encode(batch)
    assert files == encode(batch)
    assert files == [encode(picture_of(batch, index))[0] for index in range(len(SIZES))]
    assert any(b"\xff\x00" in file for file in files)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64])
def test_any_integers_give_the_same_bytes(dtype: torch.dtype) -> None:
    batch = random_batch(SAMPLINGS["420"], SIZES[:2], "extreme")
    other = replace(batch, planes=tuple(plane.to(dtype) for plane in batch.planes))
    assert encode(other) == encode(batch)


def test_input_is_left_alone() -> None:
    batch = random_batch(SAMPLINGS["420"], SIZES[:2], "dense")
    before = [plane.clone() for plane in batch.planes]
    encode(batch)
    assert all(torch.equal(plane, kept) for plane, kept in zip(batch.planes, before, strict=True))


def test_empty_batch() -> None:
    batch = random_batch(SAMPLINGS["420"], SIZES[:1], "zero")
    nothing = replace(
        batch,
        planes=tuple(plane[:0] for plane in batch.planes),
        tables=batch.tables[:0],
        heights=(),
        widths=(),
    )
    assert encode(nothing) == []


@pytest.mark.parametrize("size", [(400, 600), (257, 265), (33, 16)])
@pytest.mark.parametrize(("name", "pillow_name"), [("420", "4:2:0"), ("422", "4:2:2"), ("444", "4:4:4")])
def test_no_larger_than_libjpegs_optimized_file(
    name: str, pillow_name: str, size: tuple[int, int], photo: torch.Tensor, tmp_path: Path
) -> None:
    picture = Image.fromarray(photo[:, : size[0], : size[1]].permute(1, 2, 0).contiguous().numpy())
    path = tmp_path / "pillow.jpg"
    picture.save(path, quality=75, subsampling=pillow_name, optimize=True)
    (ours,) = encode(batch_from(path, SAMPLINGS[name]))
    theirs = path.read_bytes()
    assert len(ours) <= len(theirs) * 1.001
    assert np.array_equal(pixels(ours), pixels(theirs))


@pytest.mark.parametrize("name", SAMPLINGS)
def test_lossless_optimization_keeps_the_pixels(name: str) -> None:
    for file in encode(random_batch(SAMPLINGS[name], SIZES, "sparse")):
        optimized = mozjpeg_lossless_optimization.optimize(file)
        assert "progressive" in Image.open(io.BytesIO(optimized)).info
        assert np.array_equal(pixels(optimized), pixels(file))


def test_wide_steps_and_three_tables(tmp_path: Path) -> None:
    batch = random_batch(SAMPLINGS["444"], SIZES[:2], "sparse")
    tables = torch.arange(200, 200 + 2 * 3 * 64, dtype=torch.int32).view(2, 3, 8, 8)
    tables[1, 2, 7, 7] = 65535
    files = encode(replace(batch, tables=tables, table_of_component=(0, 1, 2)))
    for index, file in enumerate(files):
        assert (b"\xff\xc1\x00\x11" in file) and (b"\xff\xc0\x00\x11" not in file)
        pixels(file)
        read, planes = read_back(tmp_path / f"{index}.jpg", file)
        assert read.quant_tbl_no.tolist() == [0, 1, 2]
        assert np.array_equal(read.qt.astype(np.int64), tables[index].numpy())
        down, across = planes[2].shape[:2]
        assert torch.equal(planes[2], batch.planes[2][index, :down, :across])


@pytest.mark.parametrize("value", [1024, -1024, 40000, -(2**31)])
def test_ac_out_of_range_names_the_picture(value: int, device: torch.device) -> None:
    batch = random_batch(SAMPLINGS["420"], SIZES[1:3], "sparse")
    batch.planes[1][1, 0, 0, 3, 3] = value
    with pytest.raises(ValueError, match="AC coefficient of picture 1"):
        encode(on(device, batch))


@pytest.mark.parametrize("value", [1024, -(2**31)])
def test_dc_out_of_range_names_the_picture(value: int) -> None:
    batch = random_batch(SAMPLINGS["444"], ((8, 16),), "zero")
    batch.planes[2][0, 0, 0, 0, 0] = -1024
    encode(batch)
    batch.planes[2][0, 0, 1, 0, 0] = value
    with pytest.raises(ValueError, match="DC difference of picture 0"):
        encode(batch)


def test_a_side_too_long() -> None:
    batch = random_batch(SAMPLINGS["gray"], ((1, 65500),), "zero")
    assert pixels(encode(batch)[0]).shape == (1, 65500)
    with pytest.raises(PictureError) as caught:
        encode(replace(batch, widths=(65501,)))
    assert caught.value.reason is Reason.UNSUPPORTED


def test_parts_that_do_not_fit() -> None:
    batch = random_batch(SAMPLINGS["420"], SIZES[:2], "zero")
    with pytest.raises(ValueError, match="1 headers for 2 pictures"):
        encode_baseline(batch, [HEADER])
    with pytest.raises(ValueError, match="table is missing"):
        encode(replace(batch, table_of_component=(0, 1, 2)))
    with pytest.raises(ValueError, match="1 table numbers for 3 components"):
        encode(replace(batch, table_of_component=(0,)))
