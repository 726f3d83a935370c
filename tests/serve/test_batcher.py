import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from imgcompress.compressor import Outcome, Source
from imgcompress.errors import Reason
from imgcompress.image.read import read_picture
from imgcompress.serve.batcher import Batcher
from imgcompress.serve.compressors import Compressors
from imgcompress.serve.metrics import Metrics
from imgcompress.serve.model_store import ModelStore
from tests.serve.fakes import QUICK, FakeCompressor, picture_file


def source(width: int = 48, height: int = 32) -> Source:
    data = picture_file("PNG", (width, height))
    return Source(data, read_picture(data))


def run(
    fake: FakeCompressor, use: Callable[[Batcher], Awaitable[None]], size: int = 4, wait: float = 0.3
) -> None:
    async def main() -> None:
        with ThreadPoolExecutor() as pool:
            batcher = Batcher(fake.compressors, size, wait, pool, Metrics())
            async with asyncio.timeout(60), batcher.running():
                await use(batcher)

    asyncio.run(main())


def test_pictures_of_one_size_and_settings_go_together(fake: FakeCompressor) -> None:
    other = replace(QUICK, quality=30)

    async def use(batcher: Batcher) -> None:
        sources = [source(), source(47, 31), source(480, 320), source(), source()]
        configs = [QUICK, QUICK, QUICK, other, QUICK]
        outcomes = await asyncio.gather(*map(batcher.submit, configs, sources))
        assert all(isinstance(outcome, Outcome) for outcome in outcomes)

    run(fake, use)
    batches = sorted(
        (config.quality, [item.picture.width for item in items]) for config, items in fake.batches
    )
    assert batches == [(30, [48]), (75, [48, 47, 48]), (75, [480])]


def test_a_full_batch_does_not_wait(fake: FakeCompressor) -> None:
    async def use(batcher: Batcher) -> None:
        await asyncio.gather(*(batcher.submit(QUICK, source()) for _ in range(8)))

    run(fake, use, size=4, wait=1e6)
    assert [len(sources) for _, sources in fake.batches] == [4, 4]


def test_those_that_come_meanwhile_are_the_next_batch(fake: FakeCompressor) -> None:
    async def use(batcher: Batcher) -> None:
        fake.go.clear()
        first = asyncio.create_task(batcher.submit(QUICK, source()))
        assert await asyncio.to_thread(fake.begun.wait, 30)
        others = [asyncio.create_task(batcher.submit(QUICK, source())) for _ in range(3)]
        dropped = asyncio.create_task(batcher.submit(QUICK, source(16, 16)))
        await asyncio.sleep(0)
        dropped.cancel()
        await asyncio.sleep(0)
        fake.go.set()
        await asyncio.gather(first, *others)
        assert dropped.cancelled()

    run(fake, use, wait=0.0)
    assert [len(sources) for _, sources in fake.batches] == [1, 3]


def test_nothing_is_left_of_who_gives_up(fake: FakeCompressor) -> None:
    async def use(batcher: Batcher) -> None:
        config = replace(QUICK, quality=11)
        left = weakref.ref(config)
        waiting = asyncio.create_task(batcher.submit(config, source()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        del config, waiting
        gc.collect()
        assert left() is None

    run(fake, use, wait=1e6)


def test_each_gets_its_own(fake: FakeCompressor) -> None:
    files = [source(48, 32 - index) for index in range(4)]

    async def use(batcher: Batcher) -> None:
        fake.kept = Reason.NOT_SMALLER  # then the outcome is the source
        outcomes = await asyncio.gather(*(batcher.submit(QUICK, item) for item in files))
        assert [outcome.data for outcome in outcomes] == [item.data for item in files]

    run(fake, use)
    assert len(fake.batches) == 1


def test_a_fault_is_told_to_its_batch_only(fake: FakeCompressor) -> None:
    async def use(batcher: Batcher) -> None:
        fake.failure = RuntimeError("broken")
        results = await asyncio.gather(
            *(batcher.submit(QUICK, source()) for _ in range(2)), return_exceptions=True
        )
        assert [str(result) for result in results] == ["broken", "broken"]
        fake.failure = None
        assert (await batcher.submit(QUICK, source())).data

    run(fake, use, wait=0.01)


def test_what_waits_at_the_end_is_canceled(fake: FakeCompressor) -> None:
    waiting: list[asyncio.Task[Outcome]] = []

    async def use(batcher: Batcher) -> None:
        waiting.append(asyncio.create_task(batcher.submit(QUICK, source())))
        await asyncio.sleep(0)

    run(fake, use, wait=1e6)
    assert waiting[0].cancelled()
    assert not fake.batches


def test_few_compressors_are_kept(models: ModelStore) -> None:
    made = []

    def make(config: object, distance: object) -> object:
        made.append(config)
        return object()

    compressors = Compressors(models, make)  # type: ignore[arg-type]
    configs = [replace(QUICK, quality=quality) for quality in range(1, 21)]
    for config in [configs[0], *configs, configs[0], configs[19]]:
        with compressors.lease(config):
            pass
    assert made == [*configs, configs[0]]
    assert len({compressors.version(config) for config in configs}) == 20
