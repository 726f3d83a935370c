import io
from collections.abc import Sequence

import numpy as np
import piq
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from imgcompress.config import Config, LimitsConfig
from imgcompress.errors import UsageError
from imgcompress.image.picture import Decoded
from imgcompress.measure import BACKGROUNDS, LOWER_IS_BETTER, WINDOWED, Measure
from imgcompress.perception import tiles, window_grid
from imgcompress.perception.pixel_error import psnr
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
    return decode_again(buffer.getvalue()).pixels


def scores(
    measure: Measure, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]
) -> list[dict[str, float]]:
    """Of pictures without alpha."""
    return measure.scores([Decoded(pixels) for pixels in before], [Decoded(pixels) for pixels in after])


def deep(pixels: torch.Tensor) -> torch.Tensor:
    """The same picture in 16 bits."""
    return (pixels.int() * 257).to(torch.uint16)


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
    measure = Measure(ALL, Config(), device)
    light, heavy = scores(measure, [before, before], [coarse(before, 90), coarse(before, 10)])
    assert tuple(light) == tuple(heavy) == ALL
    for name in ("psnr", "ssim", "ssimulacra2"):
        assert light[name] > heavy[name]
    assert 0 < light["vgg"] < heavy["vgg"]


def test_ssimulacra2_is_the_metrics_own(photo: torch.Tensor) -> None:
    before = crop(photo)
    after = coarse(before)
    (found,) = scores(Measure(["ssimulacra2"], Config(), CPU), [before], [after])
    own = ssimulacra2(before[None].float() / 255, after[None].float() / 255)
    assert found == pytest.approx({"ssimulacra2": own.item()}, abs=1e-4)


def test_many_sizes_at_once_are_as_one_by_one_and_in_order(photo: torch.Tensor) -> None:
    before = [crop(photo), crop(photo, 48, 48), crop(photo, left=60), crop(photo)[:1], crop(photo, left=90)]
    after = [coarse(pixels, 40 + 10 * i) for i, pixels in enumerate(before)]
    metrics = ("psnr", "ssim", "ssimulacra2")
    measure = Measure(metrics, Config(), CPU)
    alone = [scores(measure, [a], [b])[0] for a, b in zip(before, after, strict=True)]
    together = scores(measure, before, after)
    one_each = Config(limits=LimitsConfig(batch_megapixels=0.001))
    apart = scores(Measure(metrics, one_each, CPU), before, after)
    for found in (together, apart):
        for one, other in zip(found, alone, strict=True):
            assert one == pytest.approx(other, abs=1e-3)
    assert scores(measure, [], []) == []


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (1, 200), (257, 265)])
def test_equal_pictures_of_any_size_have_the_best_scores(size: tuple[int, int], photo: torch.Tensor) -> None:
    color = crop(photo, *size)
    pictures = [color, color[:1], deep(color), deep(color)[:1]]
    for found in scores(Measure(ALL, Config(), CPU), pictures, pictures):
        assert found == pytest.approx({"psnr": 100, "ssim": 1, "ssimulacra2": 100, "vgg": 0}, abs=1e-3)


