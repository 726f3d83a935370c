"""What an exported model says of itself, as JSON in the file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from imgcompress.config import Normalization, PerceptionConfig
from imgcompress.errors import UsageError
from imgcompress.perception.distance import CELL, PerceptualDistance
from imgcompress.perception.weights import file_sha256

KEY = "imgcompress"
"""Of the entry in ONNX's ``metadata_props``, and the extra file's name in a .pt2."""
FORMAT = 1
INPUTS = ("a", "b")
OUTPUT = "map"


@dataclass(frozen=True)
class ModelFacts:
    """What is done around the map that the file computes, and what it was made of.

    Attributes:
        scale: 1, or 0.5 where pictures are averaged over 2x2 pixels first.
        overlap: pixels that tiles share with their neighbors, a multiple of 8.
        pooling, ssimulacra2: as in the settings.
        normalization, layer_weights, scaled_l2: as in the settings; they are part of the map already.
        trunk_sha256: of the trunk's file.

    Raises:
        UsageError: a value is out of its range; the message names it.
    """

    scale: float
    overlap: int
    pooling: float
    ssimulacra2: float
    normalization: Normalization
    layer_weights: tuple[float, float, float]
    scaled_l2: float
    trunk_sha256: str

    def __post_init__(self) -> None:
        PerceptionConfig(
            weights=None,
            normalization=self.normalization,
            layer_weights=self.layer_weights,
            scaled_l2=self.scaled_l2,
            pooling=self.pooling,
            ssimulacra2=self.ssimulacra2,
            cpu_scale=self.scale,
        )
        if not isinstance(self.overlap, int) or self.overlap < 0 or self.overlap % CELL:
            raise UsageError(f"overlap: expected a multiple of {CELL}, got {self.overlap}")

    def to_json(self) -> str:
        """The text for the file."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    def refuse_tiles(self, max_tile_pixels: int) -> None:
        """Checks that tiles are larger than what they share.

        Raises:
            UsageError: they are not.
        """
        if max_tile_pixels < (3 * self.overlap) ** 2:
            raise UsageError(f"overlap: {self.overlap} is too much for tiles of {max_tile_pixels} pixels")


def facts_of(distance: PerceptualDistance, trunk: Path) -> ModelFacts:
    """What to write of a distance.

    Args:
        distance: with weights as it is to be exported.
        trunk: file that its trunk comes from.
    """
    conv2_2, conv3_3, conv4_3 = distance.layer_weights.tolist()
    return ModelFacts(
        1.0 / distance.shrink,
        distance.overlap,
        distance.pooling,
        distance.ssimulacra2,
        distance.normalization,
        (conv2_2, conv3_3, conv4_3),
        distance.scaled_l2,
        file_sha256(trunk),
    )


def parse_facts(text: str | bytes | None) -> ModelFacts:
    """Reads what :meth:`ModelFacts.to_json` wrote.

    Raises:
        UsageError: there is nothing, something else, or a value out of its range.
    """
    try:
        values = json.loads(text or "null")
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise UsageError(f"not a perceptual model in format {FORMAT}")
        values["layer_weights"] = tuple(values.get("layer_weights", ()))
        return ModelFacts(**values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"what the model says of itself is malformed: {error}") from error
