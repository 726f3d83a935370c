"""``imgcompress ledger``."""

import json
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from imgcompress.cli.exits import EXIT_OK
from imgcompress.cli.parser import Parser
from imgcompress.cli.printing import printing
from imgcompress.records import Status

HELP = "show what has been done"


def make_parser() -> Parser:
    """The options."""
    parser = Parser(
        usage="imgcompress ledger [options] PATH", description="Show what runs into a folder have done."
    )
    parser.add_argument("path", metavar="PATH", help="a destination, or its state folder")
    parser.add_argument(
        "--status", type=Literal[tuple(Status)], help="list the pictures of one status instead of totals"
    )
    parser.add_argument("--json", action="store_true", help="for programs: one JSON value a line")
    return parser


def run(options: Any, _: Console) -> int:
    """Shows totals, or the pictures of one status."""
    from imgcompress.dataset.ledger import open_ledger
    from imgcompress.dataset.printable import printable

    console = Console()
    with printing(), open_ledger(Path(options.path)) as ledger:
        if options.status is not None:
            for row in ledger.rows([Status(options.status)]):
                record = row.record
                line = f"{row.key}: {record.reason}" + (f", {record.error}" if record.error else "")
                print(record.to_json() if options.json else printable(line))
            return EXIT_OK
        totals = ledger.totals()
    if options.json:
        keys = ("status", "reason", "pictures", "bytes_in", "bytes_out")
        for total in totals:
            print(json.dumps(dict(zip(keys, total, strict=True))))
        return EXIT_OK
    table = Table("status", "reason", "pictures", "bytes in", "bytes out", box=None)
    for status, reason, count, bytes_in, bytes_out in totals:
        table.add_row(status, reason, f"{count:,}", f"{bytes_in:,}", f"{bytes_out:,}")
    console.print(table)
    return EXIT_OK
