import io
from collections.abc import Sequence

import jpeglib
import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.config import AttentionConfig, Config, JpegConfig, LoopConfig, QuantizationConfig
from imgcompress.encode import Encoder
from imgcompress.formats.jpeg.markers import jfif
from imgcompress.image.dct import forward_dct
from imgcompress.image.jpeg_file import parse_jpeg, read_coefficients
from imgcompress.image.picture import Picture
from imgcompress.image.planes import planes_from_pixels
from imgcompress.image.read import read_picture
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.layout import Layout, choose_layout
from imgcompress.perception.attention import attention_map, qp_from_attention, weight_from_qp
from imgcompress.quantization.quantize import dead_zone_thresholds, quantize
from imgcompress.quantization.scale import score_of_quality, step_of_score
from imgcompress.quantization.tables import ijg_tables

CPU = torch.device("cpu")
PILLOW_NAMES = {"444": "4:4:4", "422": "4:2:2", "420": "4:2:0"}
SIZES = [(1, 1), (7, 9), (16, 16), (257, 265)]


def instant(**settings: object) -> Config:
    """The plain stages: no loop."""
    return Config(max_encodes=1, loop=LoopConfig(rounds=0), **settings)


def plain(quality: int = 75, subsampling: str = "420") -> Config:
    """What libjpeg does."""
    return instant(
        quality=quality,
        subsampling=subsampling,
        jpeg=JpegConfig(progressive=False),
        mark=False,
        quantization=QuantizationConfig(tables="ijg", dead_zone="none"),
    )


def crop(photo: torch.Tensor, height: int, width: int, top: int = 0, left: int = 0) -> Picture:
    return Picture(photo[:, top : top + height, left : left + width].clone(), "png")


def gray(picture: Picture) -> Picture:
    return Picture(picture.pixels[1:2].clone(), "png")


def encode(config: Config, *pictures: Picture, device: torch.device = CPU) -> list[bytes]:
    score = score_of_quality(config.quality)
    layouts = {choose_layout(picture, config.subsampling, score) for picture in pictures}
    assert len(layouts) == 1
    return write(Encoder(config, device), pictures, layouts.pop(), score)


def write(encoder: Encoder, pictures: Sequence[Picture], layout: Layout, score: float) -> list[bytes]:
    prepared = encoder.prepare(pictures, layout)
    quantized = encoder.quantize(prepared, [step_of_score(score)] * len(pictures))
    return encoder.write(prepared, quantized, [jfif(None)] * len(pictures))


def image(picture: Picture) -> Image.Image:
    pixels = picture.pixels.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[..., 0] if picture.is_gray else pixels)


def save(picture: Picture, **options: object) -> bytes:
    buffer = io.BytesIO()
    image(picture).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)), dtype=np.float64)


def psnr(data: bytes, picture: Picture) -> float:
    error = ((decode(data) - np.array(image(picture))) ** 2).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


@pytest.mark.parametrize("quality", [30, 75, 85])
@pytest.mark.parametrize("name", ["444", "422", "420", "gray"])
def test_plain_settings_do_what_libjpeg_does(
    name: str, quality: int, photo: torch.Tensor, device: torch.device
) -> None:
    source = crop(photo, 240, 320, 80, 120)
    options: dict[str, object] = {"subsampling": PILLOW_NAMES.get(name)}
    if name == "gray":
        source, options = gray(source), {}
    (ours,) = encode(plain(quality, "auto" if name == "gray" else name), source, device=device)
    theirs = save(source, quality=quality, optimize=True, **options)
    # At finer steps ours are smaller: libjpeg codes the noise of planes that it rounds before the DCT.
    assert len(ours) == pytest.approx(len(theirs), rel=0.01)
    assert psnr(ours, source) == pytest.approx(psnr(theirs, source), abs=0.05)
    assert Image.open(io.BytesIO(ours)).quantization == Image.open(io.BytesIO(theirs)).quantization


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["444", "422", "420", "gray"])
@pytest.mark.parametrize("tables", ["ijg", "imgcompress"])
def test_every_sampling_and_size(tables: str, name: str, size: tuple[int, int], photo: torch.Tensor) -> None:
    source = crop(photo, *size, 100, 150)
    source = gray(source) if name == "gray" else source
    config = instant(
        quality=90,
        subsampling="auto" if name == "gray" else name,
        quantization=QuantizationConfig(tables=tables),
    )
    (data,) = encode(config, source)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.size == (size[1], size[0])
        assert opened.mode == ("L" if name == "gray" else "RGB")
    assert parse_jpeg(data).subsampling == name
    assert psnr(data, source) > 30


