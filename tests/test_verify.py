import io
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.config import Config, PerceptionConfig, VerificationConfig
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.image.picture import Decoded
from imgcompress.verify import Verdict, Verifier, decode_again

CPU = torch.device("cpu")


def jpeg(pixels: torch.Tensor, quality: int) -> bytes:
    buffer = io.BytesIO()
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(array[..., 0] if len(pixels) == 1 else array).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def crop(photo: torch.Tensor, height: int = 64, width: int = 80, left: int = 0) -> torch.Tensor:
    return photo[:, 100 : 100 + height, 100 + left : 100 + left + width].contiguous()


def coarse(pixels: torch.Tensor, quality: int = 50) -> torch.Tensor:
    return decode_again(jpeg(pixels, quality)).pixels


def judge(verifier: Verifier, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> list[Verdict]:
    """Of pictures without alpha."""
    return verifier.judge([Decoded(pixels) for pixels in before], [Decoded(pixels) for pixels in after])


def test_decoding_is_pillows(photo: torch.Tensor) -> None:
    for pixels in (crop(photo), crop(photo)[:1]):
        data = jpeg(pixels, 80)
        again, alpha = decode_again(data)
        assert alpha is None
        assert again.shape == pixels.shape and again.dtype == torch.uint8
        theirs = np.array(Image.open(io.BytesIO(data)))
        assert np.array_equal(again.permute(1, 2, 0).squeeze(2).numpy(), theirs)


@pytest.mark.parametrize("damage", ["cut", "words", "png"])
def test_what_does_not_decode_is_refused(damage: str, photo: torch.Tensor) -> None:
    data = jpeg(crop(photo), 80)
    png = io.BytesIO()
    Image.new("L", (4, 4)).save(png, "PNG")
    broken = {"cut": data[: len(data) // 2], "words": b"no picture", "png": png.getvalue()}[damage]
    with pytest.raises(PictureError) as caught:
        decode_again(broken)
    assert caught.value.reason is Reason.VERIFY_REFUSED


@pytest.mark.parametrize(
    ("mode", "names"), [("decode", ["psnr"]), ("ssim", ["psnr", "ssim"]), ("vgg", ["psnr", "vgg"])]
)
def test_modes_and_scores(mode: str, names: list[str], photo: torch.Tensor) -> None:
    verifier = Verifier(Config(verify=mode), CPU)
    assert verifier.mode == mode
    before = crop(photo)
    good, bad = judge(verifier, [before, before], [coarse(before, 90), coarse(before, 5)])
    assert list(good.scores) == names
    assert good.accepted
    assert good.scores["psnr"] > bad.scores["psnr"]
    if mode == "ssim":
        assert 1 > good.scores["ssim"] > bad.scores["ssim"] > 0
    if mode == "vgg":
        assert 0 < good.scores["vgg"] < bad.scores["vgg"]


def test_auto_measures_ssim_on_a_cpu_and_vgg_on_cuda(device: torch.device) -> None:
    assert Verifier(Config(), device).mode == ("vgg" if device.type == "cuda" else "ssim")


@pytest.mark.parametrize(
    ("mode", "floors"),
    [("ssim", VerificationConfig(min_ssim=1.0)), ("vgg", VerificationConfig(max_vgg=1e-6))],
)
def test_floors(mode: str, floors: VerificationConfig, photo: torch.Tensor) -> None:
    before = crop(photo)
    verifier = Verifier(Config(verify=mode, verification=floors), CPU)
    verdicts = judge(verifier, [before, before], [before, coarse(before, 90)])
    assert [verdict.accepted for verdict in verdicts] == [True, False]


def test_another_size_is_refused_unmeasured(photo: torch.Tensor) -> None:
    before = crop(photo)
    others = [before[:, :-1], before[:, :, :-1], before.transpose(1, 2).contiguous(), before]
    verdicts = judge(Verifier(Config(verify="decode"), CPU), [before] * 4, others)
    assert [verdict.accepted for verdict in verdicts] == [False, False, False, True]
    assert [bool(verdict.scores) for verdict in verdicts] == [False, False, False, True]


def test_lost_alpha_is_refused_and_lost_depth_measured(photo: torch.Tensor) -> None:
    before = crop(photo)
    sheer = torch.full((64, 80), 40, dtype=torch.uint8)
    deep = (before.int() * 257).to(torch.uint16)
    lost, kept, shallow = Verifier(Config(verify="ssim"), CPU).judge(
        [Decoded(before, sheer), Decoded(before, sheer), Decoded(deep)],
        [Decoded(before), Decoded(before, sheer), Decoded(coarse(before, 90))],
    )
    assert [verdict.accepted for verdict in (lost, kept, shallow)] == [False, True, True]
    assert 30 < shallow.scores["psnr"] < 50


def test_alpha_that_fewer_bits_round_away_is_not_lost(photo: torch.Tensor) -> None:
    before = crop(photo)
    deep = Decoded((before.int() * 257).to(torch.uint16), torch.full((64, 80), 65500).to(torch.uint16))
    shallow = Decoded(before, torch.full((64, 80), 254, dtype=torch.uint8))
    verdicts = Verifier(Config(verify="decode"), CPU).judge([deep, shallow], [Decoded(before)] * 2)
    assert [verdict.accepted for verdict in verdicts] == [True, False]


@pytest.mark.parametrize("mode", ["ssim", "vgg"])
def test_what_is_not_a_number_never_passes(
    mode: str, photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = crop(photo, 16, 16)
    verifier = Verifier(Config(verify=mode), CPU)
    nothing = torch.tensor([float("nan")])
    if mode == "ssim":
        monkeypatch.setattr("piq.ssim", lambda *_, **__: nothing)
    else:
        monkeypatch.setattr(verifier._measure, "_distance", lambda *_: nothing)
    (verdict,) = judge(verifier, [before], [before])
    assert not verdict.accepted
    assert verdict.scores[mode] != verdict.scores[mode]


@pytest.mark.parametrize("mode", ["ssim", "vgg"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (11, 200), (257, 265)])
def test_small_and_odd_sizes_in_gray_and_color(mode: str, size: tuple[int, int], photo: torch.Tensor) -> None:
    verifier = Verifier(Config(verify=mode), CPU)
    color = crop(photo, *size)
    same, gray, changed = judge(verifier, [color, color[:1], color], [color, color[:1], 255 - color])
    best = {"ssim": 1.0, "vgg": 0.0}[mode]
    assert same.scores[mode] == pytest.approx(best, abs=1e-4)
    assert gray.scores[mode] == pytest.approx(best, abs=1e-4)
    assert same.accepted and gray.accepted
    assert changed.scores["psnr"] < 25


def test_many_at_once_are_as_one_by_one(photo: torch.Tensor) -> None:
    before = [crop(photo), crop(photo, 48, 48), crop(photo, left=60), crop(photo)[:1], crop(photo, left=90)]
    after = [coarse(pixels, 40 + 10 * i) for i, pixels in enumerate(before)]
    together = judge(Verifier(Config(verify="ssim"), CPU), before, after)
    for verdict, one, other in zip(together, before, after, strict=True):
        (alone,) = judge(Verifier(Config(verify="ssim"), CPU), [one], [other])
        assert verdict.scores == pytest.approx(alone.scores, abs=2e-6)
    assert judge(Verifier(Config(verify="ssim"), CPU), [], []) == []


def test_a_missing_trunk_is_said_at_once(tmp_path) -> None:
    config = Config(verify="vgg", perception=PerceptionConfig(trunk=str(tmp_path / "trunk.safetensors")))
    with pytest.raises(UsageError, match=r"trunk\.safetensors"):
        Verifier(config, CPU)


def test_lost_colors_and_lost_alpha_are_refused(photo: torch.Tensor) -> None:
    verifier = Verifier(Config(verify="ssim"), CPU)
    pixels = crop(photo)
    gray, alpha = pixels[1:2], torch.full(pixels.shape[1:], 250, dtype=torch.uint8)
    pairs = [
        (Decoded(gray), Decoded(gray.expand(3, -1, -1))),
        (Decoded(gray.expand(3, -1, -1)), Decoded(gray)),
        (Decoded(pixels), Decoded(pixels, alpha)),
        (Decoded(pixels, alpha), Decoded(pixels)),
    ]
    verdicts = verifier.judge(*zip(*pairs, strict=True))
    assert [verdict.accepted for verdict in verdicts] == [True, False, True, False]
