import io

import pytest
import torch
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.formats.jpeg.spending import bits_per_mcu
from imgcompress.image.jpeg_file import parse_jpeg


def jpeg(photo: torch.Tensor, height: int, width: int, name: str, **options: object) -> bytes:
    pixels = photo[:, 100 : 100 + height, 150 : 150 + width].permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    if name != "gray":
        options["subsampling"] = ("444", "422", "420").index(name)
    Image.fromarray(pixels[..., 0] if name == "gray" else pixels).save(buffer, "JPEG", quality=80, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (144, 160), (130, 137)])
@pytest.mark.parametrize(
    ("name", "mcu"), [("444", (8, 8)), ("422", (8, 16)), ("420", (16, 16)), ("gray", (8, 8))]
)
def test_the_sum_is_the_size_of_libjpegs_optimized_scan(
    name: str, mcu: tuple[int, int], size: tuple[int, int], photo: torch.Tensor
) -> None:
    data = jpeg(photo, *size, name, optimize=True)
    bits = bits_per_mcu(data)
    assert tuple(bits.shape) == (-(-size[0] // mcu[0]), -(-size[1] // mcu[1]))
    assert (bits > 0).all()
    (scan,) = parse_jpeg(data).scans
    coded = data[scan.start : scan.end].replace(b"\xff\x00", b"\xff")
    # Up to 7 bits fill the last byte; two optimal codes may break ties in another way.
    assert bits.sum().item() == pytest.approx(8 * len(coded), rel=0.002, abs=8)


def test_a_progressive_file_has_the_same_map(photo: torch.Tensor) -> None:
    baseline = jpeg(photo, 64, 80, "420")
    progressive = jpeg(photo, 64, 80, "420", progressive=True)
    assert torch.equal(bits_per_mcu(baseline), bits_per_mcu(progressive))


def test_bits_go_where_the_detail_is() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.full((64, 64), 128, dtype=torch.uint8)
    pixels[16:32, 32:48] = torch.randint(0, 256, (16, 16), generator=generator, dtype=torch.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).convert("RGB").save(buffer, "JPEG", quality=80)
    bits = bits_per_mcu(buffer.getvalue())
    assert bits.flatten().argmax() == 1 * 4 + 2
    assert bits[1, 2] > 0.8 * bits.sum()


def test_rgb_is_refused(photo: torch.Tensor) -> None:
    with pytest.raises(PictureError) as caught:
        bits_per_mcu(jpeg(photo, 16, 16, "444", keep_rgb=True))
    assert caught.value.reason is Reason.UNSUPPORTED
