"""The search around a library's encoder, with an encoder whose damage is simple: noise."""

import io
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from imgcompress.backends.attempt import Attempt, Source
from imgcompress.backends.codec import CodecBackend
from imgcompress.compressor import Compressor
from imgcompress.config import Config
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.formats.codec import Codec
from imgcompress.image import exif as exif_edit
from imgcompress.image.picture import Decoded, Metadata, Picture
from imgcompress.image.read import read_picture

CPU = torch.device("cpu")


class Noise:
    """Adds noise, the more the lower the quality; with thinned-out chroma green stands for all."""

    format = "webp"
    heeds_orientation = False

    def __init__(self, *, lossless: bool = False, samplings: tuple[str, ...] = ("444", "420")) -> None:
        self.is_lossless = lossless
        self.has_quality = not lossless
        self.samplings = samplings
        self.encoded: list[tuple[float, str]] = []
        self.metadata: list[Metadata] = []
        self.marks: list[bytes | None] = []
        self.unlucky: torch.Tensor | None = None
        self.bias = 0

    def refuse(self, picture: Picture) -> None:
        if picture.bit_depth > 8:
            raise PictureError(Reason.DEEP_COLOR, "8 bits")

    def quality_of_score(self, nominal: float) -> float:
        return nominal

    def encode(self, picture: Picture, quality: float, subsampling: str, mark: bytes | None) -> bytes:
        if picture.pixels is self.unlucky:
            raise ZeroDivisionError("unlucky")
        self.encoded.append((quality, subsampling))
        self.metadata.append(picture.metadata)
        self.marks.append(mark)
        noise = torch.randn(picture.pixels.shape, generator=torch.Generator().manual_seed(0))
        strength = 0.0 if self.is_lossless else (100 - quality) / 4
        pixels = (picture.pixels + strength * noise + self.bias).round().clamp(0, 255).byte()
        if subsampling == "420":
            pixels = pixels[1:2].expand(3, -1, -1)
        return struct.pack(">II", *pixels.shape[1:]) + pixels.numpy().tobytes()

    def decode(self, data: bytes) -> Decoded:
        height, width = struct.unpack(">II", data[:8])
        samples = bytearray(data[8 : 8 + 3 * height * width])
        return Decoded(torch.frombuffer(samples, dtype=torch.uint8).reshape(3, height, width))


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def sources(photo: torch.Tensor, count: int = 1) -> list[Source]:
    crops = [photo[:, 60 * at : 60 * at + 128, 150:290].contiguous() for at in range(count)]
    return [Source(b"", Picture(crop, "png")) for crop in crops]


def attempts(
    codec: Codec, given: list[Source], pool: ThreadPoolExecutor, **settings: object
) -> list[Attempt]:
    made = CodecBackend(codec, Config(**settings), CPU).attempt(given, pool)
    assert all(isinstance(each, Attempt) for each in made)
    return [each for each in made if isinstance(each, Attempt)]


@pytest.mark.parametrize("target", ["ssimulacra2=70", "psnr=34", "ssim=0.97"])
def test_every_picture_hits_the_target(target: str, photo: torch.Tensor, pool: ThreadPoolExecutor) -> None:
    name, value = target.split("=")
    tolerance = {"ssimulacra2": 0.5, "psnr": 0.1, "ssim": 0.002}[name]
    for attempt in attempts(Noise(samplings=("444",)), sources(photo, 3), pool, target=target):
        assert attempt.fault is None
        assert attempt.scores[name] == pytest.approx(float(value), abs=tolerance)
        assert attempt.settings["target"] == target
        assert 1 <= attempt.settings["encodes"] <= 8
        assert (attempt.format, attempt.settings["subsampling"]) == ("webp", "444")


def test_a_batch_searches_as_its_pictures_do_alone(photo: torch.Tensor, pool: ThreadPoolExecutor) -> None:
    given = sources(photo, 3)
    together = attempts(Noise(), given, pool, quality=80)
    alone = [attempts(Noise(), [each], pool, quality=80)[0] for each in given]
    assert [each.data for each in together] == [each.data for each in alone]
    assert [each.settings for each in together] == [each.settings for each in alone]


