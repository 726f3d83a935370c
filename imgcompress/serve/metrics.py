"""What the service counts, for Prometheus."""

from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import InfoMetricFamily
from prometheus_client.registry import Collector

from imgcompress.serve.succession import Counts

_OF_MODELS = {
    "version": "Of the perceptual model in use: 1 for the first, one more for each new file",
    "swaps": "How often another model came into use",
    "refusals": "Model files that were not taken",
    "rollbacks": "Trials that a new model lost",
}
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one service, in a registry of their own.

    Attributes:
        registry: what ``/metrics`` prints; others add theirs to it.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "imgcompress_requests", "Requests answered", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "imgcompress_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue = Gauge(
            "imgcompress_queue_requests", "Requests decoded, waiting, computed", registry=registry
        )
        self.batches = Histogram(
            "imgcompress_batch_pictures",
            "Pictures computed together",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self.bytes_in = Counter("imgcompress_picture_bytes_in", "Bytes of sources", registry=registry)
        self.bytes_out = Counter("imgcompress_picture_bytes_out", "Bytes of results", registry=registry)
        self.cache = Counter(
            "imgcompress_cache_lookups", "Lookups in the cache", ["result"], registry=registry
        )
        self.cache_bytes = Gauge("imgcompress_cache_bytes", "Bytes in the cache", registry=registry)

    def follow_models(self, counts: Callable[[], Counts], digest: Callable[[], str]) -> None:
        """Has the registry tell what has happened to the perceptual model.

        Args:
            counts: asked whenever the registry is read.
            digest: of the model in use; asked likewise.
        """
        self.registry.register(_ModelInfo(digest))
        for name, text in _OF_MODELS.items():
            gauge = Gauge(f"imgcompress_model_{name}", text, registry=self.registry)
            gauge.set_function(partial(_count, counts, name))


class _ModelInfo(Collector):
    def __init__(self, digest: Callable[[], str]) -> None:
        self._digest = digest

    def collect(self) -> Iterator[InfoMetricFamily]:
        yield InfoMetricFamily(
            "imgcompress_model", "The perceptual model in use", {"digest": self._digest()}
        )


def _count(counts: Callable[[], Counts], name: str) -> float:
    return float(getattr(counts(), name))
