"""Encoded by the plugin's libavif or that of imagecodecs, decoded by the other where it shows all bits."""

import io
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.config import AvifConfig
from imgcompress.errors import PictureError, Reason
from imgcompress.formats.avif import LONGEST_SIDE, AvifCodec
from imgcompress.image.containers import avif_properties
from imgcompress.image.picture import Metadata, Picture
from imgcompress.image.read import read_picture
from imgcompress.perception.ssimulacra2 import ssimulacra2

AOM = AvifCodec(AvifConfig(speed=9))


@pytest.fixture
def small(photo: torch.Tensor) -> Picture:
    return Picture(photo[:, 100:211, 200:333], "png")


def deep_ramp(width: int = 512, height: int = 64) -> torch.Tensor:
    ramp = torch.linspace(9000, 20000, width).round().to(torch.int32)
    return torch.stack([ramp, ramp.flip(0), ramp + 5000])[:, None].repeat(1, height, 1).to(torch.uint16)


def psnr(before: torch.Tensor, after: torch.Tensor) -> float:
    most = torch.iinfo(before.dtype).max
    return float(-10 * torch.log10(((before.float() - after.float()) / most).square().mean()))


@pytest.mark.parametrize("depth", [8, 10, 12])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (64, 65)])
def test_all_sizes_with_and_without_alpha_and_color(size, depth, photo):
    codec = AvifCodec(AvifConfig(speed=9, bit_depth=depth))
    pixels = photo[:, 100 : 100 + size[0], 200 : 200 + size[1]]
    alpha = (torch.arange(size[0] * size[1]).reshape(size) % 251 + 1).to(torch.uint8)
    for channels in (1, 3):
        for each in (None, alpha):
            picture = Picture(pixels[:channels], "png", alpha=each)
            data = codec.encode(picture, 85.0, "gray" if channels == 1 else "420", None)
            assert avif_properties(data).bit_depth == depth
            decoded = codec.decode(data)
            decoded_as = 1 if channels == 1 and depth == 8 else 3
            assert decoded.pixels.shape == (decoded_as, *size)
            levels = (decoded.pixels.float() * (255 / torch.iinfo(decoded.pixels.dtype).max)).round()
            assert psnr(picture.pixels.expand(decoded_as, -1, -1), levels.to(torch.uint8)) > 25
            with Image.open(io.BytesIO(data)) as image:  # dav1d within the plugin, at 8 bits
                plugin = np.array(image.convert("RGBA"))
            shown = levels.expand(3, -1, -1).permute(1, 2, 0).numpy()
            # Its way from deep YUV to 8 bits is a coarse one, and repeats chroma instead of interpolating it.
            assert np.abs(plugin[..., :3] - shown).mean() <= (1 if depth > 8 else 0)
            if each is not None:
                assert decoded.alpha is not None
                most = torch.iinfo(decoded.alpha.dtype).max
                assert torch.equal((decoded.alpha.float() * (255 / most)).round(), alpha.float())
                np.testing.assert_array_equal(plugin[..., 3], alpha.numpy())


@pytest.mark.parametrize("layout", ["444", "422", "420", "gray"])
@pytest.mark.parametrize("depth", [8, 10])
def test_the_layout_is_what_was_asked_for(layout, depth, small):
    picture = replace(small, pixels=small.pixels[:1]) if layout == "gray" else small
    data = AvifCodec(AvifConfig(speed=9, bit_depth=depth)).encode(picture, 70.0, layout, None)
    flags = data[data.index(b"av1C") + 6]  # AV1 ISO binding, 2.3.3: monochrome, x, y subsampled
    expected = {"444": 0b000, "422": 0b010, "420": 0b011, "gray": 0b111 if depth == 8 else 0b011}
    assert flags >> 2 & 0b111 == expected[layout]


@pytest.mark.parametrize("depth", [10, 12])
def test_eight_bits_are_scaled_up_exactly_and_come_back(depth):
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 256).repeat(3, 8, 1)
    codec = AvifCodec(AvifConfig(bit_depth=depth, speed=9))
    ends = torch.stack([levels[0], levels[0]]).reshape(1, 16, 256).expand(3, -1, -1)
    decoded = codec.decode(codec.encode(Picture(ends, "png"), 100.0, "444", None)).pixels
    assert decoded.dtype == torch.uint16
    assert torch.equal((decoded.float() / 257).round(), ends.float())


