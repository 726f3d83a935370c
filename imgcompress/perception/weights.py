"""Files of weights that a fit to judgments has found: what they hold, and for which trunk."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from imgcompress.config import FITTED, Normalization, PerceptionConfig
from imgcompress.errors import PictureError, UsageError
from imgcompress.image.write import write_atomically
from imgcompress.perception.vgg import TAP_CHANNELS
from imgcompress.shapes import Float

FORMAT = 1
# One entry of JSON: safetensors writes several in any order, and equal fits shall be equal files.
_METADATA = "imgcompress"
_SCALARS = ("scaled_l2", "pooling", "ssimulacra2")


@dataclass(frozen=True, eq=False)
class FittedWeights:
    """The fitted part of a distance.

    Attributes:
        normalization: the form that the weights were fitted for.
        layer_weights: of conv2_2, conv3_3, conv4_3, as in the settings.
        channel_logits: (128,), (256,) and (512,).
        scaled_l2, pooling, ssimulacra2: the same.

    Raises:
        UsageError: a value is out of its range.
    """

    normalization: Normalization
    layer_weights: tuple[float, float, float]
    channel_logits: tuple[Float[Tensor, "128"], Float[Tensor, "256"], Float[Tensor, "512"]]
    scaled_l2: float = 0.0
    pooling: float = 1.0
    ssimulacra2: float = 0.0

    def __post_init__(self) -> None:
        if not all(bool(logits.isfinite().all()) for logits in self.channel_logits):
            raise UsageError("channel_logits: expected finite numbers")
        self.over(PerceptionConfig())

    def over(self, perception: PerceptionConfig) -> PerceptionConfig:
        """The settings with what was fitted in its place."""
        return replace(perception, weights=None, **{name: getattr(self, name) for name in FITTED})


def file_sha256(path: Path) -> str:
    """The checksum by which weights, their cards and cached features know a file.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot read the file: {error}") from error


def save_weights(path: Path, weights: FittedWeights, trunk: Path) -> None:
    """Writes a file for ``perception.weights``; equal weights give equal bytes.

    Args:
        path: the safetensors file, in a folder that is there.
        weights: what was fitted.
        trunk: file of the trunk that they were fitted on.

    Raises:
        UsageError: the trunk cannot be read or the file not be written.
    """
    from safetensors.torch import save

    tensors = {"layer_weights": torch.tensor(weights.layer_weights, dtype=torch.float64)}
    for layer, logits in enumerate(weights.channel_logits):
        tensors[f"channel_logits.{layer}"] = logits.detach().to("cpu", torch.float32).contiguous()
    for name in _SCALARS:
        tensors[name] = torch.tensor(getattr(weights, name), dtype=torch.float64)
    about = {
        "format": FORMAT,
        "normalization": weights.normalization,
        "trunk_sha256": file_sha256(trunk),
    }
    data = save(tensors, metadata={_METADATA: json.dumps(about)})
    if not path.parent.is_dir():
        raise UsageError(f"{path}: cannot write the weights: there is no such folder")
    try:
        write_atomically(path, data)
    except PictureError as error:
        raise UsageError(f"{path}: cannot write the weights: {error}") from error


def load_weights(path: Path, trunk: Path) -> FittedWeights:
    """Reads a file of ``save_weights``.

    Args:
        path: the safetensors file.
        trunk: file of the trunk in use, which must be the one that the weights were fitted on.

    Returns:
        The weights, checked, on the CPU.

    Raises:
        UsageError: the file is missing, unreadable or holds something else, or the trunk is another one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        # Not mapped: a file that is cut short while it is mapped ends the process.
        data = path.read_bytes()
        tensors = load(data)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: cannot read the fitted weights: {error}") from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = header.get("__metadata__", {}).get(_METADATA, "null")
    try:
        return _checked(json.loads(about), tensors, trunk)
    except (UsageError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error


def _checked(about: Any, tensors: dict[str, Tensor], trunk: Path) -> FittedWeights:
    known = isinstance(about, dict) and about.get("normalization") in get_args(Normalization)
    if not known or about.get("format") != FORMAT:
        raise UsageError(f"not weights of the perceptual distance in format {FORMAT}")
    shapes: dict[str, tuple[int, ...]] = {"layer_weights": (len(TAP_CHANNELS),)}
    shapes |= {f"channel_logits.{layer}": (channels,) for layer, channels in enumerate(TAP_CHANNELS)}
    shapes |= dict.fromkeys(_SCALARS, ())
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
        found = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(tensors.items()))
        raise UsageError(f"expected layer_weights, channel_logits, {', '.join(_SCALARS)}, got {found}")
    expected, actual = about.get("trunk_sha256"), file_sha256(trunk)
    if expected != actual:
        raise UsageError(
            f"fitted on the trunk with sha256 {expected}, but {trunk} has {actual}; "
            "perception.weights: null needs none"
        )
    conv2_2, conv3_3, conv4_3 = tensors["layer_weights"].tolist()
    return FittedWeights(
        about["normalization"],
        (conv2_2, conv3_3, conv4_3),
        (tensors["channel_logits.0"], tensors["channel_logits.1"], tensors["channel_logits.2"]),
        **{name: tensors[name].item() for name in _SCALARS},
    )
