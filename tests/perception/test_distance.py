import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F  # noqa: N812

from imgcompress.perception import distance as module
from imgcompress.perception.distance import PerceptualDistance
from imgcompress.perception.vgg import TAP_CHANNELS, VggFeatures, load_trunk
from imgcompress.resources import default_trunk


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
        (0.3, 0.5, 0.2), module.LAYER_SCALES[1], trunk(a), trunk(b), strict=True
    ):
        # The squared distance of unit vectors is 2 - 2 cos.
        expected += weight / scale * float((2 - 2 * F.cosine_similarity(tap_a, tap_b, dim=1)).mean())
    assert metric(a, b).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (57, 66)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_zero_for_equal_symmetric_and_positive_else(
    size: tuple[int, int], scale: float, device: torch.device
):
    metric = PerceptualDistance(load_trunk(default_trunk(), device), scale=scale)
    a, b = noise(2, 3, *size).to(device), noise(3, 3, *size)[1:].to(device)
    assert torch.equal(metric(a, a), torch.zeros(2, device=device))
    there, back = metric(a, b), metric(b, a)
    assert torch.equal(there, back)
    assert (there > 0).all()


def test_grows_with_compression(metric: PerceptualDistance, trunk: VggFeatures, photo: torch.Tensor):
    a = crop(photo, 64, 96)
    half = PerceptualDistance(trunk, scale=0.5)
    for measure in (metric, half):
        ladder = [measure(a, as_jpeg(a, quality)).item() for quality in (95, 75, 40, 10)]
        assert ladder == sorted(ladder)
        assert ladder[0] > 0


def test_bfloat16_trunk_gives_about_the_same(metric: PerceptualDistance, photo: torch.Tensor):
    a = crop(photo, 64, 96)
    b = as_jpeg(a, 30)
    coarse = PerceptualDistance(load_trunk(default_trunk(), dtype=torch.bfloat16))(a, b)
    assert coarse.dtype == torch.float32
    assert coarse.item() == pytest.approx(metric(a, b).item(), rel=0.03)


def test_a_batch_is_its_pairs_one_by_one(metric: PerceptualDistance):
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


@pytest.mark.parametrize(
    ("size", "mode"),
    [((151, 157), torch.no_grad), ((64, 400), torch.inference_mode), ((390, 61), torch.no_grad)],
)
def test_tiles_give_the_untiled_map(
    size: tuple[int, int], mode: type[torch.no_grad] | type[torch.inference_mode], device: torch.device
):
    trunk = load_trunk(default_trunk(), device)
    a, b = noise(1, 3, *size).to(device), noise(2, 3, *size)[1:].to(device)
    a = F.avg_pool2d(a, 9, 1, 4)
    b = a + 0.05 * b
    whole = PerceptualDistance(trunk)
    tiled = PerceptualDistance(trunk, max_tile_pixels=144 * 144)
    with mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = whole.distance_map(a, b)
        torch.testing.assert_close(tiled.distance_map(a, b), expected, rtol=1e-3, atol=1e-5)


def test_tiles_give_the_untiled_gradient(trunk: VggFeatures):
    a = F.avg_pool2d(noise(1, 3, 64, 400), 9, 1, 4)
    b = noise(2, 3, 64, 400)[1:] * 0.1 + a
    gradients = []
    for pixels in (1 << 20, 144 * 144):
        x = b.clone().requires_grad_()
        PerceptualDistance(trunk, max_tile_pixels=pixels)(a, x).backward()
        gradients.append(x.grad)
    torch.testing.assert_close(
        gradients[1], gradients[0], rtol=1e-3, atol=1e-3 * float(gradients[0].abs().max())
    )


@pytest.mark.parametrize("pixels", [144 * 144, 500_000, 1 << 20])
@pytest.mark.parametrize("size", [(200, 5000), (5000, 200), (3000, 4000), (16, 100_000)])
def test_tiles_are_small_and_cover_all_once(size: tuple[int, int], pixels: int):
    rows, columns = module._tile_sizes(*size, pixels)
    for length, longest in zip(size, (rows, columns), strict=True):
        spans = module._spans(length, longest)
        assert [start for _, start, _, _ in spans[1:]] == [stop for _, _, stop, _ in spans[:-1]]
        assert (spans[0][1], spans[-1][2]) == (0, length)
        for outer_start, start, stop, outer_stop in spans:
            assert start < stop
            assert outer_stop - outer_start <= longest
            assert outer_start == 0 or start - outer_start >= 48
            assert outer_stop == length or outer_stop - stop >= 48
            assert outer_start % 8 == start % 8 == stop % 8 == 0
    assert rows * columns <= pixels


@pytest.mark.parametrize("kind", ["black", "white", "noise", "equal"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_gradients_are_finite(kind: str, scale: float, trunk: VggFeatures, photo: torch.Tensor):
    a = crop(photo, 40, 40)
    b = {"black": torch.zeros_like(a), "white": torch.ones_like(a), "noise": noise(*a.shape), "equal": a}[
        kind
    ]
    for reference, start in ((a, b), (b, b)):
        x = start.clone().requires_grad_()
        value = PerceptualDistance(trunk, scale=scale)(reference, x)
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
    expected = 128 * (units[0] - units[1]).square().mean() / module.LAYER_SCALES[1][0]
    torch.testing.assert_close(only(a, b)[0], expected, rtol=1e-4, atol=1e-6)


def test_channel_logits_can_be_fitted(trunk: VggFeatures):
    metric = PerceptualDistance(trunk)
    metric.channel_logits.requires_grad_(True)
    metric(noise(1, 3, 32, 32), noise(2, 3, 32, 32)[1:]).backward()
    assert all(logits.grad is not None and logits.grad.any() for logits in metric.channel_logits)


def test_another_scale_is_refused(trunk: VggFeatures):
    with pytest.raises(ValueError, match=r"0\.25"):
        PerceptualDistance(trunk, scale=0.25)


def test_a_location_without_any_response_has_finite_gradients():
    features = torch.zeros(1, 128, 2, 2, requires_grad=True)
    units = module._unit(features, module.RELATIVE_EPSILON * module.LAYER_ENERGIES[0])
    assert not units.any()
    units.sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
