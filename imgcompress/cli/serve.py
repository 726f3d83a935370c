"""``imgcompress serve``."""

from typing import Any

from rich.console import Console

from imgcompress.cli.exits import EXIT_OK
from imgcompress.cli.parser import Parser, add_files_of_settings
from imgcompress.cli.settings import of_class
from imgcompress.config import Config
from imgcompress.errors import UsageError
from imgcompress.serve.options import ServeOptions

HELP = "compress pictures over HTTP (extra serve)"


def make_parser() -> Parser:
    """The options."""
    parser = Parser(
        usage="imgcompress serve [options]", description="Compress, compare and describe pictures over HTTP."
    )
    add_files_of_settings(parser)
    parser.add_class_arguments(ServeOptions)
    parser.add_class_arguments(Config)
    return parser


def run(options: Any, _: Console) -> int:
    """Serves until it is told to stop."""
    try:
        from imgcompress.serve.server import serve
    except ImportError as error:
        raise UsageError("serve: a library is missing; pip install 'imgcompress[serve]'") from error

    serve(of_class(Config, options), of_class(ServeOptions, options))
    return EXIT_OK
