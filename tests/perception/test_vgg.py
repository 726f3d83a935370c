import hashlib
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F  # noqa: N812
from torchvision.models import vgg16

from imgcompress.errors import UsageError
from imgcompress.perception.vgg import TAP_CHANNELS, VggFeatures, load_trunk
from imgcompress.resources import default_trunk


@pytest.fixture(scope="module")
def trunk() -> VggFeatures:
    return load_trunk(default_trunk())


def crop(photo: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return photo[None, :, 120 : 120 + height, 200 : 200 + width].float() / 255


def test_taps_are_torchvisions(trunk: VggFeatures, photo: torch.Tensor):
    with torch.device("meta"):
        witness = vgg16(weights=None).features[:23]
    state = load_file(default_trunk())
    witness.load_state_dict(
        {name.removeprefix("features."): value.float() for name, value in state.items()}, assign=True
    )
    rgb = crop(photo, 57, 65)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    taps = trunk(rgb)
    for tap, stop in zip(taps, (9, 16, 23), strict=True):
        with torch.no_grad():
            expected = witness[:stop]((rgb - mean) / std)
        torch.testing.assert_close(tap, expected, rtol=1e-4, atol=1e-4 * float(expected.max()))


@pytest.mark.parametrize("size", [(8, 8), (57, 65), (64, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shapes_and_dtype(size: tuple[int, int], dtype: torch.dtype, device: torch.device):
    taps = load_trunk(default_trunk(), device, dtype)(torch.rand(2, 3, *size, device=device))
    for level, (tap, channels) in enumerate(zip(taps, TAP_CHANNELS, strict=True), start=1):
        assert tap.shape == (2, channels, size[0] >> level, size[1] >> level)
        assert tap.dtype == dtype
        assert tap.device.type == device.type
        assert (tap >= 0).all()


def test_bfloat16_is_close_to_float32(trunk: VggFeatures, photo: torch.Tensor):
    rgb = crop(photo, 64, 64)
    for coarse, fine in zip(load_trunk(default_trunk(), dtype=torch.bfloat16)(rgb), trunk(rgb), strict=True):
        assert F.cosine_similarity(coarse.float().flatten(), fine.flatten(), dim=0) > 0.999


def test_autocast_does_not_change_the_dtype(trunk: VggFeatures, photo: torch.Tensor):
    rgb = crop(photo, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        taps = trunk(rgb)
    assert all(torch.equal(tap, same) for tap, same in zip(taps, trunk(rgb), strict=True))


def test_weights_are_frozen_and_the_input_is_not(trunk: VggFeatures, photo: torch.Tensor):
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    rgb = crop(photo, 32, 32).requires_grad_()
    trunk(rgb).conv4_3.sum().backward()
    assert rgb.grad is not None
    assert rgb.grad.isfinite().all()
    assert rgb.grad.any()


def test_loading_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    load_trunk(default_trunk())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_weights_are_the_ones_described():
    path = default_trunk()
    described = re.findall(r"\b[0-9a-f]{64}\b", (path.parent / "README.md").read_text(encoding="utf-8"))
    assert described == [hashlib.sha256(path.read_bytes()).hexdigest()]


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"nowhere\.safetensors"):
        load_trunk(tmp_path / "nowhere.safetensors")


def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(default_trunk().read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"broken\.safetensors"):
        load_trunk(path)


@pytest.mark.parametrize("damage", ["missing", "surplus", "shape"])
def test_other_weights_are_refused(damage: str, tmp_path: Path):
    state = load_file(default_trunk())
    if damage == "missing":
        del state["features.21.bias"]
    elif damage == "surplus":
        state["classifier.0.bias"] = torch.zeros(4096)
    else:
        state["features.0.weight"] = torch.zeros(64, 1, 3, 3)
    path = tmp_path / "other.safetensors"
    save_file(state, path)
    with pytest.raises(UsageError, match=r"other\.safetensors.*(features\.|classifier\.)"):
        load_trunk(path)
