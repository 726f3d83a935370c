"""Thousands of good and hostile requests: does the server live, in flat memory? hammer_server.py FOLDER.

The folder holds hostile files, and is served. Between them come photographs, broken bodies, absurd headers,
escaping paths, connections that end early and settings that are none. A line now and then has the server's
memory; at the end come all statuses. The exit code is 1 when a request got none, or an error of the server.
"""

import argparse
import asyncio
import contextlib
import io
import random
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, urlsplit

import httpx2
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from serve_process import Server, running

ACCEPTS = (
    "*/*",
    "image/jpeg",
    "image/webp,image/png;q=0.1",
    "image/avif,image/*;q=0.8",
    "text/html",
    "image/gif",
    ";;,",
)
QUERIES = (
    "",
    "",
    "",
    "?quality=40",
    "?format=auto",
    "?quality=900",
    "?target=ssimulacra2%3D70",
    "?x=1",
    "?format=png",
)
RAW = (
    b"rubbish\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"GET /images/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /images/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n",
    b"POST /compress HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
)
GONE = b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nhalf a body"


class Hammer:
    """Asks one server at random, and counts the answers."""

    def __init__(
        self, server: Server, hostile: list[bytes], paths: list[str], good: list[bytes], seed: int
    ) -> None:
        self._server = server
        self._paths = paths
        self._hostile = hostile
        self._good = good
        self._random = random.Random(seed)
        self.statuses: Counter[str] = Counter()

    async def ask(self, client: httpx2.AsyncClient) -> None:
        """One request."""
        choose = self._random.choice
        kind = self._random.random()
        if kind < 0.1:
            self.statuses[await self._raw(choose(RAW))] += 1
        elif kind < 0.13:
            await self._raw(GONE, hang_up=True)
            self.statuses["hung up"] += 1
        else:
            data = choose(self._good if kind < 0.4 else self._hostile)
            if kind > 0.95:
                data = data[: self._random.randrange(len(data) + 1)]
            url, headers = self._server.url, {"Accept": choose(ACCEPTS)}
            if kind < 0.7:
                request = client.post(url + "/compress" + choose(QUERIES), content=data, headers=headers)
            elif kind < 0.8:
                method, path = choose(("GET", "GET", "HEAD")), choose(self._paths)
                headers["If-None-Match"] = choose(("*", '"x"', "x,,", ""))
                request = client.request(method, f"{url}/images/{path}{choose(QUERIES)}", headers=headers)
            elif kind < 0.9:
                request = client.post(url + "/inspect", content=data)
            else:
                files = {"reference": ("a", choose(self._good)), "test": ("b", data)}
                request = client.post(url + "/compare", files=files)
            self.statuses[await self._status(request)] += 1

    async def _status(self, request: "asyncio.Future[httpx2.Response] | object") -> str:
        try:
            return str((await request).status_code)  # type: ignore[misc]
        except httpx2.HTTPError as error:
            return f"none: {type(error).__name__}"

    async def _raw(self, request: bytes, *, hang_up: bool = False) -> str:
        address = urlsplit(self._server.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        answer = b""
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
            if not hang_up:
                answer = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/1.1 ") else "none: closed"


async def hammer(server: Server, hammer: Hammer, requests: int, connections: int) -> bool:
    """Asks and prints; returns whether the server is healthy at the end."""
    left, started = iter(range(requests)), time.perf_counter()
    async with httpx2.AsyncClient(timeout=600) as client:

        async def one_connection() -> None:
            for index in left:
                if index % max(1, requests // 20) == 0:
                    seconds = time.perf_counter() - started
                    print(
                        f"{index:6} requests, {seconds:5.0f} s, {server.resident_megabytes:5.0f} MB",
                        flush=True,
                    )
                await hammer.ask(client)

        await asyncio.gather(*(one_connection() for _ in range(connections)))
        health = await client.get(server.url + "/healthz")
        ready = await client.get(server.url + "/readyz")
    seconds = time.perf_counter() - started
    print(f"{requests:6} requests, {seconds:5.0f} s, {server.resident_megabytes:5.0f} MB")
    print(f"healthz {health.status_code}, readyz {ready.status_code}")
    return health.status_code == ready.status_code == 200


def smaller(data: bytes, size: tuple[int, int]) -> bytes:
    """A picture at another size, so that thousands take minutes."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.resize(size).save(buffer, "PNG")
    return buffer.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="hostile files, in folders, too")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--preset", default="instant")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    from bench_speed import photographs

    files = [path for path in sorted(options.folder.rglob("*")) if path.is_file()]
    hostile = [path.read_bytes() for path in files]
    paths = [quote(path.relative_to(options.folder).as_posix()) for path in files]
    good = [smaller(data, size) for data in photographs(None) for size in ((96, 64), (60, 80))]
    with TemporaryDirectory() as cache:
        words = ["-m", "imgcompress", "serve", "--preset", options.preset, "--read-seconds=5"]
        words += ["--root", str(options.folder), "--cache", cache, "--cache-megabytes=5"]
        with running([*words, "--request-seconds=300"]) as server:
            hammering = Hammer(server, hostile, paths, good, options.seed)
            is_healthy = asyncio.run(hammer(server, hammering, options.requests, options.concurrency))
    print(", ".join(f"{status}: {count}" for status, count in sorted(hammering.statuses.items())))
    faults = [status for status in hammering.statuses if status.startswith(("none", "500"))]
    return 0 if is_healthy and not faults else 1


if __name__ == "__main__":
    sys.exit(main())
