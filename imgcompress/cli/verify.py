"""``imgcompress verify``."""

from pathlib import Path
from typing import Any

from jsonargparse import SUPPRESS
from rich.console import Console

from imgcompress.cli.exits import EXIT_OK, EXIT_SOME_FAILED
from imgcompress.cli.parser import Parser, add_files_of_settings
from imgcompress.cli.printing import printing
from imgcompress.cli.settings import as_path, of_class
from imgcompress.config import Config

HELP = "look at what a past run has left"


def make_parser() -> Parser:
    """The options."""
    parser = Parser(
        usage="imgcompress verify [options] REPORT.jsonl|LEDGER",
        description="Open and measure every output of a past run again, and say which are missing, altered, "
        "unreadable or below target.",
    )
    parser.add_argument(
        "past",
        metavar="REPORT.jsonl|LEDGER",
        default=SUPPRESS,
        help="a report of recompress; or a destination, its state folder or its ledger",
    )
    parser.add_argument(
        "--backup", metavar="DIR", help="of a run in place: where it copied its sources to (with a ledger)"
    )
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object an output")
    add_files_of_settings(parser)
    parser.add_class_arguments(Config)
    return parser


def run(options: Any, console: Console) -> int:
    """Looks at what a past run has left."""
    from imgcompress.dataset.verify_command import VerifyOptions, run

    asked = VerifyOptions(Path(options.past), as_path(options.backup), options.json)
    with printing():
        all_well = run(asked, of_class(Config, options), console)
    return EXIT_OK if all_well else EXIT_SOME_FAILED
