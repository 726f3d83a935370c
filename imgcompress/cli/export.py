"""``imgcompress export``."""

from pathlib import Path
from typing import Any

from rich.console import Console

from imgcompress.cli.exits import EXIT_OK
from imgcompress.cli.parser import Parser, add_files_of_settings
from imgcompress.config import Config
from imgcompress.errors import UsageError

HELP = "write the perceptual model as a file for other programs"


def make_parser() -> Parser:
    """The options."""
    parser = Parser(
        usage="imgcompress export [options] --onnx FILE.onnx | --pt2 FILE.pt2",
        description="Write the perceptual model as a file for ONNX Runtime or torch.export.",
    )
    parser.add_argument("--onnx", metavar="FILE.onnx", help="for ONNX Runtime (extra onnx)")
    parser.add_argument("--pt2", metavar="FILE.pt2", help="for torch.export.load")
    add_files_of_settings(parser)
    parser.add_class_arguments(Config)
    return parser


def run(options: Any, _: Console) -> int:
    """Writes the model."""
    from imgcompress.perception.export import export_model

    if options.onnx is None and options.pt2 is None:
        raise UsageError("--onnx or --pt2, the file to write, is missing")
    onnx, pt2 = (None if name is None else Path(name) for name in (options.onnx, options.pt2))
    export_model(options.perception, onnx, pt2)
    return EXIT_OK
