"""Many pairs, one after the other, with a bounded number of pictures in memory."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from imgcompress.comparison.common_space import Seen
from imgcompress.comparison.comparer import Comparer, Opened
from imgcompress.comparison.exclusions import Exclusions
from imgcompress.comparison.opening import Loaded, load_pair, open_pair
from imgcompress.comparison.pairing import Pair
from imgcompress.comparison.record import Compared
from imgcompress.config import Config
from imgcompress.dataset.pipeline import map_ahead, windows_of

_MOST_PAIRS = 16
"""Measured at once, at most."""


def compare_all(
    pairs: Iterable[Pair], comparer: Comparer, exclusions: Exclusions, config: Config
) -> Iterator[tuple[Compared, Seen | None]]:
    """Compares pairs of files; those of a window are decoded, and then measured, together.

    Args:
        pairs: in any order.
        comparer: what measures and judges.
        exclusions: what is not compared.
        config: threads and limits.

    Returns:
        Each pair's end, and what was seen of it if it was measured, in the order of the pairs.
    """
    with ThreadPoolExecutor(config.threads, thread_name_prefix="compare") as pool:
        loaded = map_ahead(pool, load_pair, pairs, 2 * config.threads)
        most_megapixels = config.limits.in_flight_megapixels / 2
        for window in windows_of(loaded, _megapixels, _MOST_PAIRS, most_megapixels):
            items = list(pool.map(partial(_opened, exclusions=exclusions, config=config), window))
            measured = iter(comparer.compare([item for item in items if isinstance(item, Opened)]))
            for item in items:
                if isinstance(item, Opened):
                    yield next(measured), item.seen
                else:
                    yield item, None


def _opened(item: Loaded | Compared, exclusions: Exclusions, config: Config) -> Opened | Compared:
    return open_pair(item, exclusions, config.limits) if isinstance(item, Loaded) else item


def _megapixels(item: Loaded | Compared) -> float:
    return item.megapixels if isinstance(item, Loaded) else 0.0