@pytest.mark.parametrize(
    "config",
    [plain(), instant(subsampling="420"), instant(quality=20, subsampling="420"), Config(subsampling="420")],
)
def test_a_batch_equals_its_pictures_one_by_one(
    config: Config, photo: torch.Tensor, device: torch.device
) -> None:
    # Different true sizes that pad to 64x80.
    sizes = [(64, 80), (49, 65), (55, 71), (60, 80), (64, 66), (50, 79)]
    sources = [crop(photo, *size, 40 * i, 50 * i) for i, size in enumerate(sizes)]
    together = encode(config, *sources, device=device)
    assert together == [data for source in sources for data in encode(config, source, device=device)]
    assert together == encode(config, *sources, device=device)
    assert [parse_jpeg(data).height for data in together] == [height for height, _ in sizes]
    for data, source in zip(together, sources, strict=True):
        assert psnr(data, source) > 24


def test_one_encoder_gives_the_same_bytes_again_from_used_buffers(photo: torch.Tensor) -> None:
    config = instant(subsampling="420")
    encoder = Encoder(config, CPU)
    sources = [crop(photo, 96, 64, 0, 60 * i) for i in range(4)]
    layout = choose_layout(sources[0], "420", 75.0)
    first = [write(encoder, [source], layout, 75.0)[0] for source in sources]
    assert (encoder.buffers.allocations, encoder.buffers.reuses) == (2, 6)
    assert first == [write(encoder, [source], layout, 75.0)[0] for source in sources]
    assert len(set(first)) == 4


def test_the_dead_zone_and_the_map_do_something(photo: torch.Tensor) -> None:
    source = crop(photo, 160, 160, 100, 150)
    zoned = encode(instant(subsampling="420"), source)[0]
    rounded = encode(instant(subsampling="420", quantization=QuantizationConfig(dead_zone="none")), source)[0]
    blind = encode(instant(subsampling="420", attention=AttentionConfig(enabled=False)), source)[0]
    weak = encode(instant(subsampling="420", attention=AttentionConfig(strength=0.0)), source)[0]
    assert len(zoned) < len(rounded)
    assert blind == weak != zoned


def test_a_chroma_block_takes_the_mean_weight_of_its_luma_blocks(photo: torch.Tensor) -> None:
    source = crop(photo, 96, 128, 100, 150)
    settings = QuantizationConfig(tables="ijg", dead_zone_threshold=0.6, dead_zone_slope=0.2)
    (result,) = encode(Config(quality=85, subsampling="420", quantization=settings), source)
    stored = read_coefficients(result, parse_jpeg(result))
    assert stored is not None
    luma, *chroma = planes_from_pixels(source.pixels[None].float(), SAMPLINGS["420"])
    attention = attention_map(luma, torch.ones((1, 12, 16), dtype=torch.bool))
    weights = weight_from_qp(qp_from_attention(attention))
    means = weights.view(1, 6, 2, 8, 2).mean((2, 4))
    steps = ijg_tables(85)[1:]
    for own, plane in zip(stored[1:], chroma, strict=True):
        expected = quantize(forward_dct(plane), steps, dead_zone_thresholds(means, 0.6, 0.2))[0]
        assert torch.equal(own.float(), expected)
    neutral = quantize(forward_dct(chroma[0]), steps, dead_zone_thresholds(torch.ones_like(means), 0.6, 0.2))
    assert not torch.equal(stored[1].float(), neutral[0])


def test_without_a_dead_zone_the_map_changes_nothing(photo: torch.Tensor) -> None:
    source = crop(photo, 48, 48)
    settings = QuantizationConfig(dead_zone="none")
    blind = instant(quantization=settings, attention=AttentionConfig(enabled=False))
    assert encode(instant(quantization=settings), source) == encode(blind, source)


@pytest.mark.parametrize(
    ("kind", "subsampling", "score", "name"),
    [
        ("color", "auto", 85.0, "420"),
        ("color", "auto", 99.0, "444"),
        ("color", "422", 90.0, "422"),
        ("gray", "420", 75.0, "gray"),
        ("jpeg 422", "auto", 75.0, "422"),
        ("jpeg 422", "auto", 95.0, "422"),
        ("jpeg 422", "420", 75.0, "420"),
        ("jpeg rgb", "auto", 50.0, "444"),
        ("jpeg gray", "444", 75.0, "gray"),
    ],
)
def test_layout(kind: str, subsampling: str, score: float, name: str, photo: torch.Tensor) -> None:
    source = crop(photo, 20, 30)
    if kind in ("gray", "jpeg gray"):
        source = gray(source)
    if kind.startswith("jpeg"):
        options = {"jpeg 422": {"subsampling": 1}, "jpeg rgb": {"keep_rgb": True}}.get(kind, {})
        source = read_picture(save(source, **options))
    layout = choose_layout(source, subsampling, score)
    assert layout.sampling.name == name
    assert layout.padded_size == layout.sampling.padded_size(20, 30)
    assert layout.on_source_grid == ((kind, name) in [("jpeg 422", "422"), ("jpeg gray", "gray")])