def test_the_depth_is_the_sources_unless_told(small: Picture):
    for source, told, expected in (
        (16, "auto", 12),
        (12, "auto", 12),
        (10, "auto", 10),
        (16, 8, 8),
        (8, 10, 10),
    ):
        pixels = small.pixels if source == 8 else deep_ramp()
        data = AvifCodec(AvifConfig(speed=9, bit_depth=told)).encode(
            Picture(pixels, "png", source), 80.0, "420", None
        )
        assert read_picture(data).bit_depth == expected


def test_twelve_bits_keep_a_gradient_that_eight_lose():
    picture = Picture(deep_ramp(), "png", 16)
    deep, flat = AvifCodec(AvifConfig(speed=9)), AvifCodec(AvifConfig(speed=9, bit_depth=8))
    twelve = deep.decode(deep.encode(picture, 99.0, "444", None)).pixels
    eight = flat.decode(flat.encode(picture, 99.0, "444", None)).pixels
    assert len(torch.unique(twelve[0].int())) > 256 > len(torch.unique(eight[0]))
    as_deep = (eight.int() * 257).to(torch.uint16)
    assert psnr(picture.pixels, twelve) > psnr(picture.pixels, as_deep) + 6
    assert torch.equal(read_picture(deep.encode(picture, 99.0, "444", None)).pixels, twelve)


def test_deep_alpha_is_straight_and_without_loss():
    alpha = (torch.arange(64 * 512).reshape(64, 512) % 4096 * 16).to(torch.int32)
    picture = Picture(deep_ramp(), "png", 16, alpha.to(torch.uint16))
    decoded = AOM.decode(AOM.encode(picture, 90.0, "444", None))
    assert decoded.alpha is not None
    assert (decoded.alpha.int() - alpha).abs().max() <= 8  # half a step of 12 bits
    faint = (alpha > 0) & (alpha < 6000)
    assert (decoded.pixels.float() - picture.pixels.float())[:, faint].abs().mean() < 400


def test_a_cut_out_has_no_fringes_and_costs_less_than_with_its_hidden_colors(cut_out: Picture, worst_fringe):
    codec = AvifCodec(AvifConfig())
    data, naive = codec.encode(cut_out, 80.0, "420", None), io.BytesIO()
    planes = torch.cat([cut_out.pixels, cut_out.alpha[None]]).permute(1, 2, 0).contiguous().numpy()
    options = {"a:cq-level": "0"}
    Image.fromarray(planes).save(naive, "AVIF", quality=80, speed=6, max_threads=1, advanced=options)
    untreated = codec.decode(naive.getvalue())
    assert worst_fringe(cut_out, codec.decode(data)) < 0.5 * worst_fringe(cut_out, untreated)
    assert len(data) < len(naive.getvalue())


def test_any_score_can_be_hit_within_a_third(photo):
    picture = Picture(photo[:, 100:292, 200:392], "png")
    before = picture.pixels[None].float() / 255

    def score(quality: float) -> float:
        decoded = AOM.decode(AOM.encode(picture, quality, "420", None)).pixels
        return ssimulacra2(before, decoded[None].float() / 255).item()

    scores = [score(float(quality)) for quality in np.arange(60, 70.01, 0.2)]
    gaps = np.diff(sorted(scores))
    assert gaps.max() < 2 / 3
    assert np.corrcoef(np.arange(len(scores)), scores)[0, 1] > 0.98


@pytest.mark.parametrize("codec", ["aom", "svt", "rav1e"])
def test_each_codec_writes_the_same_bytes_each_time_and_not_those_of_others(codec, small):
    mine = AvifCodec(AvifConfig(codec=codec, speed=9))
    data = mine.encode(small, 70.0, "420", None)
    assert data == mine.encode(small, 70.0, "420", None)
    assert (data == AOM.encode(small, 70.0, "420", None)) == (codec == "aom")
    assert psnr(small.pixels, mine.decode(data).pixels) > 28


