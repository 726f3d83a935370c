"""A quality score without the original, for JPEG-compressed photographs, from decoded pixels alone.

It foretells SSIMULACRA2 of the picture against the original that nobody has: features of the picture, brought
to common scales, go through the mean of a few networks of one hidden layer. They foretell the root of what is
missing to 100, whose errors are about equally large for good and bad pictures.
"""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from imgcompress.errors import UsageError
from imgcompress.forensics.features import NAMES, features
from imgcompress.resources import default_score_model
from imgcompress.shapes import Float, Shaped

FORMAT = 1
# One entry of JSON: safetensors writes several in any order, and equal fits shall be equal files.
_METADATA = "imgcompress"
FARTHEST = 4.0
"""Spreads from the mean to which features are held: beyond there is nothing that was learned from."""


@dataclass(frozen=True, eq=False)
class ScoreModel:
    """The fitted score.

    Attributes:
        mean, spread: of each feature over the pictures of the fit.
        hidden, hidden_bias: of each network, from normalized features to its hidden values.
        output, output_bias: of each network, from there to the root.
        residuals: what was true less what was foretold, roots, for pictures that a fit had not seen: the
            quantiles of 5 and 95 %.
    """

    mean: Float[Tensor, "features"]
    spread: Float[Tensor, "features"]
    hidden: Float[Tensor, "networks features units"]
    hidden_bias: Float[Tensor, "networks 1 units"]
    output: Float[Tensor, "networks units 1"]
    output_bias: Float[Tensor, "networks 1 1"]
    residuals: Float[Tensor, "2"]

    @property
    def device(self) -> torch.device:
        """Where it is, and where pictures are expected."""
        return self.mean.device

    def to(self, device: torch.device | str) -> "ScoreModel":
        """The same on another device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """All that was fitted, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def score(self, pixels: Shaped[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
        """What SSIMULACRA2 would say of each picture.

        Args:
            pixels: uint8 or uint16 (0..65535), one channel (gray) or three (RGB), any size from 1x1; below
                64x64 there is little to go by.

        Returns:
            100 or less, higher is better; below 0 for very bad ones.
        """
        return score_from_root(self.roots(self.normalized(pixels)))

    def normalized(
        self, pixels: Shaped[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch features"]:
        """The pictures' features on common scales, in the order of ``features.NAMES``.

        Args:
            pixels: as for ``score``.

        Returns:
            Distances from the mean in spreads, -4 to 4.
        """
        return self.normalize(features(pixels))

    def normalize(self, raw: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        """Features as ``features()`` gives them, on common scales."""
        return ((raw - self.mean) / self.spread).clamp(-FARTHEST, FARTHEST)

    def roots(self, normalized: Float[Tensor, "batch features"]) -> Float[Tensor, "batch"]:
        """The foretold root of what is missing to 100: the networks' mean."""
        return self.each_root(normalized).mean(0)

    def each_root(self, normalized: Float[Tensor, "batch features"]) -> Float[Tensor, "networks batch"]:
        """Every network's own; differentiable."""
        hidden = torch.tanh(normalized @ self.hidden + self.hidden_bias)
        roots: Tensor = (hidden @ self.output + self.output_bias)[..., 0]
        return roots

    def likely_range(self, scores: Float[Tensor, "batch"]) -> Float[Tensor, "batch 2"]:
        """Where SSIMULACRA2 is in nine of ten cases, for pictures like those of the fit.

        Args:
            scores: of ``score``.

        Returns:
            The lower and the upper end.
        """
        worse_and_better = self.residuals.to(scores).flip(0)
        return score_from_root(root_from_score(scores)[:, None] + worse_and_better)


def score_from_root(root: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """100 less the square; 100 for negative roots."""
    return 100 - root.clamp(min=0).square()


def root_from_score(score: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The inverse of ``score_from_root``."""
    return (100 - score).clamp(min=0).sqrt()


def save_score_model(path: Path, model: ScoreModel) -> None:
    """Writes a file for ``load_score_model``; equal models give equal bytes.

    Raises:
        UsageError: it cannot be written.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in model.tensors().items()}
    about = {"format": FORMAT, "score": "ssimulacra2", "features": NAMES}
    try:
        path.write_bytes(save(tensors, metadata={_METADATA: json.dumps(about)}))
    except OSError as error:
        raise UsageError(f"{path}: cannot write the score: {error}") from error


def load_score_model(path: Path | None = None) -> ScoreModel:
    """Reads a fitted score.

    Args:
        path: a file of ``save_score_model``; None takes the one that comes with the package.

    Returns:
        The model, on the CPU.

    Raises:
        UsageError: the file is missing, unreadable, holds something else, or was fitted to other features
            than this version has.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = path or default_score_model()
    try:
        # Not mapped: a file that is cut short while it is mapped ends the process.
        data = path.read_bytes()
        tensors = load(data)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: cannot read the score: {error}") from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    try:
        about = json.loads(header.get("__metadata__", {}).get(_METADATA, "null"))
        return _checked(about, tensors)
    except (UsageError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error


def _checked(about: object, tensors: dict[str, Tensor]) -> ScoreModel:
    if not isinstance(about, dict) or about.get("score") != "ssimulacra2" or about.get("format") != FORMAT:
        raise UsageError(f"not a score without a reference in format {FORMAT}")
    fitted = about.get("features")
    if fitted != list(NAMES):
        unlike = sorted(set(NAMES).symmetric_difference(fitted if isinstance(fitted, list) else ()))
        raise UsageError(
            f"fitted to other features than this version has ({', '.join(unlike) or 'in another order'}); "
            "scripts/fit_score fits it anew"
        )
    names = [field.name for field in fields(ScoreModel)]
    if sorted(tensors) != sorted(names):
        raise UsageError(f"expected the tensors {', '.join(names)}, got {', '.join(sorted(tensors))}")
    networks, units = tensors["output_bias"].shape[:1].numel(), tensors["hidden_bias"].shape[-1:].numel()
    count = len(NAMES)
    shapes = {
        "mean": (count,),
        "spread": (count,),
        "hidden": (networks, count, units),
        "hidden_bias": (networks, 1, units),
        "output": (networks, units, 1),
        "output_bias": (networks, 1, 1),
        "residuals": (2,),
    }
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise UsageError(
                f"{name}: expected float32 of shape {shape}, got {tensor.dtype} {tuple(tensor.shape)}"
            )
        if not bool(tensor.isfinite().all()):
            raise UsageError(f"{name}: expected finite numbers")
    if not bool((tensors["spread"] > 0).all()):
        raise UsageError("spread: expected numbers above 0")
    return ScoreModel(**tensors)
