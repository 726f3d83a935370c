"""``imgcompress inspect``: files in, descriptions out, in the order of the files."""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from rich.console import Console

from imgcompress.config import Config
from imgcompress.dataset.named_files import File, Unread, named_entries, read_windows, readable, reason
from imgcompress.dataset.pipeline import map_ahead
from imgcompress.dataset.sources import Entry
from imgcompress.errors import PictureError, UsageError
from imgcompress.forensics.signatures import Signatures, load_signatures
from imgcompress.image.write import write_atomically
from imgcompress.inspection.headers import inspect_headers
from imgcompress.inspection.inspector import Inspector
from imgcompress.inspection.panel import show_line, show_panel
from imgcompress.inspection.plot import plot
from imgcompress.inspection.record import Inspection
from imgcompress.inspection.to_json import to_json


@dataclass(frozen=True)
class InspectOptions:
    """What is asked for beside the settings.

    Attributes:
        paths: pictures, folders, lists.
        json: a JSON object a line instead of text.
        plot: where the histograms of the one picture go; None for nowhere.
        headers_only: decode nothing.
        signatures: files with more encoders.
    """

    paths: tuple[Path, ...]
    json: bool = False
    plot: Path | None = None
    headers_only: bool = False
    signatures: tuple[Path, ...] = ()


def run(options: InspectOptions, config: Config) -> bool:
    """Prints a description of every picture.

    Args:
        options: what is asked for.
        config: the run that advice is given for, and limits.

    Returns:
        Whether every file could be read. Damage is no reason for a no: it is described.

    Raises:
        UsageError: no pictures there, or options that cannot be carried out.
    """
    signatures = load_signatures(options.signatures)
    entries = named_entries(options.paths)
    first = list(islice(entries, 2))
    is_one = len(first) == 1
    if options.plot is not None:
        if options.headers_only or not is_one:
            raise UsageError("--plot: it takes one picture, decoded")
        if options.plot.exists() and not options.plot.is_file():
            raise UsageError(f"--plot: {options.plot} is no file, and cannot be written")
        if options.plot.exists() and options.plot.samefile(first[0].source):
            raise UsageError(f"--plot: {options.plot} is the picture itself")
    console, is_readable = Console(), True
    with ThreadPoolExecutor(config.threads, thread_name_prefix="inspect") as pool:
        for found in _inspections(chain(first, entries), options, config, signatures, pool):
            is_readable &= found.error is None
            if options.json:
                line = json.dumps({"file": found.name, "error": found.error} | to_json(found))
                console.out(line, highlight=False)
            elif is_one:
                show_panel(found, console)
            else:
                show_line(found, console)
            if options.plot is not None:
                _write(options.plot, plot(found))
    return is_readable


def _write(path: Path, drawing: bytes) -> None:
    try:
        write_atomically(path, drawing)
    except PictureError as error:
        raise UsageError(f"--plot: {error}") from error


def _inspections(
    entries: Iterable[Entry], options: InspectOptions, config: Config, signatures: Signatures, pool: Executor
) -> Iterator[Inspection]:
    """In the order of the files, a bounded number of them ahead."""
    if options.headers_only:
        yield from map_ahead(pool, lambda entry: _headers(entry, signatures), entries, 2 * config.threads)
        return
    inspector = Inspector(config, signatures)
    for window in read_windows(entries, config, pool):
        yield from _looked_into(window, inspector, pool)


def _looked_into(
    window: Sequence[File | Unread], inspector: Inspector, pool: Executor
) -> Iterator[Inspection]:
    """The inspections of what could be read, with the others in their places."""
    found = iter(inspector.inspect([file for file in window if isinstance(file, File)], pool))
    return (
        next(found) if isinstance(file, File) else Inspection(file.name, error=file.error) for file in window
    )


def _headers(entry: Entry, signatures: Signatures) -> Inspection:
    try:
        return inspect_headers(readable(entry), signatures)
    except OSError as error:
        return Inspection(str(entry.source), error=reason(error))
