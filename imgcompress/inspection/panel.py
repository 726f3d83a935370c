"""Inspections for people: a panel for one file, a line for each of many."""

from collections.abc import Iterator

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from imgcompress.inspection.record import Inspection


def show_panel(found: Inspection, console: Console) -> None:
    """Prints all that is known of one file."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(found):
        facts.add_row(Text(name, style="bold"), Text(value))
    parts = [facts]
    if found.findings:
        evidence = Table.grid(padding=(0, 2))
        for finding in found.findings:
            sure = f"{100 * finding.confidence:.0f} %"
            evidence.add_row(Text(finding.about, style="bold"), Text(sure, justify="right"), Text(finding.text))
        parts += [Text(), evidence]
    console.print(Panel(Group(*parts), title=Text(found.name), title_align="left"))


def show_line(found: Inspection, console: Console) -> None:
    """Prints the gist of one file."""
    words = [found.name, *_gist(found)]
    console.print("  ".join(words), markup=False, highlight=False, soft_wrap=True)
