"""The compressors of the settings that were asked for last."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from imgcompress.compressor import Compressor
from imgcompress.config import Config
from imgcompress.dataset.resume import settings_of

_MOST = 8
"""Each holds the buffers of a batch, and a model where its settings need one."""


class Compressors:
    """Makes compressors and keeps the last few. For the one thread that computes.

    Args:
        make: makes the compressor of some settings.
    """

    def __init__(self, make: Callable[[Config], Compressor] = Compressor) -> None:
        self._make = make
        self._kept: OrderedDict[Config, Compressor] = OrderedDict()

    @contextmanager
    def lease(self, config: Config) -> Iterator[Compressor]:
        """The compressor of these settings, for one batch.

        Raises:
            UsageError: the settings cannot be carried out.
        """
        compressor = self._kept.pop(config, None) or self._make(config)
        self._kept[config] = compressor
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        yield compressor

    @staticmethod
    @lru_cache(maxsize=256)
    def version(config: Config) -> str:
        """Names all that decides about the bytes of a result but its source. Threads may call it at once."""
        return settings_of(config)
