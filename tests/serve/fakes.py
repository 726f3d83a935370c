import io
from collections.abc import Sequence
from concurrent.futures import Executor
from threading import Event, Lock
from typing import Any

import numpy as np
from PIL import Image

from imgcompress.compressor import Outcome, Source
from imgcompress.config import Config, LoopConfig
from imgcompress.errors import Reason
from imgcompress.records import Status
from imgcompress.serve.compressors import Compressors
from imgcompress.serve.model_store import ModelStore

QUICK = Config(device="cpu", verify="decode", max_encodes=1, jobs=2, loop=LoopConfig(rounds=0))
SIZES = {"jpeg": 300, "webp": 200, "avif": 100, "png": 400}


def picture_file(form: str, size: tuple[int, int] = (48, 32), mode: str = "RGB", **options: Any) -> bytes:
    generator = np.random.default_rng(1)
    image = Image.fromarray(generator.integers(0, 256, (size[1], size[0], 4), np.uint8), "RGBA").convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def deep_png() -> bytes:
    import imagecodecs

    values = np.random.default_rng(1).integers(0, 65536, (32, 48, 3), np.uint16)
    return bytes(imagecodecs.png_encode(values))


class FakeCompressor:
    """Makes any format at once, or when it is let; notes what it was asked for."""

    def __init__(self, models: ModelStore) -> None:
        self.compressors = Compressors(models, self.make)  # type: ignore[arg-type]
        self.batches: list[tuple[Config, list[Source]]] = []
        self.sizes = dict(SIZES)
        self.misses: set[str] = set()
        self.kept: Reason | None = None
        self.failure: Exception | None = None
        self.go = Event()
        self.go.set()
        self.begun = Event()
        self._lock = Lock()

    def make(self, config: Config, distance: object) -> "_OfConfig":
        return _OfConfig(self, config)

    def compress(self, config: Config, sources: Sequence[Source]) -> list[Outcome]:
        with self._lock:
            self.batches.append((config, list(sources)))
            self.begun.set()
            assert self.go.wait(60)
        if self.failure is not None:
            raise self.failure
        return [self._outcome(config.format, source) for source in sources]

    def _outcome(self, form: str, source: Source) -> Outcome:
        picture = source.picture
        kept = picture.keep[0] if picture.keep else Reason.ANIMATED if picture.frames > 1 else self.kept
        if kept is Reason.LIMITS_CONFLICT:
            return Outcome(Status.FAILED, kept, None, picture.format, error="cannot be")
        if kept is not None:
            return Outcome(Status.KEPT, kept, source.data, picture.format, {"psnr": 1.0})
        reason = Reason.TARGET_UNREACHABLE if form in self.misses else Reason.SMALLER
        return Outcome(Status.RECOMPRESSED, reason, form.encode() * self.sizes[form], form, {"psnr": 40.0})


class _OfConfig:
    def __init__(self, fake: FakeCompressor, config: Config) -> None:
        self._fake = fake
        self._config = config

    def compress(self, sources: Sequence[Source], pool: Executor) -> list[Outcome]:
        return self._fake.compress(self._config, sources)
