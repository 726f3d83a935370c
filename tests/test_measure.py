import io

import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from imgcompress.config import Config, LimitsConfig
from imgcompress.errors import UsageError
from imgcompress.image import strips
from imgcompress.measure import Measure, psnr
from imgcompress.perception import tiles
from imgcompress.perception.ssimulacra2 import ssimulacra2
from imgcompress.verify import decode_again

CPU = torch.device("cpu")
ALL = ("psnr", "ssim", "ssimulacra2", "vgg")


def crop(photo: torch.Tensor, height: int = 64, width: int = 80, left: int = 0) -> torch.Tensor:
    return photo[:, 100 : 100 + height, 100 + left : 100 + left + width].contiguous()


def coarse(pixels: torch.Tensor, quality: int = 50) -> torch.Tensor:
    buffer = io.BytesIO()
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(array[..., 0] if len(pixels) == 1 else array).save(buffer, "JPEG", quality=quality)
    return decode_again(buffer.getvalue())


def test_psnr_is_that_of_another_library(photo: torch.Tensor) -> None:
    before = torch.stack([crop(photo), crop(photo, left=40)])
    after = torch.stack([coarse(crop(photo), 30), coarse(crop(photo, left=40), 80)])
    ours = psnr(before.float() / 255, after.float() / 255)
    for row in range(2):
        theirs = peak_signal_noise_ratio(before[row].numpy(), after[row].numpy())
        assert ours[row].item() == pytest.approx(theirs, abs=1e-3)
    assert psnr(before.float(), before.float()).tolist() == [100.0, 100.0]


def test_every_metric_prefers_less_damage(photo: torch.Tensor, device: torch.device) -> None:
    before = crop(photo)
    light, heavy = Measure(ALL, Config(), device).scores(
        [before, before], [coarse(before, 90), coarse(before, 10)]
    )
    assert tuple(light) == tuple(heavy) == ALL
    for name in ("psnr", "ssim", "ssimulacra2"):
        assert light[name] > heavy[name]
    assert 0 < light["vgg"] < heavy["vgg"]


def test_ssimulacra2_is_the_metrics_own(photo: torch.Tensor) -> None:
    before = crop(photo)
    after = coarse(before)
    (scores,) = Measure(["ssimulacra2"], Config(), CPU).scores([before], [after])
    own = ssimulacra2(before[None].float() / 255, after[None].float() / 255)
    assert scores == pytest.approx({"ssimulacra2": own.item()}, abs=1e-4)


def test_many_sizes_at_once_are_as_one_by_one_and_in_order(photo: torch.Tensor) -> None:
    before = [crop(photo), crop(photo, 48, 48), crop(photo, left=60), crop(photo)[:1], crop(photo, left=90)]
    after = [coarse(pixels, 40 + 10 * i) for i, pixels in enumerate(before)]
    metrics = ("psnr", "ssim", "ssimulacra2")
    alone = [Measure(metrics, Config(), CPU).scores([a], [b])[0] for a, b in zip(before, after, strict=True)]
    together = Measure(metrics, Config(), CPU).scores(before, after)
    one_each = Config(limits=LimitsConfig(batch_megapixels=0.001))
    apart = Measure(metrics, one_each, CPU).scores(before, after)
    for scores in (together, apart):
        for one, other in zip(scores, alone, strict=True):
            assert one == pytest.approx(other, abs=1e-3)
    assert Measure(metrics, Config(), CPU).scores([], []) == []


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (1, 200), (257, 265)])
def test_equal_pictures_of_any_size_have_the_best_scores(size: tuple[int, int], photo: torch.Tensor) -> None:
    color = crop(photo, *size)
    for scores in Measure(ALL, Config(), CPU).scores([color, color[:1]], [color, color[:1]]):
        assert scores == pytest.approx({"psnr": 100, "ssim": 1, "ssimulacra2": 100, "vgg": 0}, abs=1e-3)


@pytest.mark.parametrize("size", [(400, 600), (300, 17)])
def test_a_large_picture_is_measured_in_parts(
    size: tuple[int, int], photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = photo[:, : size[0], : size[1]].contiguous()
    after = coarse(before)
    metrics = ("psnr", "ssim", "ssimulacra2")
    (whole,) = Measure(metrics, Config(), CPU).scores([before], [after])
    monkeypatch.setattr(strips, "BLOCK_PIXELS", 20_000)
    monkeypatch.setattr(tiles, "TILE_PIXELS", 10_000)
    in_parts = Measure(metrics, Config(limits=LimitsConfig(tile_megapixels=0.001)), CPU)
    assert in_parts.scores([before], [after])[0] == pytest.approx(whole, rel=1e-5)


def test_another_size_is_not_measured(photo: torch.Tensor) -> None:
    before = crop(photo)
    others = [before[:, :-1], before[:, :, :-1], before[:1], before]
    scores = Measure(["psnr"], Config(), CPU).scores([before] * 4, others)
    assert scores == [{}, {}, {}, {"psnr": 100.0}]


def test_a_missing_trunk_is_said_at_once(tmp_path) -> None:
    config = Config()
    config = Config(perception=type(config.perception)(trunk=str(tmp_path / "trunk.safetensors")))
    with pytest.raises(UsageError, match=r"trunk\.safetensors"):
        Measure(["vgg"], config, CPU)
    Measure(["ssim"], config, CPU)
