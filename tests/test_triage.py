import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from imgcompress.compressor import Compressor, Source
from imgcompress.config import Config, LoopConfig
from imgcompress.errors import Reason, UsageError
from imgcompress.forensics.crushed import find_crushing
from imgcompress.image.read import read_picture
from imgcompress.records import Status

FAST = {"max_encodes": 1, "loop": LoopConfig(rounds=0), "verify": "decode"}


def _jpeg(picture: np.ndarray, *qualities: int) -> bytes:
    for quality in qualities:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
        picture = np.array(Image.open(buffer))
    return buffer.getvalue()


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _outcome(source: bytes, **settings: object):  # type: ignore[no-untyped-def]
    config = Config(device="cpu", **(FAST | settings))  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as pool:
        return Compressor(config).compress([Source(source, read_picture(source))], pool)[0]


@pytest.mark.parametrize("qualities", [(20,), (15, 92)])
def test_a_crushed_jpeg_loses_no_more(qualities: tuple[int, ...]) -> None:
    source = _jpeg(data.coffee(), *qualities)
    outcome = _outcome(source, quality=30)
    assert (outcome.status, outcome.reason) == (Status.OPTIMIZED, Reason.CRUSHED)
    assert outcome.error is not None
    assert str(qualities[0]) in outcome.error
    assert outcome.data is not None
    assert len(outcome.data) < len(source)
    assert torch.equal(read_picture(outcome.data).pixels, read_picture(source).pixels)


@pytest.mark.parametrize("settings", [{"crushed": "recompress"}, {"convert": True, "format": "webp"}])
def test_what_was_asked_for_goes_before_sparing_it(settings: dict[str, object]) -> None:
    assert _outcome(_jpeg(data.coffee(), 20), quality=5, **settings).status is Status.RECOMPRESSED


def test_a_limit_of_bytes_goes_before_sparing_it() -> None:
    source = _jpeg(data.coffee(), 20)
    outcome = _outcome(source, max_encodes=8, max_bytes=len(source) // 2)
    assert outcome.reason is not Reason.CRUSHED
    assert outcome.data is not None
    assert len(outcome.data) <= len(source) // 2


@pytest.mark.parametrize("qualities", [(90,), (60, 92)])
def test_others_are_compressed_as_ever(qualities: tuple[int, ...]) -> None:
    assert _outcome(_jpeg(data.coffee(), *qualities), quality=30).status is Status.RECOMPRESSED


@pytest.mark.parametrize("quality", [50, 75, 92])
def test_drawn_patterns_are_not_taken_for_crushed_pictures(quality: int) -> None:
    y, x = np.mgrid[:256, :256]
    chessboard = ((x // 5 + y // 5) % 2 * 255).astype(np.uint8)
    waves = (127 + 100 * np.sin(x * np.pi / 8)).astype(np.uint8)
    for drawn in (chessboard, waves, data.checkerboard()):
        jpeg = read_picture(_jpeg(drawn, quality)).jpeg
        assert jpeg is not None
        assert find_crushing(jpeg) is None


def test_pictures_below_a_score_are_left_alone() -> None:
    good, bad = _png(data.coffee()), _png(np.array(Image.open(io.BytesIO(_jpeg(data.coffee(), 8)))))
    spared = _outcome(bad, skip_below=30.0)
    assert (spared.status, spared.reason) == (Status.KEPT, Reason.BELOW_SCORE)
    assert spared.data == bad
    assert spared.error is not None
    assert "below 30" in spared.error
    assert _outcome(good, skip_below=30.0).status is Status.RECOMPRESSED
    assert _outcome(bad).status is Status.RECOMPRESSED


def test_a_jpeg_below_a_score_is_optimized_without_loss() -> None:
    source = _jpeg(data.coffee(), 40)
    outcome = _outcome(source, skip_below=99.0)
    assert (outcome.status, outcome.reason) == (Status.OPTIMIZED, Reason.BELOW_SCORE)
    assert torch.equal(read_picture(outcome.data).pixels, read_picture(source).pixels)


def test_a_score_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="skip_below"):
        Config(skip_below=101.0)
