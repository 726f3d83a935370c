"""Replaces the model file of a busy server again and again: does any request notice? replace_models.py [OPTIONS].

Clients compress and compare crops of photographs all the time while the file of ``imgcompress serve --model`` is
renamed over or written in place, by good models, each of them another one, and by broken ones. The exit code is
1 when a request failed, when a broken file was taken or a good one was not, when a comparison's distance is none
of the good models', or when the model in use at the end is not the last good one.
"""

import argparse
import asyncio
import io
import itertools
import os
import pickle
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from serve_process import Server, running

from imgcompress.config import PerceptionConfig
from imgcompress.perception.export import export_model
from imgcompress.perception.model_file import load_model
from imgcompress.perception.weights import load_weights, save_weights
from imgcompress.resources import default_trunk, default_weights

WIDTH, HEIGHT = 128, 96
VERDICT_SECONDS = 60.0
SAME = 1e-4
"""Distances of one model may differ by this share: batches and threads add in other orders."""


class Models:
    """Makes model files.

    Args:
        folder: for what lies about meanwhile.
        suffix: .safetensors, .onnx or .pt2.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self._folder = folder
        self._suffix = suffix
        self._fitted = load_weights(default_weights(), default_trunk())
        self.marker = folder / "unpickled"

    def good(self, number: int) -> bytes:
        """A model like no other."""
        generator = torch.Generator().manual_seed(number)
        moved = [
            logits + torch.randn(logits.shape, generator=generator)
            for logits in self._fitted.channel_logits
        ]
        weights = self._folder / "made.safetensors"
        save_weights(weights, replace(self._fitted, channel_logits=tuple(moved)), default_trunk())
        if self._suffix == ".safetensors":
            return weights.read_bytes()
        path = self._folder / f"exported{self._suffix}"
        perception = replace(PerceptionConfig(), weights=str(weights))
        export_model(
            perception, path if self._suffix == ".onnx" else None, path if self._suffix == ".pt2" else None
        )
        return path.read_bytes()

    def broken(self, good: bytes) -> dict[str, bytes]:
        """Files that are no models, by what is wrong with them."""
        # In the middle of all three kinds of file there are weights. Bits that are all set are NaN wherever
        # a number begins.
        poisoned = good[: len(good) // 2] + b"\xff" * 2400
        return {
            "cut short": good[: len(good) // 2],
            "garbage": random.Random(0).randbytes(len(good)),
            "NaN for weights": poisoned + good[len(poisoned) :],
            "a pickle": pickle.dumps(_Trap(str(self.marker))),
        }


class _Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (self._path,)


@dataclass
class Load:
    """Clients that never stop asking.

    Attributes:
        statuses: of all answers; the name of the exception where there was none.
        distances: that comparisons of the one pair gave.
    """

    url: str
    sources: list[bytes]
    pair: tuple[bytes, bytes]
    statuses: Counter[str] = field(default_factory=Counter)
    distances: Counter[float] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Requests that were answered with anything but success."""
        return sum(count for status, count in self.statuses.items() if status != "200")

    async def ask(self, client: httpx2.AsyncClient, sources: Iterator[bytes]) -> None:
        """Compresses a picture and compares two, again and again, until it is canceled."""
        for source in sources:
            accept = {"Accept": "image/jpeg,image/png;q=0.1"}
            await self._noted(client.post(f"{self.url}/compress", content=source, headers=accept))
            await self.compare(client)

    async def compare(self, client: httpx2.AsyncClient) -> float:
        """The distance of the pair now; -1 where there is no answer."""
        files = dict(zip(("reference", "test"), self.pair, strict=True))
        response = await self._noted(client.post(f"{self.url}/compare", files=files))
        if response is None or response.status_code != 200:
            return -1.0
        distance = float(response.json()["scores"]["vgg"])
        self.distances[distance] += 1
        return distance

    async def _noted(self, asked: object) -> httpx2.Response | None:
        try:
            response: httpx2.Response = await asked  # type: ignore[misc]
        except httpx2.HTTPError as error:
            self.statuses[type(error).__name__] += 1
            return None
        self.statuses[str(response.status_code)] += 1
        return response


async def told(client: httpx2.AsyncClient, server: Server) -> dict[str, str]:
    """What ``/metrics`` says of the model."""
    text = (await client.get(f"{server.url}/metrics")).text
    found = dict(re.findall(r"^imgcompress_model_(version|swaps|refusals|rollbacks) (\S+)$", text, re.MULTILINE))
    [found["digest"]] = re.findall(r'^imgcompress_model_info\{digest="(\w+)"\}', text, re.MULTILINE)
    return found


