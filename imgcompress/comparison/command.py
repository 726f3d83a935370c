"""``imgcompress compare``: pairs of files in, verdicts out, in the order of their names."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from imgcompress.comparison.annotations import append_summary, commands
from imgcompress.comparison.common_space import Seen
from imgcompress.comparison.comparer import Comparer
from imgcompress.comparison.criteria import Criterion
from imgcompress.comparison.drawings import LOCATED_BY, Drawing
from imgcompress.comparison.exclusions import Exclusions
from imgcompress.comparison.html_page import MOST_FIGURES, write_page
from imgcompress.comparison.junit import write_junit
from imgcompress.comparison.lines import show_line, show_totals, to_json
from imgcompress.comparison.output_places import check_places
from imgcompress.comparison.pairing import Pair, new_pairs, pairs_of
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.comparison.stream import compare_all
from imgcompress.comparison.update import accept
from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.dataset.printable import printable
from imgcompress.drawing.pair import PairDrawing
from imgcompress.errors import PictureError, UsageError
from imgcompress.faults import caught
from imgcompress.image.write import write_atomically

Made = TypeVar("Made", Drawing, PairDrawing, bytes)


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
    pairs, started = _pairs(options), time.perf_counter()
    check_places(
        {"--heatmap": options.heatmap, "--junit": options.junit, "--html": options.html},
        pairs,
        (options.reference, options.test),
    )
    console = Console()
    results: list[Compared] = []
    drawings: dict[str, PairDrawing] = {}
    name_width = max(len(printable(pair.name)) for pair in pairs)
    with Progress(
        console=messages, transient=True, redirect_stdout=False, disable=console.is_terminal
    ) as progress:
        task = progress.add_task("compare", total=len(pairs))
        for judged, seen in compare_all(pairs, _comparer(options, config), options.exclusions, config):
            compared = _excused(judged) if options.allow_extra else judged
            results.append(compared)
            is_shown = compared.outcome is Outcome.FAILED and len(drawings) < MOST_FIGURES
            on_page = options.html is not None and is_shown
            if seen is not None and (on_page or options.heatmap is not None):
                shown = _draw(options, compared, seen, messages, on_page=on_page)
                if shown is not None:
                    drawings[compared.name] = shown
            if options.json:
                console.out(json.dumps(to_json(compared)), highlight=False)
            else:
                show_line(compared, name_width, console)
            progress.advance(task)
    if not options.json:
        show_totals(results, console)
    if options.junit is not None:
        write_junit(options.junit, results, time.perf_counter() - started)
    if options.html is not None:
        write_page(options.html, _title(options), results, drawings.get)
    if options.github:
        for line in commands(results, os.environ):
            messages.out(line, highlight=False)
        append_summary(results, os.environ)
    if options.update:
        return _update(results, options.reference, messages)
    return _exit_code(results)


def _pairs(options: CompareOptions) -> list[Pair]:
    try:
        if options.update and options.test.is_dir() and not _has_files(options.reference):
            return new_pairs(options.reference, options.test)
        return pairs_of(options.reference, options.test)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error


def _comparer(options: CompareOptions, config: Config) -> Comparer:
    is_drawn = options.heatmap is not None or options.html is not None
    return Comparer(
        config,
        find_device(config.device),
        options.criteria,
        metrics=options.metrics,
        locate=[LOCATED_BY] if is_drawn else [],
    )


def _title(options: CompareOptions) -> str:
    return printable(f"{options.reference.name} and {options.test.name}")


def _draw(
    options: CompareOptions, compared: Compared, seen: Seen, messages: Console, *, on_page: bool
) -> PairDrawing | None:
    """Writes the heat map, if one is asked for; returns what the page shows, if it shows this pair."""
    drawing = _drawn(compared.name, messages, Drawing, seen, compared)
    if drawing is None:
        return None
    if options.heatmap is not None:
        _write_heatmap(options, compared, _drawn(compared.name, messages, drawing.side_by_side))
    return _drawn(compared.name, messages, drawing.for_page) if on_page else None


def _drawn(name: str, messages: Console, draw: Callable[..., Made], *arguments: object) -> Made | None:
    """None where it cannot be drawn; the others go on."""
    made = caught(draw, *arguments)
    if not isinstance(made, PictureError):
        return made
    message = printable(f"{name} cannot be drawn: {made}")
    messages.print(message, markup=False, highlight=False, soft_wrap=True)
    return None


def _write_heatmap(options: CompareOptions, compared: Compared, drawing: bytes | None) -> None:
    if drawing is None or options.heatmap is None:
        return
    place = options.heatmap / f"{compared.name}.png" if options.test.is_dir() else options.heatmap
    try:
        write_atomically(place, drawing)
    except PictureError as error:
        raise UsageError(f"--heatmap: {error}") from error


def _has_files(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _excused(compared: Compared) -> Compared:
    """A picture without a reference, where that is no failure."""
    if compared.outcome is not Outcome.EXTRA:
        return compared
    return replace(compared, outcome=Outcome.PASSED, notes=("there is no reference",))


def _exit_code(results: Sequence[Compared]) -> int:
    outcomes = {compared.outcome for compared in results}
    return 2 if Outcome.ERROR in outcomes else int(outcomes != {Outcome.PASSED})


def _update(results: Sequence[Compared], reference: Path, messages: Console) -> int:
    accepted = accept(results, reference)
    for name, problem in accepted.items():
        told = "is the new reference" if problem is None else f"is not accepted: {problem}"
        messages.print(f"{printable(name)} {told}", markup=False, highlight=False, soft_wrap=True)
    return int(any(problem is not None for problem in accepted.values()))