@pytest.mark.parametrize("size", [(400, 600), (300, 17)])
def test_a_large_picture_is_measured_in_parts(
    size: tuple[int, int], photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = photo[:, : size[0], : size[1]].contiguous()
    after = coarse(before)
    metrics = ("psnr", "ssim", "ssimulacra2")
    (whole,) = scores(Measure(metrics, Config(), CPU), [before], [after])
    monkeypatch.setattr(window_grid, "STRIP_PIXELS", 20_000)
    monkeypatch.setattr(tiles, "TILE_PIXELS", 10_000)
    in_parts = Measure(metrics, Config(limits=LimitsConfig(tile_megapixels=0.001)), CPU)
    for left, right in ((before, after), (deep(before), deep(after)), (deep(before), after)):
        assert scores(in_parts, [left], [right])[0] == pytest.approx(whole, rel=1e-5)


def test_another_size_is_not_measured(photo: torch.Tensor) -> None:
    before = crop(photo)
    others = [before[:, :-1], before[:, :, :-1], before]
    found = scores(Measure(["psnr"], Config(), CPU), [before] * 3, others)
    assert found == [{}, {}, {"psnr": 100.0}]


# Deep color, gray, alpha


def test_a_picture_is_itself_at_another_depth(photo: torch.Tensor, device: torch.device) -> None:
    before, after = crop(photo), coarse(crop(photo))
    measure = Measure(ALL, Config(), device)
    shallow = scores(measure, [before], [after])[0]
    lefts, rights = [deep(before), before, deep(before)], [deep(after), deep(after), after]
    for found in scores(measure, lefts, rights):
        assert found == pytest.approx(shallow, rel=1e-5)


@pytest.mark.parametrize("tile_megapixels", [3.0, 0.001])
def test_deep_psnr_is_that_of_another_library(tile_megapixels: float, photo: torch.Tensor) -> None:
    rng = np.random.default_rng(0)
    meant = rng.integers(0, 65536, (3, 40, 50)).astype(np.uint16)
    found = np.clip(meant + rng.integers(-9, 10, meant.shape), 0, 65535).astype(np.uint16)
    measure = Measure(["psnr"], Config(limits=LimitsConfig(tile_megapixels=tile_megapixels)), CPU)
    ours = scores(measure, [torch.from_numpy(meant)], [torch.from_numpy(found)])[0]["psnr"]
    assert ours == pytest.approx(peak_signal_noise_ratio(meant, found, data_range=65535), abs=1e-3)
    assert 80 < ours < 85  # finer than any 8-bit file can be told to be


def test_half_a_level_of_8_bits_counts(photo: torch.Tensor) -> None:
    before = deep(crop(photo)).int().clamp(max=65000)
    after = (before + 128).to(torch.uint16)
    (found,) = scores(Measure(ALL, Config(), CPU), [before.to(torch.uint16)], [after])
    assert found["psnr"] == pytest.approx(20 * np.log10(65535 / 128), abs=1e-3)
    assert found["ssimulacra2"] < 100 and found["vgg"] > 0


def test_gray_is_compared_with_color_as_rgb(photo: torch.Tensor) -> None:
    gray = crop(photo)[1:2]
    color = gray.repeat(3, 1, 1)
    measure = Measure(ALL, Config(), CPU)
    after = coarse(gray)
    alone = scores(measure, [gray], [after])[0]
    for found in scores(measure, [gray, color], [after.repeat(3, 1, 1), after]):
        assert found == pytest.approx(alone, rel=1e-4)
    assert scores(measure, [crop(photo)], [gray])[0]["psnr"] < 30


def seen_by_pillow(picture: Decoded, level: float) -> torch.Tensor:
    rgba = torch.cat((picture.pixels, picture.alpha[None])).permute(1, 2, 0).contiguous().numpy()
    ground = Image.new("RGBA", rgba.shape[1::-1], (round(255 * level),) * 3 + (255,))
    seen = Image.alpha_composite(ground, Image.fromarray(rgba, "RGBA")).convert("RGB")
    return torch.from_numpy(np.array(seen)).permute(2, 0, 1).contiguous()


@pytest.mark.parametrize("tile_megapixels", [3.0, 0.001])
def test_alpha_shows_the_worse_of_what_another_library_blends(
    tile_megapixels: float, photo: torch.Tensor, device: torch.device
) -> None:
    before = Decoded(crop(photo), crop(photo, left=200)[0])
    after = Decoded(coarse(crop(photo), 30), coarse(crop(photo, left=200)[:1], 30)[0])
    measure = Measure(ALL, Config(limits=LimitsConfig(tile_megapixels=tile_megapixels)), device)
    (found,) = measure.scores([before], [after])
    dark, light = (
        scores(measure, [seen_by_pillow(before, level)], [seen_by_pillow(after, level)])[0]
        for level in BACKGROUNDS
    )
    for name in ALL:
        worse = (max if name == "vgg" else min)(dark[name], light[name])
        # Pillow rounds what it blends, and the grays themselves, to 8 bits.
        assert found[name] == pytest.approx(worse, rel=0.02), name
    assert abs(dark["psnr"] - light["psnr"]) > 0.1  # so that it matters which one is taken


def test_deep_alpha_is_blended_in_all_its_bits(photo: torch.Tensor) -> None:
    pixels, shares = deep(crop(photo)), crop(photo, left=200)[0].int() * 257
    before = Decoded(pixels, shares.clamp(max=65000).to(torch.uint16))
    after = Decoded(pixels, (shares.clamp(max=65000) + 100).to(torch.uint16))
    for tile_megapixels in (3.0, 0.001):
        measure = Measure(["psnr"], Config(limits=LimitsConfig(tile_megapixels=tile_megapixels)), CPU)
        (found,) = measure.scores([before], [after])
        errors = [100 / 65535 * (crop(photo).double() / 255 - level) for level in BACKGROUNDS]
        expected = min(-10 * error.square().mean().log10().item() for error in errors)
        assert found["psnr"] == pytest.approx(expected, abs=0.02)


def test_what_nobody_sees_does_not_count_and_lost_alpha_does(photo: torch.Tensor) -> None:
    opaque = torch.full((64, 80), 255, dtype=torch.uint8)
    hidden = torch.zeros_like(opaque)
    measure = Measure(ALL, Config(), CPU)
    before, after = crop(photo), coarse(crop(photo))
    same, unseen, gone = measure.scores(
        [Decoded(before, opaque), Decoded(before, hidden), Decoded(before, hidden)],
        [Decoded(after), Decoded(after, hidden), Decoded(before)],
    )
    assert same == pytest.approx(scores(measure, [before], [after])[0], rel=1e-4)
    assert unseen == pytest.approx({"psnr": 100, "ssim": 1, "ssimulacra2": 100, "vgg": 0}, abs=1e-3)
    assert gone["psnr"] < 10 and gone["ssimulacra2"] < 0
    # A transparent dark square that the result lost shows over the light background alone.
    dark = torch.full((3, 64, 80), 26, dtype=torch.uint8)
    hole = opaque.clone()
    hole[10:40, 10:40] = 0
    (found,) = measure.scores([Decoded(dark, hole)], [Decoded(dark)])
    light = torch.where(hole[None] == 0, 230, dark).to(torch.uint8)
    over_light = scores(measure, [light], [dark])[0]["ssimulacra2"]
    assert found["ssimulacra2"] == pytest.approx(over_light, rel=0.01)  # 230 is not quite .9
    assert found["ssimulacra2"] < 50


@pytest.mark.parametrize("bad", ["dark", "light"])
def test_what_is_no_number_over_either_background_is_none(bad: str, photo: torch.Tensor) -> None:
    values = iter([float("nan"), 0.5] if bad == "dark" else [0.5, float("nan")])
    measure = Measure(["vgg"], Config(), CPU, lambda a, b: torch.tensor([next(values)]))
    picture = Decoded(crop(photo), crop(photo)[0])
    assert np.isnan(measure.scores([picture], [picture])[0]["vgg"])


def test_a_given_distance_is_taken(photo: torch.Tensor, tmp_path) -> None:
    config = Config()
    config = Config(perception=type(config.perception)(trunk=str(tmp_path / "trunk.safetensors")))
    seen = []

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.append((a, b))
        return (a - b).abs().mean((1, 2, 3))

    before, after = crop(photo), coarse(crop(photo))
    (found,) = scores(Measure(["vgg"], config, CPU, distance), [deep(before)[:1]], [after[:1]])
    ((a, b),) = seen
    assert a.shape == b.shape == (1, 3, 64, 80) and a.dtype == b.dtype == torch.float32
    assert found["vgg"] == pytest.approx((before[0].float() - after[0].float()).abs().mean().item() / 255)


def test_a_missing_trunk_is_said_at_once(tmp_path) -> None:
    config = Config()
    config = Config(perception=type(config.perception)(trunk=str(tmp_path / "trunk.safetensors")))
    with pytest.raises(UsageError, match=r"trunk\.safetensors"):
        Measure(["vgg"], config, CPU)
    Measure(["ssim"], config, CPU)


# The other metrics


def test_multi_scale_ssim_is_piqs_and_small_pictures_repeat_their_edges(photo: torch.Tensor) -> None:
    measure = Measure(["ms_ssim"], Config(), CPU)
    for size in ((170, 200), (40, 200), (1, 1)):
        before, after = crop(photo, *size), coarse(crop(photo, *size), 20)
        (found,) = scores(measure, [before], [after])
        below, right = max(0, 161 - size[0]), max(0, 161 - size[1])
        padded = [
            torch.from_numpy(np.pad(picture.numpy(), ((0, 0), (0, below), (0, right)), "edge"))
            for picture in (before, after)
        ]
        expected = piq.multi_scale_ssim(*(picture[None].float() / 255 for picture in padded)).item()
        assert found["ms_ssim"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("tile_megapixels", [3.0, 0.001])
def test_the_largest_error_is_exact(
    tile_megapixels: float, photo: torch.Tensor, device: torch.device
) -> None:
    measure = Measure(["max_error"], Config(limits=LimitsConfig(tile_megapixels=tile_megapixels)), device)
    before = crop(photo)
    for levels in range(1, 256, 23):
        after = before.clone()
        after[1, 30, 40] = (int(before[1, 30, 40]) + levels) % 256
        expected = abs(int(after[1, 30, 40]) - int(before[1, 30, 40]))
        pairs = [(before, after), (deep(before), deep(after)), (deep(before), after)]
        found = scores(measure, *zip(*pairs, strict=True))
        assert found == [{"max_error": expected}] * 3
    same = scores(measure, [before, deep(before), before], [before, deep(before), deep(before)])
    assert same == [{"max_error": 0.0}] * 3
    finest = deep(before).int()
    finest[0, 0, 0] += 1 if finest[0, 0, 0] == 0 else -1
    (found,) = scores(measure, [deep(before)], [finest.to(torch.uint16)])
    assert found["max_error"] == pytest.approx(1 / 257, abs=5e-5)


def test_lower_is_better_for_distances_alone() -> None:
    assert {"vgg", "max_error"} == LOWER_IS_BETTER


def test_every_background_counts(photo: torch.Tensor) -> None:
    # A mid gray that is lost shows over black and white, and is all that does not show over itself.
    before = Decoded(torch.full((3, 40, 40), 128, dtype=torch.uint8))
    after = Decoded(before.pixels, torch.zeros(40, 40, dtype=torch.uint8))
    by_level = {}
    for backgrounds in ((128 / 255,), (0.9,), (128 / 255, 0.9)):
        measure = Measure(["psnr", "max_error"], Config(), CPU, backgrounds=backgrounds)
        (by_level[backgrounds],) = measure.scores([before], [after])
    assert by_level[128 / 255,] == {"psnr": 100.0, "max_error": 0.0}
    assert by_level[0.9,] == by_level[128 / 255, 0.9]
    assert by_level[0.9,]["max_error"] == pytest.approx(0.9 * 255 - 128, abs=1e-3)


# Windows


def test_windows_are_of_the_pair_they_stand_for(photo: torch.Tensor, device: torch.device) -> None:
    before = [crop(photo), crop(photo, 100, 130), crop(photo)[:1], crop(photo)]
    after = [coarse(before[0], 20), coarse(before[1]), coarse(before[2]), crop(photo, 64, 70)]
    measure = Measure(ALL, Config(), device)
    pairs = [Decoded(p) for p in before], [Decoded(p) for p in after]
    found = measure.windows(WINDOWED, *pairs, side=64, stride=32)
    assert [tuple(maps) for maps in found] == [WINDOWED] * 3 + [()]
    for maps, pixels in zip(found, before[:3], strict=False):
        for window_map in maps.values():
            assert (window_map.height, window_map.width) == tuple(pixels.shape[1:])
            assert window_map.values.shape == ((1, 2) if pixels.shape[1] == 64 else (3, 4))
            assert window_map.values.device.type == "cpu"
    errors = (before[1][:, 64:, 32:96].float() - after[1][:, 64:, 32:96].float()) / 255
    assert found[1]["psnr"].values[2, 1].item() == pytest.approx(
        -10 * errors.square().mean().log10().item(), abs=1e-3
    )


def test_windows_show_the_worst_of_all_backgrounds(photo: torch.Tensor) -> None:
    before = Decoded(crop(photo, 128, 128), crop(photo, 128, 128, left=200)[0])
    after = Decoded(coarse(before.pixels, 30), coarse(before.alpha[None], 30)[0])
    levels = (0.1, 0.5, 0.9)
    (found,) = Measure(ALL, Config(), CPU, backgrounds=levels).windows(WINDOWED, [before], [after])
    each = [
        Measure(ALL, Config(), CPU, backgrounds=(level,)).windows(WINDOWED, [before], [after])[0]
        for level in levels
    ]
    for name in WINDOWED:
        worse = (np.max if name == "vgg" else np.min)([maps[name].values.numpy() for maps in each], 0)
        np.testing.assert_array_equal(found[name].values.numpy(), worse)


def test_windows_of_large_pictures_are_the_same(photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    before = crop(photo, 200, 150)
    after = coarse(before)
    names = ("psnr", "ssim", "ssimulacra2")
    (whole,) = Measure(names, Config(), CPU).windows(names, [Decoded(before)], [Decoded(after)], 16, 8)
    monkeypatch.setattr(window_grid, "STRIP_PIXELS", 1)
    in_parts = Measure(names, Config(limits=LimitsConfig(tile_megapixels=0.001)), CPU)
    (found,) = in_parts.windows(names, [Decoded(deep(before))], [Decoded(after)], 16, 8)
    for name in names:
        torch.testing.assert_close(found[name].values, whole[name].values, rtol=1e-4, atol=1e-4)
