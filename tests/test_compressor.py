import io
import re
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import exifread
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

import imgcompress.compressor as module
from imgcompress.backends import jpeg
from imgcompress.compressor import Compressor, Outcome, Source, as_picture_error, find_device
from imgcompress.config import Config, JpegConfig, LimitsConfig, LoopConfig, VerificationConfig
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.image.jpeg_file import made_by_us, parse_jpeg
from imgcompress.image.jpeg_markers import segment
from imgcompress.image.read import read_picture
from imgcompress.records import Status

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="52,30N" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="kept words"/></rdf:RDF></x:xmpmeta>'
)


def instant(**settings: object) -> Config:
    """No loop and no search: what these tests are about comes before and after."""
    return Config(max_encodes=1, loop=LoopConfig(rounds=0), **settings)


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def compressor() -> Compressor:
    return Compressor(instant(device="cpu"))


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, 100:196, 150:280].permute(1, 2, 0).contiguous().numpy()


def file(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def source(data: bytes) -> Source:
    return Source(data, read_picture(data))


def run(compressor: Compressor, pool: ThreadPoolExecutor, *files: bytes) -> list[Outcome]:
    return compressor.compress([source(data) for data in files], pool)


def shown(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)))


def words(outcome: Outcome) -> tuple[str, str]:
    return outcome.status.value, outcome.reason.value


def exif_block(thumbnail: bytes, position: bool = True) -> bytes:
    """Orientation 6, a maker's name, a GPS position, and a second directory with a thumbnail."""
    maker = b"Witness & Sons\0"
    main_at, entries = 8, 3 if position else 2
    maker_at = main_at + 2 + 12 * entries + 4
    gps_at = maker_at + len(maker) + 1
    latitude_at = gps_at + 2 + 12 * 2 + 4
    second_at = latitude_at + 24
    thumbnail_at = second_at + 2 + 12 * 2 + 4
    main = struct.pack(">H", entries)
    main += struct.pack(">HHII", 0x010F, 2, len(maker), maker_at)
    main += struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    if position:
        main += struct.pack(">HHII", 0x8825, 4, 1, gps_at)
    main += struct.pack(">I", second_at)
    gps = struct.pack(">H", 2) + struct.pack(">HHI4s", 1, 2, 2, b"N\0\0\0")
    gps += struct.pack(">HHII", 2, 5, 3, latitude_at) + bytes(4)
    latitude = struct.pack(">6I", 52, 1, 30, 1, 1234567, 100000)
    second = struct.pack(">H", 2) + struct.pack(">HHII", 0x0201, 4, 1, thumbnail_at)
    second += struct.pack(">HHII", 0x0202, 4, 1, len(thumbnail)) + bytes(4)
    return b"MM\0*" + struct.pack(">I", main_at) + main + maker + b"\0" + gps + latitude + second + thumbnail


@pytest.fixture(scope="module")
def exif(pixels: np.ndarray) -> bytes:
    block = exif_block(file(pixels[:32, :40], "JPEG"))
    tags = exifread.process_file(io.BytesIO(file(pixels, "JPEG", exif=b"Exif\0\0" + block)))
    assert {"Image Orientation", "Image Make", "GPS GPSLatitude", "JPEGThumbnail"} <= set(tags)
    return b"Exif\0\0" + block


