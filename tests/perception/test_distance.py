import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F  # noqa: N812

from imgcompress.config import PerceptionConfig
from imgcompress.perception import distance as module
from imgcompress.perception.distance import PerceptualDistance, load_distance, prepare
from imgcompress.perception.normalization import LAYER_SCALES, channel_means
from imgcompress.perception.ssimulacra2 import Ssimulacra2Reference
from imgcompress.perception.vgg import TAP_CHANNELS, VggFeatures, load_trunk
from imgcompress.resources import default_trunk

FORMS: dict[str, dict[str, Any]] = {
    "unit": {},
    "divisive": {"normalization": "divisive"},
    "none": {"normalization": "none"},
    "mixed": {"scaled_l2": 0.25, "pooling": 3.5},
    "combined": {"scaled_l2": 0.25, "pooling": 1.5, "ssimulacra2": 0.4},
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture(scope="module")
def trunk() -> VggFeatures:
    return load_trunk(default_trunk())


@pytest.fixture(scope="module")
def metric(trunk: VggFeatures) -> PerceptualDistance:
    return PerceptualDistance(trunk)


def crop(photo: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return photo[None, :, 100 : 100 + height, 180 : 180 + width].float() / 255


def as_jpeg(rgb: torch.Tensor, quality: int) -> torch.Tensor:
    file = io.BytesIO()
    Image.fromarray((rgb[0] * 255).byte().permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)[None].float() / 255


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(8))


def test_the_formula(trunk: VggFeatures, metric: PerceptualDistance, photo: torch.Tensor):
    a = crop(photo, 32, 48)
    b = as_jpeg(a, 30)
    expected = 0.0
    for weight, scale, tap_a, tap_b in zip(
        (0.3, 0.5, 0.2), LAYER_SCALES["unit"][1], trunk(a), trunk(b), strict=True
    ):
        # The squared distance of unit vectors is 2 - 2 cos.
        expected += weight / scale * float((2 - 2 * F.cosine_similarity(tap_a, tap_b, dim=1)).mean())
    assert metric(a, b).item() == pytest.approx(expected, rel=1e-4)


@forms
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (57, 66)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_zero_for_equal_positive_else_and_symmetric_without_ssimulacra2(
    size: tuple[int, int], scale: float, form: dict[str, Any], device: torch.device
):
    metric = PerceptualDistance(load_trunk(default_trunk(), device), scale=scale, **form)
    a, b = noise(2, 3, *size).to(device), noise(3, 3, *size)[1:].to(device)
    assert torch.equal(metric(a, a), torch.zeros(2, device=device))
    there, back = metric(a, b), metric(b, a)
    assert (there > 0).all()
    if "ssimulacra2" in form:
        torch.testing.assert_close(there, back, rtol=0.5, atol=0)
    else:
        assert torch.equal(there, back)


@forms
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_grows_with_compression(scale: float, form: dict[str, Any], trunk: VggFeatures, photo: torch.Tensor):
    a = crop(photo, 64, 96)
    metric = PerceptualDistance(trunk, scale=scale, **form)
    results = torch.cat([as_jpeg(a, quality) for quality in (95, 75, 40, 10)])
    ladder = metric(a.expand_as(results), results).tolist()
    assert ladder == sorted(ladder)
    assert ladder[0] > 0


@pytest.mark.shared
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_default_falls_with_quality_on_photographs(scale: float, shared: Path):
    metric = load_distance(PerceptionConfig(cpu_scale=scale), torch.device("cpu"))
    side = round(80 / scale)
    rises: list[bool] = []
    for path in sorted((shared / "photos/kodak").glob("*.png")):
        with Image.open(path) as image:
            pixels = np.array(image.crop((200, 200, 200 + side, 200 + side)))
        a = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        ladder = torch.cat([as_jpeg(a, quality) for quality in range(10, 96, 5)])
        values = metric(a.expand_as(ladder), ladder).tolist()
        rises += [low > high for low, high in pairwise(values)]
    assert len(rises) == 24 * 17
    assert np.mean(rises) >= 0.99


@pytest.mark.shared
def test_falls_with_quality_on_photographs(trunk: VggFeatures, shared: Path):
    steps: dict[str, list[bool]] = {name: [] for name in ("unit", "divisive", "none")}
    for number in (2, 8, 13, 15, 20, 23):
        with Image.open(shared / f"photos/kodak/kodim{number:02}.png") as image:
            pixels = np.array(image.crop((320, 200, 416, 296)))
        a = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        ladder = [trunk(prepare(as_jpeg(a, quality))) for quality in range(10, 96, 5)]
        original = trunk(prepare(a))
        for name, found in steps.items():
            values = [total(channel_means(original, taps, name), name) for taps in ladder]
            found += [low > high for low, high in pairwise(values)]
    for found in steps.values():
        assert len(found) == 6 * 17
        assert np.mean(found) >= 0.99


def total(means: tuple[torch.Tensor, ...], form: str) -> float:
    """The distance with equal channels and the default layer weights."""
    terms = zip((0.3, 0.5, 0.2), LAYER_SCALES[form][1], means, strict=True)
    return sum(weight / scale * channels.sum().item() for weight, scale, channels in terms)


def test_bfloat16_trunk_gives_about_the_same(metric: PerceptualDistance, photo: torch.Tensor):
    a = crop(photo, 64, 96)
    b = as_jpeg(a, 30)
    coarse = PerceptualDistance(load_trunk(default_trunk(), dtype=torch.bfloat16))(a, b)
    assert coarse.dtype == torch.float32
    assert coarse.item() == pytest.approx(metric(a, b).item(), rel=0.03)


@forms
def test_a_batch_is_its_pairs_one_by_one(form: dict[str, Any], trunk: VggFeatures):
    metric = PerceptualDistance(trunk, **form)
    a, b = noise(3, 3, 24, 33), noise(4, 3, 24, 33)[1:]
    alone = torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(metric(a, b), alone, rtol=1e-4, atol=1e-6)


def test_the_map_averages_to_the_distance_and_shows_the_place(metric: PerceptualDistance):
    a = torch.full((1, 3, 128, 160), 0.5)
    b = a.clone()
    b[..., 64:72, 96:104] = noise(1, 3, 8, 8)
    blocks = metric.distance_map(a, b)
    assert blocks.shape == (1, 16, 20)
    torch.testing.assert_close(blocks.mean((1, 2)), metric(a, b))
    assert divmod(int(blocks.argmax()), 20) == (8, 12)
    # Beyond the receptive field nothing has changed.
    assert blocks[0, 0, 0] == 0


def test_pooling_is_the_power_mean_of_the_map(trunk: VggFeatures):
    a, b = noise(2, 3, 40, 57), noise(3, 3, 40, 57)[1:]
    b[0, :, :, 20:] = a[0, :, :, 20:]
    blocks = PerceptualDistance(trunk).distance_map(a, b)
    for exponent in (1.0, 1.5, 4.0):
        pooled = PerceptualDistance(trunk, pooling=exponent)
        assert torch.equal(pooled.distance_map(a, b), blocks)
        expected = blocks.double().pow(exponent).mean((1, 2)).pow(1 / exponent)
        torch.testing.assert_close(pooled(a, b).double(), expected, rtol=1e-5, atol=0)


def test_the_power_mean_neither_over_nor_underflows():
    values = torch.tensor([[[1e-20, 2e-20]], [[1e10, 0.0]], [[0.0, 0.0]]], requires_grad=True)
    pooled = module._power_mean(values, 8.0)
    expected = [((1 + 2**8) / 2) ** (1 / 8) * 1e-20, 0.5 ** (1 / 8) * 1e10, 0.0]
    assert pooled.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-28)
    pooled.sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()
    # d/dx of (mean of x^p)^(1/p) = x^(p-1) / n * mean^(1/p-1)
    assert values.grad[1, 0].tolist() == pytest.approx([0.5 ** (1 / 8), 0.0])


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_mixture_is_a_geometric_mean(scale: float, trunk: VggFeatures, photo: torch.Tensor):
    a = crop(photo, 70, 90).expand(2, -1, -1, -1)
    b = torch.cat([as_jpeg(a[:1], 30), noise(1, 3, 70, 90)])
    vgg = PerceptualDistance(trunk, pooling=1.5, scale=scale)
    mixed = PerceptualDistance(trunk, pooling=1.5, ssimulacra2=0.4, scale=scale)
    errors = Ssimulacra2Reference(a, aligned=True).distance(b) / module.SSIMULACRA2_SCALE
    torch.testing.assert_close(mixed(a, b), vgg(a, b) ** 0.6 * errors**0.4)
    blocks, places = mixed.distance_map(a, b), vgg.distance_map(a, b)
    torch.testing.assert_close(blocks.pow(1.5).mean((1, 2)).pow(1 / 1.5), mixed(a, b))
    torch.testing.assert_close(blocks / blocks.sum((1, 2), True), places / places.sum((1, 2), True))


