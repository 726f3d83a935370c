"""The compressors of the settings that were asked for last, and the perceptual model that they use."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from torch import Tensor

from imgcompress.compressor import Compressor
from imgcompress.config import Config
from imgcompress.dataset.resume import settings_of
from imgcompress.serve.model_store import ModelStore
from imgcompress.serve.succession import Loaded

_MOST = 8
"""Each holds the buffers of a batch."""


class Compressors:
    """Makes compressors and keeps the last few. For the one thread that computes.

    Args:
        models: where the model of each batch comes from.
        make: makes the compressor of some settings and a perceptual distance.
    """

    def __init__(
        self,
        models: ModelStore,
        make: Callable[[Config, Callable[[Tensor, Tensor], Tensor]], Compressor] = Compressor,
    ) -> None:
        self._models = models
        self._make = make
        self._kept: OrderedDict[Config, Compressor] = OrderedDict()
        self._leased: Loaded | None = None

    @contextmanager
    def lease(self, config: Config) -> Iterator[Compressor]:
        """The compressor of these settings, for one batch.

        Raises:
            UsageError: the settings cannot be carried out.
        """
        compressor = self._kept.pop(config, None) or self._make(config, self.distance)
        self._kept[config] = compressor
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        with self.model():
            yield compressor

    @contextmanager
    def model(self) -> Iterator[None]:
        """As long as the context lasts ``distance`` is one model, whatever comes into use meanwhile."""
        self._leased = self._models.lease()
        try:
            yield
        finally:
            self._leased = None

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """The distances of a batch of pairs by the model at hand."""
        assert self._leased is not None
        return self._leased.model(a, b)

    def version(self, config: Config) -> str:
        """Names all that decides about the bytes of a result but its source. Threads may call it at once."""
        return f"{_settings_of(config)} {' '.join(self._models.digests)}"


_settings_of = lru_cache(maxsize=256)(settings_of)
