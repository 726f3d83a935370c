"""The VGG16 trunk up to conv4_3, from this project's checkpoint."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from imgcompress.errors import UsageError
from imgcompress.shapes import Float

# Channels of each 3x3 convolution; "pool" halves the size. Simonyan & Zisserman, table 1, configuration D.
PLAN: tuple[int | str, ...] = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512)
# Positions in the sequence of the ReLU after conv2_2, conv3_3, conv4_3.
TAPS = (8, 15, 22)
TAP_CHANNELS = (128, 256, 512)
REACH = 46
"""Pixels from the center of a conv4_3 location's receptive field to its border."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Taps(NamedTuple):
    """Features after ReLU, in the trunk's dtype; sizes are rounded down."""

    conv2_2: Float[Tensor, "batch 128 height/2 width/2"]
    conv3_3: Float[Tensor, "batch 256 height/4 width/4"]
    conv4_3: Float[Tensor, "batch 512 height/8 width/8"]


class VggFeatures(nn.Module):
    """Frozen VGG16 from conv1_1 to conv4_3, differentiable in its input.

    Made without weights; ``load_trunk`` fills them in. Parameters carry torchvision's names, features.N.*.

    Args:
        device: where the weights live.
        dtype: float32 or bfloat16, for the convolutions. On CUDA, float32 convolutions use TF32 unless
            torch.backends.cudnn says otherwise.

    Source: Simonyan & Zisserman, arXiv 1409.1556.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        layers: list[nn.Module] = []
        channels = 3
        for item in PLAN:
            if isinstance(item, str):
                layers.append(nn.MaxPool2d(2))
                continue
            # "meta" skips the random weights that load_state_dict would overwrite.
            convolution = nn.Conv2d(channels, item, kernel_size=3, padding=1, device="meta", dtype=dtype)
            layers += [convolution, nn.ReLU(inplace=True)]
            channels = item
        self.features = nn.Sequential(*layers).to_empty(device=device).to(memory_format=torch.channels_last)
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            constant = torch.tensor(values, device=device).view(1, 3, 1, 1)
            self.register_buffer(name, constant, persistent=False)
        self.requires_grad_(False)

    def forward(self, rgb: Float[Tensor, "batch 3 height width"]) -> Taps:
        """Features of pictures.

        Args:
            rgb: 0..1, gamma-coded, float32; height and width at least 8.
        """
        taps = []
        # The trunk's dtype is the caller's choice already: autocast does not get a second say.
        with torch.autocast(rgb.device.type, enabled=False):
            x = ((rgb.float() - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
            for position, layer in enumerate(self.features):
                x = layer(x)
                if position in TAPS:
                    taps.append(x)
        return Taps(*taps)


def load_trunk(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> VggFeatures:
    """The trunk with the weights of a safetensors file.

    Args:
        path: holds features.N.weight and features.N.bias of all ten convolutions, any float dtype.
        device: where the trunk shall run.
        dtype: float32 or bfloat16.

    Raises:
        UsageError: the file is missing, unreadable, or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    trunk = VggFeatures(device, dtype)
    try:
        trunk.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: cannot read the VGG16 weights: {error}") from error
    except RuntimeError as error:
        details = " ".join(str(error).split())
        raise UsageError(f"{path}: not the weights of VGG16 up to conv4_3: {details}") from error
    return trunk
