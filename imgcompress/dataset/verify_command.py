"""``imgcompress verify``: a past run in, the condition of every output out."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from imgcompress.config import Config
from imgcompress.dataset.audit import Auditor
from imgcompress.dataset.audited import FAULTLESS, Audited, Condition
from imgcompress.dataset.claims import Claim, Item, ShardClaim, open_past_run
from imgcompress.dataset.printable import printable


@dataclass(frozen=True)
class VerifyOptions:
    """What is asked for beside the settings.

    Attributes:
        past: a report, a ledger, or a destination.
        backup: where a run in place has copied its sources to; None for nowhere.
        json: a JSON object a line for every output, instead of a line for each that has a fault.
    """

    past: Path
    backup: Path | None = None
    json: bool = False


def run(options: VerifyOptions, config: Config, console: Console) -> bool:
    """Looks at every output of a past run; nothing is written.

    Args:
        options: what is asked for.
        config: the device, threads and limits, and how the VGG distance is taken.
        console: for progress and totals; the findings go to the standard output.

    Returns:
        Whether no output has a fault.

    Raises:
        UsageError: there is neither report nor ledger, it cannot be read, or the device or a library is not
            there.
    """
    counts: Counter[Condition] = Counter()
    notes = _Notes()
    auditor = Auditor(config)
    with open_past_run(options.past, options.backup) as past, _progress(console) as progress:
        bar = progress.add_task("verify", total=past.records)
        for found in auditor.audit(notes.watch(past.items)):
            progress.advance(bar)
            if found is None:
                continue
            counts[found.condition] += 1
            if options.json:
                sys.stdout.write(_as_json(found) + "\n")
            elif found.condition not in FAULTLESS:
                sys.stdout.write(printable(f"{found.condition}: {found.name}: {found.message}") + "\n")
    _show(counts, notes, past.unconfirmed, console)
    return not counts.keys() - FAULTLESS


class _Notes:
    """Counts what is claimed without what is needed to check it."""

    def __init__(self) -> None:
        self.without_checksum = 0
        self.without_output = 0

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Passes items on."""
        for item in items:
            self.without_output += item is None
            claims = [item] if isinstance(item, Claim) else []
            if isinstance(item, ShardClaim):
                claims = [*item.members.values()]
            self.without_checksum += sum(claim.record.sha256_out is None for claim in claims)
            yield item


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        # On one terminal the lines go above the bar; into a file or pipe they go as they are.
        redirect_stdout=sys.stdout.isatty(),
    )


def _as_json(found: Audited) -> str:
    line = {
        "output": found.name,
        "condition": found.condition,
        "message": found.message,
        "scores": {name: value if isfinite(value) else None for name, value in found.scores.items()},
        "promised": found.promised,
    }
    return json.dumps(line, allow_nan=False)


def _show(counts: Counter[Condition], notes: _Notes, unconfirmed: int, console: Console) -> None:
    table = Table(show_header=False, box=None)
    for condition in Condition:
        if counts[condition]:
            table.add_row(condition, f"{counts[condition]:,}")
    console.print(table)
    if not counts.total():
        console.print("nothing is claimed: there are no outputs to look at")
    for count, told in (
        (notes.without_output, "without an output of the run"),
        (unconfirmed, "not confirmed: a run is at work on them, or was killed"),
        (
            notes.without_checksum,
            "without a checksum, as records of older versions are: what has the right size and opens passes, "
            "altered or not",
        ),
    ):
        if count:
            console.print(f"{count:,} {told}", soft_wrap=True)
