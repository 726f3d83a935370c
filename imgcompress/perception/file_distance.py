"""What distances of exported models have in common, whoever runs them."""

import hashlib

from imgcompress.perception.distance import MapDistance
from imgcompress.perception.model_facts import ModelFacts


class FileDistance(MapDistance):
    """The distance whose map a file computes.

    Args:
        data: the file's content.
        facts: what it says about itself.
        max_tile_pixels: as for :class:`MapDistance`.

    Raises:
        UsageError: its tiles would share more than they hold.
    """

    def __init__(self, data: bytes, facts: ModelFacts, max_tile_pixels: int) -> None:
        facts.refuse_tiles(max_tile_pixels)
        super().__init__(
            overlap=facts.overlap,
            pooling=facts.pooling,
            ssimulacra2=facts.ssimulacra2,
            scale=facts.scale,
            max_tile_pixels=max_tile_pixels,
        )
        self._digest = hashlib.sha256(data).hexdigest()

    @property
    def digest(self) -> str:
        """Of the file."""
        return self._digest
