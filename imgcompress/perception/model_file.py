"""Perceptual models from files of any kind that there is."""

from dataclasses import replace
from pathlib import Path

import torch

from imgcompress.config import PerceptionConfig
from imgcompress.errors import UsageError
from imgcompress.perception.distance import MapDistance, load_distance
from imgcompress.perception.model import PerceptualModel
from imgcompress.perception.onnx_model import OnnxDistance
from imgcompress.perception.pt2_model import Pt2Distance

LARGEST_FILE = 256 << 20
"""Bytes; ours take 31 million."""
SUFFIXES = (".safetensors", ".onnx", ".pt2")
_TRIAL_SIZE = (16, 24)


def load_model(path: Path, perception: PerceptionConfig, device: torch.device) -> PerceptualModel:
    """Reads a model; nothing is ever unpickled.

    Args:
        path: ``.safetensors``: fitted weights (:mod:`imgcompress.perception.weights`) for the trunk of the
            settings; ``.onnx`` or ``.pt2``: a model of :mod:`imgcompress.perception.export`, which brings all
            but ``perception.tile_megapixels`` itself.
        perception: the other settings.
        device: where it shall run.

    Raises:
        UsageError: the file is missing, damaged, too large or something else; the message names it.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: expected a model in a file named *{', *'.join(SUFFIXES)}")
    try:
        # Others than files could keep a reader waiting.
        if not path.is_file():
            raise UsageError("there is no such file")
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"larger than {LARGEST_FILE} bytes")
        if path.suffix == ".safetensors":
            return load_distance(replace(perception, weights=str(path)), device)
        return _checked(_load_map(path.read_bytes(), path.suffix, perception, device), device)
    except UsageError as error:
        message = str(error)
        raise UsageError(message if str(path) in message else f"{path}: {message}") from error
    except Exception as error:  # whatever a file that was not made by us makes a parser raise
        details = " ".join(str(error).split())
        raise UsageError(f"{path}: cannot load the model: {type(error).__name__}: {details}") from error


def _load_map(data: bytes, suffix: str, perception: PerceptionConfig, device: torch.device) -> MapDistance:
    pixels = round(perception.tile_megapixels * 1e6)
    if suffix == ".onnx":
        return OnnxDistance(data, device, pixels)
    return Pt2Distance(data, device, pixels, LARGEST_FILE)


@torch.no_grad()
def _checked(model: MapDistance, device: torch.device) -> MapDistance:
    """The model, after a look at what it gives for two pictures."""
    height, width = _TRIAL_SIZE
    pictures = torch.zeros(2, 3, height, width, device=device)
    result = model.tile_map(pictures, pictures)
    if result.dtype != torch.float32 or result.shape != (2, height // 8, width // 8):
        found = f"{result.dtype} {tuple(result.shape)}"
        raise UsageError(f"for pictures of 16x24 it gives {found}, not one float32 a block of 8x8 pixels")
    return model
