"""16 bits a sample, and 10 and 12 of AVIF: read in full, as others write them and read them back."""

import io
import itertools
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def png(samples: np.ndarray, kind: int, interlaced: bool, *chunks: tuple[bytes, bytes]) -> bytes:
    """A 16-bit PNG by hand, after the standard."""
    height, width = samples.shape[:2]
    passes = [samples[top::down, left::right] for left, top, right, down in _ADAM7]
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes()
        for part in (passes if interlaced else [samples])
        if part.size
        for row in part
    )
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, interlaced)
    every = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in every
    )


def pixels_of(picture: Picture) -> np.ndarray:
    array: np.ndarray = picture.pixels.permute(1, 2, 0).numpy()
    return array


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("kind", [0, 2, 4, 6])
def test_png_of_every_kind(kind: int, interlaced: bool) -> None:
    channels = _CHANNELS[kind]
    meant = np.random.default_rng(0).integers(0, 65536, (19, 13, channels), dtype=np.uint16)
    said = (b"gAMA", struct.pack(">I", 45455)), (b"sBIT", bytes([12] * channels))
    for chunks in ((), said):
        picture = read_picture(png(meant, kind, interlaced, *chunks))
        assert picture.bit_depth == 16 and picture.keep is None
        colors = meant if channels in (1, 3) else meant[..., :-1]
        assert np.array_equal(pixels_of(picture), colors)
        assert (picture.alpha is None) == (channels in (1, 3))
        if picture.alpha is not None:
            assert np.array_equal(picture.alpha.numpy(), meant[..., -1])


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("kind", [0, 2])
def test_png_color_key_is_one_of_16_bits(kind: int, interlaced: bool) -> None:
    key = np.array([0x1234, 0x5678, 0x9ABC][: _CHANNELS[kind]], dtype=np.uint16)
    meant = np.broadcast_to(key, (6, 5, len(key))).copy()
    meant[0, 0, -1] ^= 0x0001
    meant[1, 1, 0] ^= 0x0100
    meant[2, 2] = key & 0xFF00
    meant[3, 3] = key >> 8
    picture = read_picture(png(meant, kind, interlaced, (b"tRNS", key.astype(">u2").tobytes())))
    assert np.array_equal(pixels_of(picture), meant)
    assert picture.alpha is not None
    alpha = picture.alpha.numpy()
    assert alpha.dtype == np.uint16 and np.array_equal(alpha == 0, (meant == key).all(-1))
    assert set(alpha.ravel().tolist()) == {0, 65535}


def tiff(samples: np.ndarray, byte_order: str, compression: str | None, planar: bool, **more: Any) -> bytes:
    channels = samples.shape[2] if samples.ndim == 3 else 1
    options: dict[str, Any] = {"photometric": "rgb" if channels >= 3 else "minisblack", "metadata": None}
    if channels > 1:
        options["planarconfig"] = "separate" if planar else "contig"
    if "tile" not in more:
        options["rowsperstrip"] = 10
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        samples.transpose(2, 0, 1) if planar and channels > 1 else samples,
        byteorder=byte_order,
        compression=compression,
        **options,
        **more,
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [(None, False), ("lzw", False), ("lzw", True), ("deflate", False), ("deflate", True), ("zstd", True)],
)
def test_tiff_of_every_layout(compression: str | None, predictor: bool) -> None:
    rng = np.random.default_rng(1)
    for order, tile, planar, channels in itertools.product(
        "<>", (None, (16, 32)), (False, True), (1, 2, 3, 4)
    ):
        meant = rng.integers(0, 65536, (37, 41, channels), dtype=np.uint16)
        more: dict[str, Any] = {} if tile is None else {"tile": tile}
        if predictor:
            more["predictor"] = True
        if channels in (2, 4):
            more["extrasamples"] = ["unassalpha"]
        picture = read_picture(
            tiff(meant[..., 0] if channels == 1 else meant, order, compression, planar, **more)
        )
        assert picture.bit_depth == 16 and picture.keep is None
        colors = meant if channels in (1, 3) else meant[..., :-1]
        assert np.array_equal(pixels_of(picture), colors)
        assert (picture.alpha is None) == (channels in (1, 3))
        if picture.alpha is not None:
            assert np.array_equal(picture.alpha.numpy(), meant[..., -1])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_tiff(channels: int, order: str) -> None:
    rng = np.random.default_rng(2)
    alpha = rng.integers(0, 65536, (37, 41, 1), dtype=np.uint16)
    alpha[:5] = 0
    stored = np.concatenate((rng.integers(0, 65536, (37, 41, channels - 1)), alpha), 2)
    stored[..., :-1] = np.minimum(stored[..., :-1], alpha)
    picture = read_picture(tiff(stored.astype(np.uint16), order, None, False, extrasamples=["assocalpha"]))
    assert picture.alpha is not None and np.array_equal(picture.alpha.numpy(), alpha[..., 0])
    straight = np.rint(stored[..., :-1] * 65535 / np.maximum(alpha, 1))
    assert np.abs(pixels_of(picture) - straight).max() <= 1
    assert (pixels_of(picture)[:5] == 0).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [10, 12])
def test_lossless_avif(depth: int, channels: int) -> None:
    most = (1 << depth) - 1
    meant = np.random.default_rng(3).integers(0, most + 1, (33, 47, channels), dtype=np.uint16)
    data = imagecodecs.avif_encode(meant[..., 0] if channels == 1 else meant, level=100, bitspersample=depth)
    picture = read_picture(data)
    assert picture.bit_depth == depth
    wide = np.rint(meant * (65535 / most)).astype(np.uint16)
    assert np.array_equal(pixels_of(picture), wide if channels in (1, 3) else wide[..., :-1])
    assert (picture.alpha is None) == (channels in (1, 3))
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha.numpy(), wide[..., -1])