@pytest.mark.parametrize("shrink", [1, 2])
@pytest.mark.parametrize("normalization", ["unit", "divisive", "none"])
def test_the_distance_is_what_its_channels_add(
    normalization: str, shrink: int, trunk: VggFeatures, photo: torch.Tensor
):
    rgb = crop(photo, 61, 83)
    a = torch.cat([rgb, rgb.flip(3)])
    b = torch.cat([as_jpeg(rgb, 30), noise(*rgb.shape)])
    logits = [3 * noise(channels) for channels in TAP_CHANNELS]
    layer_weights, share = (0.1, 0.6, 1.1), 0.3
    metric = PerceptualDistance(
        trunk,
        layer_weights,
        logits,
        normalization=normalization,
        scaled_l2=share,
        scale=1 / shrink,
    )
    taps = [trunk(prepare(picture, shrink)) for picture in (a, b)]
    expected = torch.zeros(2)
    for layer, (means, plain) in enumerate(
        zip(channel_means(*taps, normalization), channel_means(*taps, "none"), strict=True)
    ):
        weights = TAP_CHANNELS[layer] * logits[layer].softmax(0)
        own = (1 - share) / LAYER_SCALES[normalization][shrink][layer] * (weights * means).sum(1)
        other = share / LAYER_SCALES["none"][shrink][layer] * plain.sum(1)
        expected += layer_weights[layer] * (own + other)
    torch.testing.assert_close(metric(a, b), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("size", "mode"),
    [((7, 13), torch.no_grad), ((-80, 256), torch.inference_mode), ((246, -83), torch.no_grad)],
)
@pytest.mark.parametrize("name", ["unit", "divisive", "mixed"])
def test_tiles_give_the_untiled_map(
    size: tuple[int, int],
    mode: type[torch.no_grad] | type[torch.inference_mode],
    name: str,
    device: torch.device,
):
    trunk = load_trunk(default_trunk(), device)
    whole = PerceptualDistance(trunk, **FORMS[name])
    side = 3 * whole.overlap
    tiled = PerceptualDistance(trunk, max_tile_pixels=side**2, **FORMS[name])
    height, width = (side + more for more in size)
    a, b = noise(1, 3, height, width).to(device), noise(2, 3, height, width)[1:].to(device)
    a = F.avg_pool2d(a, 9, 1, 4)
    b = a + 0.05 * b
    with mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = whole.distance_map(a, b)
        torch.testing.assert_close(tiled.distance_map(a, b), expected, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(tiled(a, b), whole(a, b), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("form", [FORMS["unit"], FORMS["mixed"]], ids=["unit", "mixed"])
def test_tiles_give_the_untiled_gradient(form: dict[str, Any], trunk: VggFeatures):
    a = F.avg_pool2d(noise(1, 3, 64, 400), 9, 1, 4)
    b = noise(2, 3, 64, 400)[1:] * 0.1 + a
    gradients = []
    for pixels in (1 << 20, 144 * 144):
        x = b.clone().requires_grad_()
        PerceptualDistance(trunk, max_tile_pixels=pixels, **form)(a, x).backward()
        gradients.append(x.grad)
    torch.testing.assert_close(
        gradients[1], gradients[0], rtol=1e-3, atol=1e-3 * float(gradients[0].abs().max())
    )


@pytest.mark.parametrize(
    ("pixels", "overlap"), [(144 * 144, 48), (192 * 192, 64), (500_000, 64), (1 << 20, 48)]
)
@pytest.mark.parametrize("size", [(200, 5000), (5000, 200), (3000, 4000), (16, 100_000)])
def test_tiles_are_small_and_cover_all_once(size: tuple[int, int], pixels: int, overlap: int):
    rows, columns = module._tile_sizes(*size, pixels)
    for length, longest in zip(size, (rows, columns), strict=True):
        spans = module._spans(length, longest, overlap)
        assert [start for _, start, _, _ in spans[1:]] == [stop for _, _, stop, _ in spans[:-1]]
        assert (spans[0][1], spans[-1][2]) == (0, length)
        for outer_start, start, stop, outer_stop in spans:
            assert start < stop
            assert outer_stop - outer_start <= longest
            assert outer_start == 0 or start - outer_start >= overlap
            assert outer_stop == length or outer_stop - stop >= overlap
            assert outer_start % 8 == start % 8 == stop % 8 == 0
    assert rows * columns <= pixels


@forms
@pytest.mark.parametrize("shape", [(1.0, 40, 40), (1.0, 16, 16), (1.0, 40, 1), (0.5, 40, 40)])
@pytest.mark.parametrize("kind", ["black", "white", "noise", "equal"])
def test_gradients_are_finite(
    kind: str,
    shape: tuple[float, int, int],
    form: dict[str, Any],
    trunk: VggFeatures,
    photo: torch.Tensor,
):
    scale, height, width = shape
    a = crop(photo, height, width)
    b = {"black": torch.zeros_like(a), "white": torch.ones_like(a), "noise": noise(*a.shape), "equal": a}[
        kind
    ]
    for reference, start in ((a, b), (b, b)):
        x = start.clone().requires_grad_()
        value = PerceptualDistance(trunk, scale=scale, **form)(reference, x)
        value.sum().backward()
        assert value.isfinite().all()
        assert x.grad is not None
        assert x.grad.isfinite().all()


def test_channel_weights_are_a_softmax(trunk: VggFeatures, metric: PerceptualDistance):
    a, b = noise(1, 3, 32, 32), noise(2, 3, 32, 32)[1:]
    shifted = PerceptualDistance(trunk, channel_logits=[torch.full((n,), 3.0) for n in TAP_CHANNELS])
    torch.testing.assert_close(shifted(a, b), metric(a, b))
    one_channel = [torch.full((n,), -100.0).index_fill(0, torch.tensor(7), 0.0) for n in TAP_CHANNELS]
    only = PerceptualDistance(trunk, layer_weights=(1.0, 0.0, 0.0), channel_logits=one_channel)
    units = [F.normalize(trunk(rgb).conv2_2, dim=1)[:, 7] for rgb in (a, b)]
    expected = 128 * (units[0] - units[1]).square().mean() / LAYER_SCALES["unit"][1][0]
    torch.testing.assert_close(only(a, b)[0], expected, rtol=1e-4, atol=1e-6)


def test_channel_logits_can_be_fitted(trunk: VggFeatures):
    metric = PerceptualDistance(trunk)
    metric.channel_logits.requires_grad_(True)
    metric(noise(1, 3, 32, 32), noise(2, 3, 32, 32)[1:]).backward()
    assert all(logits.grad is not None and logits.grad.any() for logits in metric.channel_logits)


def test_another_scale_is_refused(trunk: VggFeatures):
    with pytest.raises(ValueError, match=r"0\.25"):
        PerceptualDistance(trunk, scale=0.25)