async def replace_all(
    server: Server, path: Path, files: list[tuple[str, bytes]], load: Load, clients: int
) -> tuple[list[str], float]:
    """Replaces the file by each, under load.

    Args:
        server: it follows the file.
        path: of the file.
        files: kinds and contents; a good one's kind is "good".
        load: the clients.
        clients: how many.

    Returns:
        What went wrong, and the distance of the pair after the last one.
    """
    faults = []
    limits = httpx2.Limits(max_connections=clients + 1)
    async with httpx2.AsyncClient(timeout=600, limits=limits) as client:
        sources = itertools.cycle(load.sources)
        asking = [asyncio.create_task(load.ask(client, sources)) for _ in range(clients)]
        before = await told(client, server)
        for number, (kind, content) in enumerate(files, 1):
            started = time.perf_counter()
            place(path, content, in_place=number % 2 == 0)
            after = before
            while after == before and time.perf_counter() - started < VERDICT_SECONDS:
                await asyncio.sleep(0.1)
                after = await told(client, server)
            changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
            expected = {"swaps", "version", "digest"} if kind == "good" else {"refusals"}
            seconds = time.perf_counter() - started
            if set(changed) != expected:
                faults.append(f"replacement {number} ({kind}): {changed or 'no verdict'} after {seconds:.0f} s")
            line = f"{number:3}  {kind:16} {', '.join(sorted(changed)):24} {seconds:4.1f} s"
            print(f"{line}  {sum(load.statuses.values()):6} requests, {load.failed} failed", flush=True)
            before = after
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        distance = await load.compare(client)
        print(", ".join(f"{name} {value}" for name, value in (await told(client, server)).items()))
    return faults, distance


def place(path: Path, content: bytes, *, in_place: bool) -> None:
    """Puts a file where the server's is: written over slowly, or renamed over."""
    if in_place:
        half = len(content) // 2
        with path.open("wb") as file:
            file.write(content[:half])
            file.flush()
            time.sleep(0.02)
            file.write(content[half:])
    else:
        beside = path.with_name("next" + path.suffix)
        beside.write_bytes(content)
        beside.replace(path)


def crops() -> list[bytes]:
    """PNG files of details of the sample photographs."""
    from sample_photos import main as copy_sample_photos

    files = []
    with TemporaryDirectory() as name:
        copy_sample_photos(Path(name))
        for path in sorted(Path(name).iterdir()):
            buffer = io.BytesIO()
            with Image.open(path) as image:
                image.convert("RGB").crop((120, 120, 120 + WIDTH, 120 + HEIGHT)).save(buffer, "PNG")
            files.append(buffer.getvalue())
    return files


def own_distance(path: Path, pair: tuple[bytes, bytes]) -> float:
    """What a model in a file says of two pictures, without any server."""
    a, b = (
        torch.from_numpy(np.array(Image.open(io.BytesIO(data)).convert("RGB"))).permute(2, 0, 1)[None] / 255
        for data in pair
    )
    with torch.no_grad():
        return float(load_model(path, PerceptionConfig(), torch.device("cpu"))(a, b))


def is_near(value: float, other: float) -> bool:
    """Whether two distances are one model's."""
    return abs(value - other) <= SAME * other


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replacements", type=int, default=50)
    parser.add_argument("--broken", type=int, default=10, help="of them")
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--suffix", choices=(".safetensors", ".onnx", ".pt2"), default=".safetensors")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    options = parser.parse_args()
    if not 0 <= options.broken < options.replacements:
        parser.error("--broken: fewer than --replacements")
    with TemporaryDirectory() as name:
        return replace_and_judge(Path(name), options)


def replace_and_judge(folder: Path, options: argparse.Namespace) -> int:
    """Makes files, starts a server, replaces, prints; returns the exit code."""
    models = Models(folder, options.suffix)
    good = [models.good(number) for number in range(1 + options.replacements - options.broken)]
    kinds = itertools.cycle(models.broken(good[0]).items())
    files = [("good", content) for content in good[1:]]
    order = random.Random(options.seed)
    for kind, content in itertools.islice(kinds, options.broken):
        files.insert(order.randrange(len(files) + 1), (kind, content))

    sources = crops()
    damaged = io.BytesIO()
    Image.open(io.BytesIO(sources[0])).save(damaged, "JPEG", quality=30)
    pair = sources[0], damaged.getvalue()
    (folder / "watched").mkdir()
    path = folder / "watched" / f"model{options.suffix}"
    path.write_bytes(good[0])
    words = ["-m", "imgcompress", "serve", "--preset=instant", "--verify=vgg", "--device=cpu"]
    with running([*words, "--request-seconds=600", f"--model={path}"]) as server:
        load = Load(server.url, sources, pair)
        started = time.perf_counter()
        faults, last = asyncio.run(replace_all(server, path, files, load, options.clients))
        seconds = time.perf_counter() - started

    distances = []
    for content in good:
        place(path, content, in_place=False)
        distances.append(own_distance(path, pair))
    strange = [value for value in load.distances if not any(is_near(value, own) for own in distances)]
    print(f"{sum(load.statuses.values())} requests in {seconds:.0f} s, {load.failed} failed: {dict(load.statuses)}")
    print(
        f"{len(good) - 1} good models, {len(set(good))} different files with the first one, "
        f"distances of one pair {min(distances):.4f} to {max(distances):.4f}"
    )
    print(f"at the end {last:.6f}, the last good model's own {distances[-1]:.6f}")
    if load.failed:
        faults.append(f"{load.failed} requests failed")
    if strange:
        faults.append(f"distances of no good model: {strange}")
    if not is_near(last, distances[-1]):
        faults.append("the model at the end is another one")
    if models.marker.exists():
        faults.append("a pickle was unpickled")
    print(*faults or ["all is well"], sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
