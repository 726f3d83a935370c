"""``imgcompress compare``: pairs of files in, verdicts out, in the order of their names."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from imgcompress.comparison.annotations import annotate
from imgcompress.comparison.comparer import Comparer, Opened
from imgcompress.comparison.criteria import Criterion
from imgcompress.comparison.exclusions import Exclusions
from imgcompress.comparison.junit import write_junit
from imgcompress.comparison.lines import show_line, show_totals, to_json
from imgcompress.comparison.opening import open_pair
from imgcompress.comparison.pairing import Pair, new_pairs, pairs_of
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.comparison.update import accept
from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.dataset.pipeline import map_ahead, windows_of
from imgcompress.errors import UsageError

_MOST_PAIRS = 16
"""Measured at once, at most."""


@dataclass(frozen=True)
class CompareOptions:
    """What is asked for beside the settings.

    Attributes:
        reference, test: two files or two folders.
        criteria: what a pair must fulfil.
        metrics: names of those that are measured beside the criteria's.
        exclusions: what is not compared.
        heatmap: where the map of the one pair goes, or the folder for those of many; None for nowhere.
        json: a JSON object a line instead of text.
        junit, html: files to be written; None for none.
        github: print annotations for GitHub's workflows, too.
        update: what did not pass becomes the new reference.
        allow_extra: a picture without a reference is no failure.
    """

    reference: Path
    test: Path
    criteria: tuple[Criterion, ...]
    metrics: tuple[str, ...] = ()
    exclusions: Exclusions = Exclusions()  # noqa: RUF009  # frozen
    heatmap: Path | None = None
    json: bool = False
    junit: Path | None = None
    html: Path | None = None
    github: bool = False
    update: bool = False
    allow_extra: bool = False


def run(options: CompareOptions, config: Config, messages: Console) -> int:
    """Compares and tells.

    Args:
        options: what is asked for.
        config: limits, the device, and how the VGG distance is taken.
        messages: for progress and what is not a result.

    Returns:
        0 all pass, or are accepted now; 1 some do not; 2 some cannot be compared.

    Raises:
        UsageError: nothing to compare, or options that cannot be carried out.
    """
    pairs = _pairs(options)
    comparer = Comparer(config, find_device(config.device), options.criteria, metrics=options.metrics)
    console, started, results = Console(), time.perf_counter(), []
    name_width = max(len(pair.name) for pair in pairs)
    with (
        ThreadPoolExecutor(config.threads, thread_name_prefix="compare") as pool,
        Progress(console=messages, transient=True) as progress,
    ):
        for compared, opened in progress.track(_compared(pairs, options, comparer, config, pool), len(pairs)):
            results.append(compared)
            if options.json:
                console.out(json.dumps(to_json(compared)), highlight=False)
            else:
                show_line(compared, name_width, console)
    if not options.json:
        show_totals(results, console)
    if options.junit is not None:
        write_junit(options.junit, results, time.perf_counter() - started)
    if options.github:
        ...
    if options.update:
        return _update(results, options.reference, messages)
    return _exit_code(results)
