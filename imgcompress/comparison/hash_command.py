"""``imgcompress hash``: files in, hashes or pairs of near-duplicates out."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.dataset.named_files import File, Unread, named_entries, read_windows
from imgcompress.dataset.printable import printable
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.faults import caught
from imgcompress.hashing.luma_bits import LUMA_BITS
from imgcompress.hashing.near import NearPair, near_duplicates
from imgcompress.hashing.perceptual_hash import COLOR_MATCH, PerceptualHash, hash_thumbnails
from imgcompress.hashing.thumbnail import thumbnail
from imgcompress.image.decoded import is_stand_in
from imgcompress.image.read import probe, read_picture
from imgcompress.image.upright import upright


@dataclass(frozen=True)
class HashOptions:
    """What is asked for beside the settings.

    Attributes:
        paths: pictures, folders, lists.
        json: a JSON object a line instead of text.
        near: print pairs of pictures that at most so many bits of luminance tell apart, not hashes.
        against: what an earlier call with ``json`` printed, to look for the near ones in; None to look among
            the pictures themselves.

    Raises:
        UsageError: options that do not go together, or an absurd distance.
    """

    paths: tuple[Path, ...]
    json: bool = False
    near: int | None = None
    against: Path | None = None

    def __post_init__(self) -> None:
        if self.near is None and self.against is not None:
            raise UsageError("--against: it goes with --near only")
        if self.near is not None and not 0 <= self.near <= LUMA_BITS:
            raise UsageError(f"--near: expected a number of bits from 0 to {LUMA_BITS}, got {self.near}")


@dataclass(frozen=True)
class _Named:
    """Hashes with the names of their files."""

    names: list[str]
    hashes: list[PerceptualHash]


def run(options: HashOptions, config: Config) -> bool:
    """Prints a hash of every picture, or the pairs that look alike.

    Args:
        options: what is asked for.
        config: the device, threads and limits.

    Returns:
        Whether every picture could be read. Those that could not are named: on the standard error stream, or
        as JSON objects with ``error`` among the others.

    Raises:
        UsageError: no pictures there, or options that cannot be carried out.
    """
    known = None if options.against is None else _read_hashes(options.against)
    entries = named_entries(options.paths)
    device, console = find_device(config.device), Console()
    kept, all_read = _Named([], []), True
    with ThreadPoolExecutor(config.threads, thread_name_prefix="hash") as pool:
        for window in read_windows(entries, config, pool):
            for name, found in _hashes(window, config, device, pool):
                if isinstance(found, str):
                    all_read = False
                    _say_error(name, found, console if options.json else None)
                elif options.near is None:
                    console.out((_as_json if options.json else _as_text)(name, found), highlight=False)
                else:
                    kept.names.append(name)
                    kept.hashes.append(found)
    if options.near is not None:
        alike = near_duplicates(
            kept.hashes, None if known is None else known.hashes, max_distance=options.near, device=device
        )
        show = _pair_as_json if options.json else _pair_as_text
        for pair in alike:
            others = kept if known is None else known
            console.out(show(pair, kept.names[pair.first], others.names[pair.second]), highlight=False)
    return all_read


def _hashes(
    window: Sequence[File | Unread], config: Config, device: torch.device, pool: Executor
) -> Iterator[tuple[str, PerceptualHash | str]]:
    """The hashes of a window, and why there is none."""
    shrink: Callable[[File | Unread], _Shrunk | PictureError] = partial(
        caught, partial(_shrunk, config=config, device=device)
    )
    shrunk = list(pool.map(shrink, window))
    there = [each for each in shrunk if isinstance(each, _Shrunk)]
    hashes: Iterator[PerceptualHash] = iter(())
    if there:
        small = torch.stack([each.pixels for each in there])
        hashes = iter(hash_thumbnails(small, [each.size for each in there]))
    for file, each in zip(window, shrunk, strict=True):
        yield file.name, next(hashes) if isinstance(each, _Shrunk) else str(each)


@dataclass(frozen=True)
class _Shrunk:
    """What a hash needs of a picture: 64 x 64 pixels and its own size."""

    pixels: Tensor
    size: tuple[int, int]


def _shrunk(file: File | Unread, config: Config, device: torch.device) -> _Shrunk:
    """Runs in the pool; the large picture is gone when it returns."""
    if isinstance(file, Unread):
        raise PictureError(Reason.READ_ERROR, file.error)
    picture = read_picture(file.data, config.limits.max_megapixels)
    if picture.keep is not None and is_stand_in(picture, probe(file.data)):
        raise PictureError(*picture.keep)
    picture = upright(picture)
    return _Shrunk(thumbnail(picture.decoded, device), (picture.height, picture.width))


def _as_text(name: str, found: PerceptualHash) -> str:
    return "  ".join((*found.to_hex(), f"{found.quality:3}", printable(name)))


def _as_json(name: str, found: PerceptualHash) -> str:
    luma, color = found.to_hex()
    return json.dumps({"file": name, "luma": luma, "color": color, "quality": found.quality})


def _say_error(name: str, error: str, out: Console | None) -> None:
    if out is not None:
        out.out(json.dumps({"file": name, "error": error}), highlight=False)
        return
    Console(stderr=True).out(f"imgcompress: {printable(name)}: {printable(error)}", highlight=False)


def _pair_as_text(pair: NearPair, first: str, second: str) -> str:
    note = "other colors" if pair.color > COLOR_MATCH else "same colors"
    return f"{pair.luma:3} {pair.color:3}  {note:12}  {printable(first)}  {printable(second)}"


def _pair_as_json(pair: NearPair, first: str, second: str) -> str:
    return json.dumps({"first": first, "second": second, "luma": pair.luma, "color": pair.color})


def _read_hashes(path: Path) -> _Named:
    """What ``--json`` printed; lines about unreadable files are passed over."""
    known = _Named([], [])
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                name, found = _from_json(line, f"--against: {path}, line {number}")
                if found is not None:
                    known.names.append(name)
                    known.hashes.append(found)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--against: {path} cannot be read: {error}") from error
    return known


def _from_json(line: str, where: str) -> tuple[str, PerceptualHash | None]:
    try:
        found = json.loads(line)
        if "error" in found:
            return str(found["file"]), None
        return str(found["file"]), PerceptualHash.from_hex(found["luma"], found["color"], found["quality"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{where}: no hash of imgcompress hash --json: {error}") from error
