"""``imgcompress inspect``."""

from pathlib import Path
from typing import Any

from rich.console import Console

from imgcompress.cli.exits import EXIT_OK, EXIT_SOME_FAILED
from imgcompress.cli.parser import Parser, add_files_of_settings, add_paths
from imgcompress.cli.printing import printing
from imgcompress.cli.settings import as_path, of_class
from imgcompress.config import Config

HELP = "describe pictures and what was done to them"


def make_parser() -> Parser:
    """The options."""
    parser = Parser(
        usage="imgcompress inspect [options] PATH...",
        description="Describe pictures: what they are, how good they look, what has been done to them.",
    )
    add_paths(parser)
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object a line")
    parser.add_argument(
        "--plot",
        metavar="OUT.png",
        help="of one JPEG: draw the histograms of its DCT values, where an earlier compression shows",
    )
    parser.add_argument(
        "--headers_only", action="store_true", help="read no more than the headers: no pixel is decoded"
    )
    parser.add_argument(
        "--signatures",
        metavar="FILE.yaml",
        action="append",
        default=[],
        help="more encoders to be recognized (docs/forensics.md); may be given several times",
    )
    add_files_of_settings(parser)
    parser.add_class_arguments(Config)
    return parser


def run(options: Any, _: Console) -> int:
    """Describes pictures."""
    from imgcompress.inspection.command import InspectOptions, run

    asked = InspectOptions(
        tuple(map(Path, options.paths)),
        options.json,
        as_path(options.plot),
        options.headers_only,
        tuple(map(Path, options.signatures)),
    )
    with printing():
        all_read = run(asked, of_class(Config, options))
    return EXIT_OK if all_read else EXIT_SOME_FAILED