@pytest.fixture(scope="module")
def icc() -> bytes:
    """No sRGB: its colors would change without it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


# Outcomes


def test_recompressed(compressor: Compressor, pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    png, jpeg = file(pixels), file(pixels, "JPEG", quality=95)
    for outcome, data in zip(run(compressor, pool, png, jpeg), (png, jpeg), strict=True):
        assert words(outcome) == ("recompressed", "smaller")
        assert outcome.data is not None and len(outcome.data) < len(data)
        assert (outcome.format, outcome.error) == ("jpeg", None)
        assert shown(outcome.data).shape == pixels.shape
        assert set(outcome.scores) == {"psnr", "ssim"} and outcome.scores["ssim"] > 0.9
        assert outcome.settings["quality"] == 75 and outcome.settings["on_source_grid"] == (data is jpeg)
        assert outcome.seconds > 0


def test_a_result_that_saves_too_little_is_not_worth_its_loss(
    pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    png = file(pixels)
    (outcome,) = run(Compressor(instant(device="cpu")), pool, png)
    assert outcome.data is not None
    saved = 100 * (1 - len(outcome.data) / len(png))
    (enough,) = run(Compressor(instant(device="cpu", min_savings=saved - 0.1)), pool, png)
    assert words(enough) == ("recompressed", "smaller")
    (too_little,) = run(Compressor(instant(device="cpu", min_savings=saved + 0.1)), pool, png)
    assert words(too_little) == ("kept", "not_smaller") and too_little.data == png


def test_a_jpeg_that_is_coarse_already_is_optimized(pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    jpeg = file(pixels, "JPEG", quality=30)
    (outcome,) = run(Compressor(instant(quality=95, device="cpu")), pool, jpeg)
    assert words(outcome) == ("optimized", "not_smaller")
    assert outcome.data is not None and len(outcome.data) < len(jpeg)
    assert np.array_equal(shown(outcome.data), shown(jpeg))


# Targets


def searching(**settings: object) -> Config:
    return Config(device="cpu", loop=LoopConfig(rounds=0), **settings)


def test_a_target_that_is_hit_is_reported(pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    (outcome,) = run(Compressor(searching(target="ssimulacra2=60")), pool, file(pixels))
    assert words(outcome) == ("recompressed", "smaller")
    assert outcome.scores["ssimulacra2"] == pytest.approx(60, abs=0.5)
    assert outcome.settings["target"] == "ssimulacra2=60" and 1 <= outcome.settings["encodes"] <= 8


def test_what_an_output_keeps_of_what_was_asked_for_is_promised(
    pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    def promised(verify: str = "decode", **settings: object) -> dict[str, float]:
        (outcome,) = run(Compressor(searching(verify=verify, **settings)), pool, file(pixels))
        assert outcome.status is Status.RECOMPRESSED
        return outcome.promised

    assert promised(target="ssimulacra2=70", min_score=60.0) == {"ssimulacra2": 69.5}
    assert promised(target="ssimulacra2=70", min_score=69.8) == {"ssimulacra2": 69.8}
    assert promised(target="bytes=2000", tolerance=0.1) == {"bytes": 2200.0}
    # A size that comes before the target: what was not reached is not promised.
    assert promised(target="ssimulacra2=90", max_bytes=2500) == {"bytes": 2500.0}
    assert promised(target="ssimulacra2=70", verify="ssim") == {"ssimulacra2": 69.5, "ssim": 0.5}
    # One try takes the step that hits a score on average, and looks at none.
    assert promised(max_encodes=1) == {}


def test_a_target_out_of_reach_leaves_the_source(pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    compressor = Compressor(searching(target="ssimulacra2=99.9", tolerance=0.01))
    png, jpeg = file(pixels), file(pixels, "JPEG", quality=98)
    kept, optimized = run(compressor, pool, png, jpeg)
    assert words(kept) == ("kept", "target_unreachable") and kept.data == png
    assert 80 < kept.scores["ssimulacra2"] < 99.9 and kept.seconds > 0
    # The source JPEG is as good as was asked for: what cannot be had is a smaller one.
    assert words(optimized) == ("optimized", "not_smaller")
    assert optimized.data is not None and len(optimized.data) < len(jpeg)
    assert np.array_equal(shown(optimized.data), shown(jpeg))


def test_a_size_that_no_jpeg_has_is_out_of_reach(pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    png, jpeg = file(pixels), file(pixels, "JPEG", quality=90)
    outcomes = run(Compressor(searching(target="bytes=100")), pool, png, jpeg)
    assert [words(outcome) for outcome in outcomes] == [
        ("kept", "target_unreachable"), ("optimized", "target_unreachable"),
    ]  # fmt: skip
    assert all(outcome.scores["bytes"] > 100 for outcome in outcomes)
    assert outcomes[1].data is not None and np.array_equal(shown(outcomes[1].data), shown(jpeg))


def test_limits_that_exclude_each_other_fail(pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    (outcome,) = run(Compressor(searching(max_bytes=900, min_score=90.0)), pool, file(pixels))
    assert words(outcome) == ("failed", "limits_conflict") and outcome.data is None
    assert "SSIMULACRA2 90 or more and 900 bytes or fewer" in (outcome.error or "")


def test_a_coarse_jpeg_that_is_searched_is_optimized(pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    jpeg = file(pixels, "JPEG", quality=30)
    (outcome,) = run(Compressor(Config(target="ssimulacra2=99", device="cpu")), pool, jpeg)
    assert words(outcome) == ("optimized", "not_smaller")
    assert outcome.data is not None and np.array_equal(shown(outcome.data), shown(jpeg))


@pytest.mark.parametrize("quality", [5, 30, 60, 75, 90])
@pytest.mark.parametrize("size", [(1, 1), (9, 7), (96, 130)])
@pytest.mark.parametrize("strip", ["none", "all"])
def test_never_larger_than_a_jpeg_source(
    strip: str, size: tuple[int, int], quality: int, pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    compressor = Compressor(instant(quality=90, strip=strip, device="cpu"))
    part = pixels[: size[0], : size[1]]
    files = [
        file(part, "JPEG", quality=quality, optimize=True, subsampling=0),
        file(part, "JPEG", quality=quality, optimize=True, comment=b"x"),
        file(part[..., 0], "JPEG", quality=quality, optimize=True, progressive=True),
    ]
    for outcome, data in zip(run(compressor, pool, *files), files, strict=True):
        assert outcome.data is not None and len(outcome.data) <= len(data)
        assert shown(outcome.data).shape == shown(data).shape


def alpha(pixels: np.ndarray, **options: object) -> bytes:
    half = np.full((*pixels.shape[:2], 1), 128, dtype=np.uint8)
    return file(np.concatenate((pixels, half), axis=2), **options)


def deep(pixels: np.ndarray) -> bytes:
    return file(pixels[..., 0].astype(np.uint16) * 257)


def animated(pixels: np.ndarray) -> bytes:
    return file(pixels, "WEBP", save_all=True, append_images=[Image.fromarray(255 - pixels)])


def two_pages(pixels: np.ndarray) -> bytes:
    return file(pixels, "TIFF", save_all=True, append_images=[Image.fromarray(255 - pixels)])


def tiny(pixels: np.ndarray) -> bytes:
    return file(pixels[:1, :1])


@pytest.mark.parametrize(
    ("make", "reason", "form"),
    [
        (alpha, "alpha", "png"),
        (deep, "deep_color", "png"),
        (animated, "animated", "webp"),
        (two_pages, "several_pictures", "tiff"),
        (tiny, "not_smaller", "png"),
    ],
)
def test_kept(
    make: Callable,
    reason: str,
    form: str,
    compressor: Compressor,
    pool: ThreadPoolExecutor,
    *,
    pixels: np.ndarray,
) -> None:
    data = make(pixels)
    (outcome,) = run(compressor, pool, data)
    assert words(outcome) == ("kept", reason)
    assert (outcome.data, outcome.format, outcome.error) == (data, form, None)


def test_opaque_alpha_is_no_alpha(
    compressor: Compressor, pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    full = np.full((*pixels.shape[:2], 1), 255, dtype=np.uint8)
    (outcome,) = run(compressor, pool, file(np.concatenate((pixels, full), axis=2)))
    assert outcome.status is Status.RECOMPRESSED


@pytest.mark.parametrize("progressive", [True, False])
def test_our_own_output_is_left_alone(
    progressive: bool, pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    first = Compressor(instant(device="cpu", jpeg=JpegConfig(progressive=progressive)))
    (outcome,) = run(first, pool, file(pixels))
    assert outcome.data is not None and made_by_us(parse_jpeg(outcome.data))
    again = Compressor(instant(device="cpu", quality=20, subsampling="420"))
    (second,) = run(again, pool, outcome.data)
    assert words(second) == ("kept", "already_ours")
    assert second.data == outcome.data


def test_without_the_mark_it_is_not_known_and_not_larger(
    pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    compressor = Compressor(instant(device="cpu", mark=False))
    (outcome,) = run(compressor, pool, file(pixels))
    assert outcome.data is not None and not made_by_us(parse_jpeg(outcome.data))
    (second,) = run(compressor, pool, outcome.data)
    assert second.reason is not Reason.ALREADY_OURS
    assert second.data is not None and len(second.data) <= len(outcome.data)


def test_what_the_verification_refuses_leaves_the_source(
    pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    strict = Compressor(instant(device="cpu", verify="ssim", verification=VerificationConfig(min_ssim=1.0)))
    png, jpeg = file(pixels), file(pixels, "JPEG", quality=95)
    kept, optimized = run(strict, pool, png, jpeg)
    assert words(kept) == ("kept", "verify_refused") and kept.data == png
    assert words(optimized) == ("optimized", "verify_refused")
    assert optimized.data is not None and np.array_equal(shown(optimized.data), shown(jpeg))
    assert len(optimized.data) < len(jpeg)
    assert 0 < kept.scores["ssim"] < 1 and kept.settings["quality"] == 75


def test_a_result_that_does_not_decode_is_refused(
    compressor: Compressor, pool: ThreadPoolExecutor, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpeg, "pack_progressive", lambda data: data[: len(data) // 2])
    png = file(pixels)
    (outcome,) = run(compressor, pool, png)
    assert words(outcome) == ("kept", "verify_refused") and outcome.data == png


def test_a_lossless_coding_that_changes_a_pixel_is_not_used(
    pool: ThreadPoolExecutor, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg, other = file(pixels, "JPEG", quality=30), file(255 - pixels, "JPEG", quality=5)
    monkeypatch.setattr(module, "optimize_losslessly", lambda *_: other)
    (outcome,) = run(Compressor(instant(quality=95, device="cpu")), pool, jpeg)
    assert words(outcome) == ("kept", "not_smaller") and outcome.data == jpeg


# Faults


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (PictureError(Reason.LIMITS_CONFLICT, "too long"), "limits_conflict"),
        (ZeroDivisionError("unlucky"), "internal_error"),
    ],
)
def test_one_picture_that_breaks_the_encoder_does_not_hurt_its_batch(
    error: Exception,
    reason: str,
    pool: ThreadPoolExecutor,
    pixels: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compressor = Compressor(instant(device="cpu"))
    files = [file(np.roll(pixels, 9 * shift, axis=1)) for shift in range(4)]
    expected = run(compressor, pool, *files)
    sources = [source(data) for data in files]
    unlucky, encode, calls = sources[2].picture, compressor._backends[0]._encoder.encode, []

    def fail(pictures, *rest):
        calls.append(len(pictures))
        if any(picture is unlucky for picture in pictures):
            raise error
        return encode(pictures, *rest)

    monkeypatch.setattr(compressor._backends[0]._encoder, "encode", fail)
    outcomes = compressor.compress(sources, pool)
    assert calls == [4, 2, 2, 1, 1]
    assert words(outcomes[2]) == ("failed", reason)
    assert outcomes[2].data is None and outcomes[2].format == "png"
    assert str(error) in (outcomes[2].error or "")
    for index in (0, 1, 3):
        assert outcomes[index].data == expected[index].data is not None


@pytest.mark.parametrize("stage", ["strip", "pack_progressive", "decode_again"])
def test_a_fault_before_or_after_the_encoder_stays_with_its_picture(
    stage: str, compressor: Compressor, pool: ThreadPoolExecutor, pixels: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    original, calls = getattr(jpeg, stage), []

    def second_fails(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("unlucky")
        return original(*arguments)

    monkeypatch.setattr(jpeg, stage, second_fails)
    outcomes = run(compressor, pool, *[file(np.roll(pixels, shift, axis=0)) for shift in range(4)])
    assert sorted(words(outcome) for outcome in outcomes) == [
        ("failed", "internal_error"),
        *[("recompressed", "smaller")] * 3,
    ]


def test_what_does_not_fit_into_memory_is_halved_and_remembered(
    pool: ThreadPoolExecutor, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressor = Compressor(instant(device="cpu", batch_size=8))
    encode, sizes = compressor._backends[0]._encoder.encode, []

    def little_memory(pictures, *rest):
        sizes.append(len(pictures))
        if len(pictures) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(pictures, *rest)

    monkeypatch.setattr(compressor._backends[0]._encoder, "encode", little_memory)
    files = [file(np.roll(pixels, shift, axis=0)) for shift in range(12)]
    outcomes = run(compressor, pool, *files)
    assert sizes == [8, 4, 2, 2, 4, 2, 2, 2, 2]
    assert [words(outcome) for outcome in outcomes] == [("recompressed", "smaller")] * 12
    alone = run(Compressor(instant(device="cpu", batch_size=1)), pool, *files)
    assert [outcome.data for outcome in outcomes] == [outcome.data for outcome in alone]


def test_a_verification_that_breaks_down_is_tried_one_by_one(
    compressor: Compressor, pool: ThreadPoolExecutor, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, calls = compressor._verifier.judge, []

    def fail(references, results):
        calls.append(len(references))
        if len(references) > 1 or len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return judge(references, results)

    monkeypatch.setattr(compressor._verifier, "judge", fail)
    outcomes = run(compressor, pool, *[file(np.roll(pixels, shift, axis=0)) for shift in range(3)])
    assert calls == [3, 1, 1, 1]
    assert [words(outcome) for outcome in outcomes] == [
        ("recompressed", "smaller"), ("failed", "out_of_memory"), ("recompressed", "smaller"),
    ]  # fmt: skip


def test_a_fault_while_falling_back_is_a_failure(
    pool: ThreadPoolExecutor, pixels: np.ndarray, exif: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_):
        raise KeyError("unlucky")

    compressor = Compressor(instant(device="cpu", strip="gps"))
    (ours,) = run(Compressor(instant(device="cpu")), pool, file(pixels, "PNG", exif=exif))
    monkeypatch.setattr(module, "optimize_losslessly", fail)
    assert ours.data is not None
    (outcome,) = run(compressor, pool, ours.data)
    assert words(outcome) == ("failed", "internal_error")


def test_errors_by_kind() -> None:
    own = PictureError(Reason.TOO_LARGE, "much too large")
    assert as_picture_error(own) is own
    assert as_picture_error(ValueError("odd")).reason is Reason.INTERNAL_ERROR
    assert str(as_picture_error(ValueError("odd"))) == "ValueError: odd"


# Batches


def test_a_mixed_batch_equals_its_pictures_one_by_one(pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    files = [
        file(pixels),
        file(pixels[:90, :121]),
        file(pixels[..., 1]),
        alpha(pixels),
        file(pixels, "JPEG", quality=92, subsampling=0),
        file(pixels[8:, 8:], "JPEG", quality=92, subsampling=2),
        file(pixels, "JPEG", quality=20),
        file(pixels[:96, :115], "WEBP", lossless=True),
        file(pixels[:7, :9]),
    ]
    compressor = Compressor(instant(device="cpu"))
    together = run(compressor, pool, *files)
    alone = [run(Compressor(instant(device="cpu")), pool, data)[0] for data in files]
    assert [outcome.data for outcome in together] == [outcome.data for outcome in alone]
    assert [words(outcome) for outcome in together] == [words(outcome) for outcome in alone]
    assert run(compressor, pool, *files)[0].data == together[0].data
    small = Compressor(instant(device="cpu", batch_size=1, limits=LimitsConfig(batch_megapixels=0.001)))
    assert [outcome.data for outcome in run(small, pool, *files)] == [outcome.data for outcome in together]


@pytest.mark.parametrize(
    ("batch_size", "megapixels", "expected"), [(8, 16.0, [5]), (2, 16.0, [2, 2, 1]), (8, 0.038, [2, 2, 1])]
)
def test_batches_are_cut_by_count_and_by_pixels(
    batch_size: int, megapixels: float, expected: list[int], pool: ThreadPoolExecutor, pixels: np.ndarray,
    *, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    limits = LimitsConfig(batch_megapixels=megapixels)  # a padded picture has 112 x 144 = 0.0161 Mpx
    compressor = Compressor(instant(device="cpu", batch_size=batch_size, limits=limits, subsampling="420"))
    encode, calls = compressor._backends[0]._encoder.encode, []

    def count(pictures, *rest):
        calls.append(len(pictures))
        return encode(pictures, *rest)

    monkeypatch.setattr(compressor._backends[0]._encoder, "encode", count)
    padded = np.pad(pixels, ((0, 1), (0, 1), (0, 0)))
    run(compressor, pool, *[file(np.roll(padded, shift, axis=0)) for shift in range(5)])
    assert calls == expected


def test_nothing_in_nothing_out(compressor: Compressor, pool: ThreadPoolExecutor) -> None:
    assert compressor.compress([], pool) == []


# Metadata


def tags_of(data: bytes) -> dict[str, object]:
    return exifread.process_file(io.BytesIO(data), details=True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("progressive", [True, False])
def test_metadata_survive(
    progressive: bool, kind: str, pool: ThreadPoolExecutor, pixels: np.ndarray, *, exif: bytes, icc: bytes
) -> None:
    options: dict[str, object] = {"exif": exif, "icc_profile": icc, "xmp": XMP, "quality": 95}
    if kind == "PNG":
        options["pnginfo"] = info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        info.add_text("Comment", "hello")
    elif kind == "JPEG":
        options["comment"] = b"hello"
    if has_more := kind in ("JPEG", "PNG"):
        options["dpi"] = (300, 300)
    data = file(pixels, kind, **options)
    compressor = Compressor(instant(device="cpu", jpeg=JpegConfig(progressive=progressive)))
    (outcome,) = run(compressor, pool, data)
    assert outcome.status is Status.RECOMPRESSED and outcome.data is not None
    tags = tags_of(outcome.data)
    assert tags["Image Orientation"].values == [6]
    assert tags["Image Make"].values == "Witness & Sons"
    assert [float(value) for value in tags["GPS GPSLatitude"].values] == [52, 30, 12.34567]
    assert "JPEGThumbnail" not in tags
    with Image.open(io.BytesIO(outcome.data)) as image:
        assert image.info["icc_profile"] == icc
        assert image.info["xmp"] == XMP
        if has_more:
            assert image.info["dpi"] == (300, 300) and image.info["comment"] == b"hello"
        assert image.size == (pixels.shape[1], pixels.shape[0])


def test_strip_gps_takes_the_position_and_nothing_else(
    pool: ThreadPoolExecutor, pixels: np.ndarray, exif: bytes, icc: bytes
) -> None:
    data = file(pixels, "JPEG", quality=95, exif=exif, icc_profile=icc, xmp=XMP, comment=b"hello")
    (outcome,) = run(Compressor(instant(device="cpu", strip="gps")), pool, data)
    assert outcome.status is Status.RECOMPRESSED and outcome.data is not None
    tags = tags_of(outcome.data)
    assert not [name for name in tags if "GPS" in name]
    assert struct.pack(">I", 1234567) not in outcome.data and b"52,30N" not in outcome.data
    assert tags["Image Orientation"].values == [6] and tags["Image Make"].values == "Witness & Sons"
    with Image.open(io.BytesIO(outcome.data)) as image:
        assert image.info["icc_profile"] == icc and image.info["comment"] == b"hello"
        assert b"kept words" in image.info["xmp"]


def test_strip_all_leaves_the_orientation(pool: ThreadPoolExecutor, pixels: np.ndarray, exif: bytes) -> None:
    data = file(pixels, "JPEG", quality=95, exif=exif, xmp=XMP, comment=b"hello")
    (outcome,) = run(Compressor(instant(device="cpu", strip="all")), pool, data)
    assert outcome.data is not None
    assert [name for name in tags_of(outcome.data) if not name.startswith("EXIF")] == ["Image Orientation"]
    with Image.open(io.BytesIO(outcome.data)) as image:
        assert image.getexif()[0x0112] == 6
        assert not {"xmp", "comment", "icc_profile"} & set(image.info)


def test_tiff_metadata_survive(
    compressor: Compressor, pool: ThreadPoolExecutor, pixels: np.ndarray, icc: bytes
) -> None:
    caption = b"\x1c\x02\x78\0\x07Caption"
    tags = {270: "A description", 271: "A maker", 274: 6, 33723: caption, 700: XMP}
    data = file(pixels, "TIFF", tiffinfo=tags, icc_profile=icc, dpi=(300, 150))
    (outcome,) = run(compressor, pool, data)
    assert outcome.status is Status.RECOMPRESSED and outcome.data is not None
    found = tags_of(outcome.data)
    assert found["Image ImageDescription"].values == "A description"
    assert found["Image Orientation"].values == [6]
    with Image.open(io.BytesIO(outcome.data)) as image:
        assert (image.info["icc_profile"], image.info["xmp"]) == (icc, XMP)
        assert image.info["dpi"] == (300, 150)
        assert image.info["photoshop"][0x0404] == caption


def test_gif_and_bmp_are_read(compressor: Compressor, pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    gif, bmp = file(pixels, "GIF", comment=b"hello"), file(pixels, "BMP", dpi=(300, 300))
    for data, outcome in zip((gif, bmp), run(compressor, pool, gif, bmp), strict=True):
        assert words(outcome) == ("recompressed", "smaller") and outcome.data is not None
        with Image.open(io.BytesIO(outcome.data)) as image, Image.open(io.BytesIO(data)) as before:
            difference = np.array(image).astype(int) - np.array(before.convert("RGB"))
            assert np.square(difference).mean() < 200
            if data is gif:
                assert image.info["comment"] == b"hello"
            else:
                assert image.info["dpi"] == (300, 300)


# Kept for what they are


def cmyk(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


def heic(pixels: np.ndarray) -> bytes:
    return struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + pixels.tobytes()


def linear(pixels: np.ndarray) -> bytes:
    info = PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    return file(pixels, pnginfo=info)


def gain_map(pixels: np.ndarray) -> bytes:
    iso = segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4))
    primary = file(pixels, "JPEG", quality=98)
    return primary[:2] + iso + primary[2:] + file(pixels[::4, ::4, 0], "JPEG")


@pytest.mark.parametrize(
    ("make", "reason", "form"),
    [
        (cmyk, "color_space", "jpeg"),
        (heic, "unchecked", "heic"),
        (linear, "color_space", "png"),
        (gain_map, "gain_map", "jpeg"),
        (lambda pixels: file(pixels, "PPM"), "unsupported", "ppm"),
    ],
)
def test_kept_with_a_sentence(
    make: Callable,
    reason: str,
    form: str,
    compressor: Compressor,
    pool: ThreadPoolExecutor,
    *,
    pixels: np.ndarray,
) -> None:
    data = make(pixels)
    (outcome,) = run(compressor, pool, data)
    assert words(outcome) == ("kept", reason)
    assert (outcome.data, outcome.format) == (data, form) and outcome.error


@pytest.mark.parametrize("strip", ["gps", "all"])
def test_what_was_not_looked_into_cannot_be_stripped(
    strip: str, pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    compressor = Compressor(instant(device="cpu", strip=strip))
    several = file(pixels, "MPO", save_all=True, append_images=[Image.fromarray(pixels)])
    for outcome in run(compressor, pool, heic(pixels), gain_map(pixels), several):
        assert words(outcome) == ("failed", "cannot_strip") and outcome.data is None


# Behind the end

FILM = struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + b"a film of a second" * 9


def moving(pixels: np.ndarray, quality: int) -> bytes:
    """As phones write it: the offset counts from the end of the file."""
    space = b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
    camera = space + b'GCamera:MicroVideoOffset="%d" ' % len(FILM)
    xmp = XMP.replace(b"dc:source", camera + b"dc:source")
    return file(pixels, "JPEG", quality=quality, xmp=xmp) + FILM


@pytest.mark.parametrize(("quality", "status"), [(98, "recompressed"), (30, "optimized")])
def test_a_film_behind_the_picture_stays(
    quality: int, status: str, pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    data = moving(pixels, quality)
    (outcome,) = run(Compressor(instant(device="cpu", quality=90)), pool, data)
    assert outcome.status == status and outcome.data is not None and len(outcome.data) < len(data)
    with Image.open(io.BytesIO(outcome.data)) as image:
        found = re.search(rb'MicroVideoOffset="(\d+)"', image.info["xmp"])
    assert found is not None
    offset = int(found[1])
    assert outcome.data[-offset:] == FILM
    assert outcome.data[:-offset].endswith(b"\xff\xd9")
    (bare,) = run(Compressor(instant(device="cpu", quality=90, strip="all")), pool, data)
    assert bare.data is not None and b"ftypmp42" not in bare.data and bare.data.endswith(b"\xff\xd9")


def test_a_film_counts_towards_the_limit(pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    data = file(pixels, "JPEG", quality=98) + bytes(range(256)) * 40
    (outcome,) = run(Compressor(replace(instant(device="cpu", max_bytes=10_000), max_encodes=6)), pool, data)
    assert words(outcome) == ("failed", "limits_conflict") and "behind the picture" in (outcome.error or "")


def test_a_kept_file_is_stripped_if_it_can_be(
    pool: ThreadPoolExecutor, pixels: np.ndarray, exif: bytes
) -> None:
    compressor = Compressor(instant(device="cpu", strip="gps"))
    leaking = alpha(pixels, exif=exif)
    (kept,) = run(compressor, pool, leaking)
    assert words(kept) == ("kept", "alpha") and kept.format == "png" and kept.data is not None
    assert np.array_equal(shown(kept.data), shown(leaking))
    assert b"Witness & Sons" in kept.data and struct.pack(">I", 1234567) not in kept.data


def test_a_copy_cannot_be_stripped(pool: ThreadPoolExecutor, pixels: np.ndarray, exif: bytes) -> None:
    compressor = Compressor(instant(device="cpu", strip="gps"))
    leaking, harmless = alpha(pixels, kind="AVIF", exif=exif), alpha(pixels)
    failed, kept = run(compressor, pool, leaking, harmless)
    assert words(failed) == ("failed", "cannot_strip")
    assert failed.data is None and "--strip gps" in (failed.error or "")
    assert words(kept) == ("kept", "alpha") and kept.data == harmless


@pytest.mark.parametrize("strip", ["gps", "all"])
def test_a_jpeg_is_stripped_without_loss(
    strip: str, pool: ThreadPoolExecutor, pixels: np.ndarray, exif: bytes
) -> None:
    coarse = file(pixels, "JPEG", quality=30, exif=exif)
    (ours,) = run(Compressor(instant(device="cpu")), pool, file(pixels, exif=exif))
    assert ours.data is not None and "GPS GPSLatitude" in tags_of(ours.data)
    outcomes = run(Compressor(instant(device="cpu", quality=95, strip=strip)), pool, coarse, ours.data)
    assert [words(outcome) for outcome in outcomes] == [
        ("optimized", "not_smaller"), ("optimized", "already_ours"),
    ]  # fmt: skip
    for outcome, before in zip(outcomes, (coarse, ours.data), strict=True):
        assert outcome.data is not None and len(outcome.data) <= len(before)
        tags = tags_of(outcome.data)
        assert not [name for name in tags if "GPS" in name]
        assert tags["Image Orientation"].values == [6]
        assert np.array_equal(shown(outcome.data), shown(before))
    assert outcomes[1].data is not None and made_by_us(parse_jpeg(outcomes[1].data))


def test_metadata_that_jpeg_cannot_hold_keep_the_source(
    compressor: Compressor, pool: ThreadPoolExecutor, pixels: np.ndarray
) -> None:
    data = file(pixels, exif=b"Exif\0\0" + exif_block(b"", position=False) + bytes(70_000))
    assert len(read_picture(data).metadata.exif or b"") > 65533
    (outcome,) = run(compressor, pool, data)
    assert words(outcome) == ("kept", "metadata_too_large") and outcome.data == data


# Devices


def test_devices() -> None:
    assert find_device("cpu").type == "cpu"
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="device: cuda"):
        Compressor(instant(device="cuda"))


def test_on_the_device(device: torch.device, pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    compressor = Compressor(instant(device=device.type, verify="decode"))
    outcomes = run(compressor, pool, file(pixels), file(pixels, "JPEG", quality=95), file(pixels[..., 0]))
    assert {outcome.status for outcome in outcomes} == {Status.RECOMPRESSED}
    assert all(outcome.scores["psnr"] > 28 for outcome in outcomes)
    assert compressor.buffers.allocations >= 2


def test_sources_are_left_alone(compressor: Compressor, pool: ThreadPoolExecutor, pixels: np.ndarray) -> None:
    given = source(file(pixels, "JPEG", quality=90))
    kept = replace(given.picture, pixels=given.picture.pixels.clone())
    compressor.compress([given], pool)
    assert torch.equal(given.picture.pixels, kept.pixels)
