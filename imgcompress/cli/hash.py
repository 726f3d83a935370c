"""``imgcompress hash``."""

from pathlib import Path
from typing import Any

from rich.console import Console

from imgcompress.cli.exits import EXIT_OK, EXIT_SOME_FAILED
from imgcompress.cli.parser import Parser, add_files_of_settings, add_paths
from imgcompress.cli.printing import printing
from imgcompress.cli.settings import as_path, of_class
from imgcompress.config import Config

HELP = "find pictures that look alike"


def make_parser() -> Parser:
    """The options."""
    parser = Parser(
        usage="imgcompress hash [options] PATH...",
        description="Print hashes of what pictures look like (luminance, color, quality), or what is alike.",
    )
    add_paths(parser)
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object a line")
    parser.add_argument(
        "--near",
        type=int,
        metavar="DISTANCE",
        help="print no hashes, but the pairs that at most so many of 256 bits of luminance tell apart, with "
        "their distances in luminance and color (31 finds copies)",
    )
    parser.add_argument(
        "--against",
        metavar="HASHES.jsonl",
        help="look for the near ones among hashes that --json has printed, not among the pictures themselves",
    )
    add_files_of_settings(parser)
    parser.add_class_arguments(Config)
    return parser


def run(options: Any, _: Console) -> int:
    """Hashes pictures."""
    from imgcompress.comparison.hash_command import HashOptions, run

    asked = HashOptions(tuple(map(Path, options.paths)), options.json, options.near, as_path(options.against))
    with printing():
        all_read = run(asked, of_class(Config, options))
    return EXIT_OK if all_read else EXIT_SOME_FAILED