def test_a_fault_stays_with_its_picture(photo: torch.Tensor, pool: ThreadPoolExecutor) -> None:
    codec, given = Noise(), sources(photo, 3)
    codec.unlucky = given[1].picture.pixels
    first, second, third = CodecBackend(codec, Config(), CPU).attempt(given, pool)
    assert isinstance(first, Attempt) and isinstance(third, Attempt)
    assert isinstance(second, PictureError) and second.reason is Reason.INTERNAL_ERROR


def test_what_is_asked_for_is_not_changed(photo: torch.Tensor, pool: ThreadPoolExecutor) -> None:
    [attempt] = attempts(Noise(), sources(photo), pool, target="ssimulacra2=80", subsampling="420")
    assert attempt.fault is not None and attempt.fault.reason is Reason.TARGET_UNREACHABLE


def test_lossless_is_encoded_once(photo: torch.Tensor, pool: ThreadPoolExecutor) -> None:
    codec = Noise(lossless=True, samplings=("444",))
    [attempt] = attempts(codec, sources(photo), pool)
    assert len(codec.encoded) == 1 and attempt.must_equal
    assert torch.equal(attempt.decoded.pixels, sources(photo)[0].picture.pixels)


def test_metadata_are_stripped_and_the_mark_is_handed_over(
    photo: torch.Tensor, pool: ThreadPoolExecutor
) -> None:
    codec = Noise(samplings=("444",))
    [given] = sources(photo)
    given = replace(given, picture=replace(given.picture, metadata=Metadata(xmp=b"<x/>", icc=b"profile")))
    attempts(codec, [given], pool, max_encodes=1)
    attempts(codec, [given], pool, max_encodes=1, strip="all", mark=False)
    assert (codec.metadata[0].xmp, codec.metadata[0].icc) == (b"<x/>", b"profile")
    assert codec.metadata[1].xmp is None
    assert codec.marks[0] is not None and codec.marks[0].isascii() and codec.marks[1] is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_readers_would_not_turn_is_turned(
    orientation: int, photo: torch.Tensor, pool: ThreadPoolExecutor
) -> None:
    codec = Noise(lossless=True, samplings=("444",))
    [given] = sources(photo)
    exif = exif_edit.with_orientation(exif_edit.orientation_only(3), orientation)
    oriented = replace(given.picture, metadata=Metadata(exif=exif, orientation=orientation))
    image = Image.fromarray(oriented.pixels.permute(1, 2, 0).contiguous().numpy())
    image.getexif()[0x0112] = orientation
    seen = torch.from_numpy(np.array(ImageOps.exif_transpose(image))).permute(2, 0, 1)
    [attempt] = attempts(codec, [Source(b"", oriented)], pool)
    assert torch.equal(codec.decode(attempt.data).pixels, seen)
    assert torch.equal(attempt.decoded.pixels, oriented.pixels)
    assert codec.metadata[-1].orientation == exif_edit.orientation_of(codec.metadata[-1].exif) == 1
    # What was stored so in this very format looks to each reader as it did.
    [attempt] = attempts(codec, [Source(b"", replace(oriented, format="webp"))], pool)
    assert torch.equal(codec.decode(attempt.data).pixels, oriented.pixels)
    assert codec.metadata[-1].exif == exif


def test_what_is_left_out_is_told(photo: torch.Tensor, pool: ThreadPoolExecutor) -> None:
    [given] = sources(photo)
    [silent] = attempts(Noise(), [given], pool, max_encodes=1)
    film = Metadata(segments=((0xED, b"Photoshop 3.0"),), trailer=b"a film")
    given = replace(given, picture=replace(given.picture, metadata=film))
    [told] = attempts(Noise(), [given], pool, max_encodes=1)
    assert "left_out" not in silent.settings and told.settings["left_out"] == ["segments", "trailer"]
    [stripped] = attempts(Noise(), [given], pool, max_encodes=1, strip="all")
    assert "left_out" not in stripped.settings