@pytest.mark.parametrize(("saturation", "name"), [(0.0, "420"), (1.0, "444")])
@pytest.mark.parametrize("size", [(33, 41), (1500, 700)])
def test_pictures_whose_chroma_is_fine_keep_all_of_it(
    saturation: float, name: str, size: tuple[int, int], device: torch.device
) -> None:
    stripes = (torch.arange(size[1]) % 2).expand(size).float()
    colors = torch.stack((255 * stripes, 128 * torch.ones(size), 255 * (1 - stripes)))
    gray = colors.mean(0, keepdim=True)
    pixels = (gray + saturation * (colors - gray)).to(torch.uint8)
    pixels[0, 0, 0] ^= 1  # so that it is a color picture
    layout = choose_layout(Picture(pixels, "png"), "auto", 88.0, device)
    assert layout.sampling.name == name


@pytest.mark.parametrize("size", [(7, 9), (100, 130)])
@pytest.mark.parametrize("name", ["444", "422", "420", "gray"])
def test_the_source_grid_at_its_own_tables_gives_its_coefficients(
    name: str, size: tuple[int, int], photo: torch.Tensor
) -> None:
    source = crop(photo, *size, 100, 150)
    options = {"subsampling": PILLOW_NAMES.get(name)}
    if name == "gray":
        source, options = gray(source), {}
    data = save(source, quality=70, **options)
    (result,) = encode(plain(70, "auto"), read_picture(data))
    before, after = (read_coefficients(file, parse_jpeg(file)) for file in (data, result))
    assert before is not None and after is not None
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert np.array_equal(decode(data), decode(result))
    assert parse_jpeg(result).subsampling == name


@pytest.mark.parametrize("tables", ["ijg", "imgcompress"])
@pytest.mark.parametrize(("before", "after"), [(40, 90), (75, 75), (90, 50)])
def test_steps_are_never_finer_than_the_sources(
    tables: str, before: int, after: int, photo: torch.Tensor
) -> None:
    data = save(crop(photo, 64, 64), quality=before)
    settings = QuantizationConfig(tables=tables)
    (result,) = encode(instant(quality=after, quantization=settings), read_picture(data))
    theirs, ours = parse_jpeg(data).tables, parse_jpeg(result).tables
    assert (ours >= theirs).all()
    if after < before:
        assert (ours > theirs).any()


def test_another_sampling_leaves_the_source_grid_and_its_tables(photo: torch.Tensor) -> None:
    source = crop(photo, 64, 64)
    data = save(source, quality=30, subsampling="4:4:4")
    (result,) = encode(plain(90, "420"), read_picture(data))
    assert parse_jpeg(result).subsampling == "420"
    assert (parse_jpeg(result).tables <= parse_jpeg(data).tables).all()
    assert psnr(result, source) > psnr(data, source) - 1.5


def with_three_tables(picture: Picture, folder) -> bytes:
    """A JPEG whose Cb and Cr have different steps, written by jpeglib."""
    path = folder / "three.jpg"
    path.write_bytes(save(picture, quality=80))
    read = jpeglib.read_dct(str(path))
    read.qt = np.stack([read.qt[0], read.qt[1], read.qt[1] + 3])
    read.quant_tbl_no = np.array([0, 1, 2])
    read.write_dct(str(path))
    return path.read_bytes()


def test_different_tables_for_cb_and_cr(photo: torch.Tensor, tmp_path) -> None:
    three = read_picture(with_three_tables(crop(photo, 32, 32, 100, 100), tmp_path))
    two = read_picture(save(crop(photo, 32, 32), quality=80))
    assert three.jpeg is not None and not torch.equal(three.jpeg.tables[1], three.jpeg.tables[2])
    layouts = [choose_layout(picture, "auto", 75.0) for picture in (three, two)]
    assert [layout.table_of_component for layout in layouts] == [(0, 1, 2), (0, 1, 1)]
    (result,) = encode(plain(95, "auto"), three)
    header = parse_jpeg(result)
    assert torch.equal(header.tables, three.jpeg.tables)
    coefficients = read_coefficients(result, header)
    assert coefficients is not None and three.jpeg.coefficients is not None
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(coefficients, three.jpeg.coefficients, strict=True)
    )


def test_pictures_of_one_layout_are_those_that_pad_alike(photo: torch.Tensor) -> None:
    layouts: list[Layout] = [choose_layout(crop(photo, *size), "420", 75.0) for size in ((33, 40), (48, 48))]
    assert layouts[0] == layouts[1] and hash(layouts[0]) == hash(layouts[1])
    assert choose_layout(crop(photo, 32, 40), "420", 75.0) != layouts[0]
