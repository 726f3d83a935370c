"""Comparisons as lines of text and as JSON."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from imgcompress.comparison.criteria import METRICS
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.dataset.printable import printable

_STYLES = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.EXTRA: "yellow"}
_WIDEST_NAME = 60


def show_line(compared: Compared, name_width: int, console: Console) -> None:
    """Prints a pair: how it ended, its scores, and below that what is to be said about it."""
    width = min(name_width, _WIDEST_NAME)
    line = Text(f"{compared.outcome:<8}", style=_STYLES.get(compared.outcome, "red"))
    line.append(f"{printable(compared.name):<{width}}", style="default")
    for name, value in compared.scores.items():
        line.append(f"  {name} ", style="dim").append(METRICS[name].text(value), style="default")
    for name, (worst, *_) in compared.worst.items():
        line.append(f"  worst window by {name} ", style="dim")
        line.append(f"{METRICS[name].text(worst.value)} at ({worst.x}, {worst.y})", style="default")
    _print(line, console)
    for failure in compared.failures:
        _print(Text(f"        {printable(failure)}", style="red"), console)
    if compared.failures:
        for name, windows in compared.worst.items():
            places = ", ".join(f"{METRICS[name].text(w.value)} at ({w.x}, {w.y})" for w in windows)
            _print(Text(f"        worst windows by {name}: {places}", style="dim"), console)
    if compared.error is not None:
        _print(Text(f"        {printable(compared.error)}", style="red"), console)
    for note in compared.notes:
        _print(Text(f"        {printable(note)}"), console)


def show_totals(results: Iterable[Compared], console: Console) -> None:
    """Prints how many pairs ended in which way."""
    counts = Counter(compared.outcome for compared in results)
    words = [f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome]]
    _print(Text(", ".join(words), style="bold"), console)


def _print(line: Text, console: Console) -> None:
    console.print(line, soft_wrap=True)


def to_json(compared: Compared) -> dict[str, Any]:
    """What is known of a pair as values that JSON has; what is not a number is null.

    Paths are as given; windows have x, y, width, height and value.
    """
    files = {"reference": _text(compared.reference), "test": _text(compared.test)}
    scores = {name: _finite(value) for name, value in compared.scores.items()}
    worst = {
        name: [asdict(window) | {"value": _finite(window.value)} for window in windows]
        for name, windows in compared.worst.items()
    }
    return asdict(compared) | files | {"scores": scores, "worst": worst}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
