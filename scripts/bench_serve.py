"""Requests a second and their times, with and without batches, beside Pillow: bench_serve.py [FOLDER].

Each server is a process of its own under uvicorn and is asked the same by one client over many connections.
Rounds are interleaved; the table has the medians. Without a folder: 768x512 from the photographs in
scikit-learn's and scikit-image's wheels.
"""

import argparse
import asyncio
import io
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx2
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).parent))
from serve_process import Server, running


def _by_pillow(data: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


async def _answer(request: Request) -> Response:
    return Response(await run_in_threadpool(_by_pillow, await request.body()), media_type="image/jpeg")


pillow_app = Starlette(routes=[Route("/compress", _answer, methods=["POST"])])


async def ask(
    server: Server, files: list[bytes], requests: int, connections: int, accept: str
) -> tuple[float, list[float]]:
    """Asks as often, over as many connections at once; returns the seconds of all, and of each."""
    seconds: list[float] = []
    left = iter(range(requests))

    async def one_connection(client: httpx2.AsyncClient) -> None:
        for index in left:
            started = time.perf_counter()
            response = await client.post(
                server.url + "/compress", content=files[index % len(files)], headers={"Accept": accept}
            )
            seconds.append(time.perf_counter() - started)
            response.raise_for_status()

    limits = httpx2.Limits(max_connections=connections)
    async with httpx2.AsyncClient(limits=limits, timeout=600) as client:
        started = time.perf_counter()
        await asyncio.gather(*(one_connection(client) for _ in range(connections)))
        return time.perf_counter() - started, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--requests", type=int, default=64, help="a round and server")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="instant")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--accept", default="image/jpeg", help="the Accept header that is sent")
    options = parser.parse_args()
    if options.folder is None:
        from bench_speed import photographs

        files = photographs(None)
    else:
        files = [path.read_bytes() for path in sorted(options.folder.iterdir()) if path.is_file()]
    serve = ["-m", "imgcompress", "serve", "--preset", options.preset, f"--queue={2 * options.concurrency}"]
    serve += ["--request-seconds=600"]
    servers = {
        f"batches of up to {options.batch_size}": [*serve, f"--batch-size={options.batch_size}"],
        "one by one": [*serve, "--batch-size=1", "--batch-wait-ms=0"],
        "Pillow": ["-m", "uvicorn", "bench_serve:pillow_app", "--log-level=info", "--no-access-log"],
    }
    results: dict[str, list[tuple[float, list[float]]]] = {name: [] for name in servers}
    with ExitStack() as stack:
        started = {name: stack.enter_context(running(words)) for name, words in servers.items()}
        for turn in range(options.rounds + 1):
            for name, server in started.items():
                count = options.requests if turn else options.concurrency
                result = asyncio.run(ask(server, files, count, options.concurrency, options.accept))
                if turn:  # the first one warms up
                    results[name].append(result)
        memory = {name: server.resident_megabytes for name, server in started.items()}
    title = (
        f"{options.requests} requests, {options.concurrency} at a time, {options.preset}, {options.accept}"
    )
    table = Table("server", "requests/s", "p50 s", "p95 s", "p99 s", "MB", title=title)
    for name, rounds in results.items():
        rate = statistics.median(len(seconds) / total for total, seconds in rounds)
        cuts = [statistics.quantiles(seconds, n=100, method="inclusive") for _, seconds in rounds]
        times = [f"{statistics.median(cut[at - 1] for cut in cuts):.3f}" for at in (50, 95, 99)]
        table.add_row(name, f"{rate:.2f}", *times, f"{memory[name]:.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