def test_what_svt_lacks_aom_codes(small: Picture):
    svt, alpha = AvifCodec(AvifConfig(codec="svt", speed=9)), small.pixels[0]
    for picture, layout in ((small, "444"), (replace(small, alpha=alpha), "420")):
        mine, aoms = svt.quality_of_score(70.0), AOM.quality_of_score(70.0)
        assert mine != aoms
        assert svt.encode(picture, mine, layout, None) == AOM.encode(picture, aoms, layout, None)


def test_a_quality_means_a_score_at_any_depth(photo: torch.Tensor):
    picture = Picture(photo[:, 100:292, 200:392], "png")
    quality, scores = AOM.quality_of_score(75.0), []
    for depth in (8, 10, 12):
        codec = AvifCodec(AvifConfig(speed=8, bit_depth=depth))
        decoded = codec.decode(codec.encode(picture, quality, "420", None)).pixels
        values = decoded[None].float() / torch.iinfo(decoded.dtype).max
        scores.append(ssimulacra2(picture.pixels[None].float() / 255, values).item())
    assert max(scores) - min(scores) < 2


_TALKATIVE = """
import torch
from concurrent.futures import ThreadPoolExecutor
from imgcompress.config import AvifConfig
from imgcompress.formats.avif import AvifCodec
from imgcompress.image.picture import Picture
codec = AvifCodec(AvifConfig(codec="svt", speed=10))
picture = Picture(torch.arange(64 * 64 * 3).reshape(3, 64, 64).to(torch.uint8), "png")
with ThreadPoolExecutor(4) as pool:
    files = list(pool.map(lambda _: codec.encode(picture, 60.0, "420", None), range(8)))
assert len(set(files)) == 1
"""


def test_svt_is_silent_from_several_threads():
    done = subprocess.run([sys.executable, "-c", _TALKATIVE], capture_output=True, check=True, timeout=300)
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_metadata_survive(depth, has_alpha, small, metadata: Metadata, jpegs_metadata: Metadata):
    alpha = small.pixels[0] if has_alpha else None
    full = replace(metadata, density=jpegs_metadata.density, trailer=b"a film")
    codec = AvifCodec(AvifConfig(speed=10, bit_depth=depth))
    data = codec.encode(replace(small, alpha=alpha, metadata=full), 60.0, "420", b"1 abc")
    again = read_picture(data)
    assert again.metadata == metadata
    assert again.marked
    assert again.keep is None
    assert (again.alpha is not None) == has_alpha
    assert not read_picture(codec.encode(small, 60.0, "420", None)).marked


def test_exif_data_that_nobody_can_read_are_left_out(small: Picture):
    picture = replace(small, metadata=Metadata(exif=b"garbage", xmp=b"<x/>"))
    assert read_picture(AOM.encode(picture, 60.0, "420", None)).metadata == Metadata(xmp=b"<x/>")


def test_what_avif_does_not_hold_is_refused(small: Picture):
    wide = Picture(torch.zeros((1, 1, LONGEST_SIDE + 1), dtype=torch.uint8), "png")
    gray = Metadata(icc=bytes(16) + b"GRAY" + bytes(200))
    deep = Picture(deep_ramp()[:1], "png", 16, metadata=gray)
    sheer = Picture(small.pixels[:1], "png", alpha=small.pixels[1], metadata=gray)  # 8-bit RGBA
    refused = ((wide, Reason.UNSUPPORTED), (deep, Reason.COLOR_SPACE), (sheer, Reason.COLOR_SPACE))
    for picture, reason in refused:
        with pytest.raises(PictureError) as caught:
            AOM.refuse(picture)
        assert caught.value.reason is reason
    AOM.refuse(replace(small, pixels=small.pixels[:1], metadata=gray))


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x10ftypavif\0\0\0\0"])
def test_a_damaged_result_is_refused(data: bytes):
    with pytest.raises(PictureError) as caught:
        AOM.decode(data)
    assert caught.value.reason is Reason.VERIFY_REFUSED


@pytest.mark.parametrize("codec", ["aom", "svt", "rav1e"])
def test_the_scale_rises_strictly_and_takes_any_number(codec):
    avif = AvifCodec(AvifConfig(codec=codec))
    qualities = [avif.quality_of_score(score) for score in np.linspace(-100, 97, 300)]
    assert all(low < high for low, high in pairwise(qualities))
    assert (avif.quality_of_score(-1e9), avif.quality_of_score(1e9)) == (0.0, 100.0)