@pytest.mark.parametrize(
    ("codec", "settings", "words"),
    [
        (Noise(samplings=("420",)), {"subsampling": "444"}, "subsampling: webp has 420, not 444"),
        (Noise(lossless=True), {"target": "ssimulacra2=80"}, "target: .* no quality"),
        (Noise(lossless=True), {"max_bytes": 1000}, "max_bytes: .* no quality"),
        (Noise(), {"max_encodes": 1, "target": "psnr=40"}, "target: .* max_encodes is 1"),
        (Noise(), {"target": "beauty=3"}, "target: "),
    ],
)
def test_settings_that_cannot_be(codec: Noise, settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        CodecBackend(codec, Config(**settings), CPU)


# In the compressor


def compressor(monkeypatch: pytest.MonkeyPatch, *codecs: Noise, **settings: object) -> Compressor:
    config = Config(device="cpu", **settings)
    made = Compressor(config)
    monkeypatch.setattr(made, "_backends", [CodecBackend(codec, config, CPU) for codec in codecs])
    return made


def png(photo: torch.Tensor) -> Source:
    buffer = io.BytesIO()
    Image.fromarray(photo[:, :128, 150:290].permute(1, 2, 0).contiguous().numpy()).save(
        buffer, "PNG", compress_level=0
    )
    return Source(buffer.getvalue() + bytes(4000), read_picture(buffer.getvalue()))


def test_the_smallest_that_meets_the_target_is_taken(
    photo: torch.Tensor, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small, poor = Noise(samplings=("444",)), Noise(samplings=("444",)), Noise(samplings=("420",))
    large.format, poor.format = "avif", "jpeg"
    encode = large.encode
    monkeypatch.setattr(large, "encode", lambda *given: encode(*given) + bytes(100))
    made = compressor(monkeypatch, large, small, poor, target="ssimulacra2=70")
    [outcome] = made.compress([png(photo)], pool)
    assert (outcome.status, outcome.reason, outcome.format) == ("recompressed", "smaller", "webp")
    costs = outcome.settings["costs"]
    assert costs == {"avif": len(outcome.data or b"") + 100, "webp": len(outcome.data or b"")}


def test_a_lossless_result_must_be_equal(
    photo: torch.Tensor, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = Noise(lossless=True, samplings=("444",))
    [outcome] = compressor(monkeypatch, codec).compress([png(photo)], pool)
    assert (outcome.status, outcome.scores["psnr"]) == ("recompressed", 100.0)
    codec.bias = 1
    [outcome] = compressor(monkeypatch, codec).compress([png(photo)], pool)
    assert (outcome.status, outcome.reason) == ("kept", "verify_refused")


def test_a_conversion_is_taken_all_the_same(
    photo: torch.Tensor, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = replace(png(photo), data=b"small")
    codec = Noise(samplings=("444",))
    [kept] = compressor(monkeypatch, codec).compress([given], pool)
    assert (kept.status, kept.reason, kept.data) == ("kept", "not_smaller", b"small")
    [converted] = compressor(monkeypatch, codec, convert=True).compress([given], pool)
    assert (converted.status, converted.reason, converted.format) == ("recompressed", "converted", "webp")
    same = replace(given, picture=replace(given.picture, format="webp"))
    [kept] = compressor(monkeypatch, codec, convert=True).compress([same], pool)
    assert (kept.status, kept.data) == ("kept", b"small")
    missing = Noise(samplings=("420",))
    [converted] = compressor(monkeypatch, missing, convert=True, target="ssimulacra2=95").compress(
        [given], pool
    )
    assert (converted.status, converted.reason) == ("recompressed", "target_unreachable")


def test_what_no_format_holds_is_kept(
    photo: torch.Tensor, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = png(photo)
    deep = replace(given, picture=replace(given.picture, bit_depth=16))
    [outcome] = compressor(monkeypatch, Noise(), convert=True).compress([deep], pool)
    assert (outcome.status, outcome.reason, outcome.data) == ("kept", "deep_color", given.data)
