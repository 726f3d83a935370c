"""What a perceptual distance is known by: the files that it reads, by their content."""

from dataclasses import asdict
from pathlib import Path

import imgcompress
from imgcompress.config import DEFAULT_WEIGHTS, PerceptionConfig
from imgcompress.perception.weights import file_sha256
from imgcompress.resources import default_trunk, default_weights
from rd.cache import key_of, source_digest


def weights_sha256(perception: PerceptionConfig) -> str | None:
    """The checksum of the fitted weights in use; None where there are none.

    Raises:
        UsageError: the file cannot be read.
    """
    if perception.weights is None:
        return None
    default = perception.weights == DEFAULT_WEIGHTS
    return file_sha256(default_weights() if default else Path(perception.weights))


def version_of(perception: PerceptionConfig) -> str:
    """Another one with other settings, weights or source, or another trunk.

    Raises:
        UsageError: a file cannot be read.
    """
    return key_of(
        {
            **asdict(perception),
            "weights": weights_sha256(perception),
            "trunk": file_sha256(Path(perception.trunk) if perception.trunk else default_trunk()),
            "source": source_digest(Path(imgcompress.__file__).parent / "perception"),
        }
    )
