"""``imgcompress compare``."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from jsonargparse import SUPPRESS
from rich.console import Console

from imgcompress.cli.parser import Parser
from imgcompress.cli.printing import printing
from imgcompress.cli.settings import as_path
from imgcompress.config import Config

_SETTINGS = ("device", "jobs", "limits", "perception")
"""Of the settings of a run those that a comparison has."""
_OTHERS: set[str | int] = {item.name for item in fields(Config) if item.name not in _SETTINGS}


HELP = "tell whether pictures are as good as others"


def make_parser() -> Parser:
    """The options."""
    parser = Parser(
        usage="imgcompress compare [options] REFERENCE TEST",
        description="Tell whether a picture, or every one of a folder, is as good as its reference, "
        "and where it is not.",
    )
    parser.add_argument("reference", metavar="REFERENCE", default=SUPPRESS, help="a picture or a folder")
    parser.add_argument(
        "test", metavar="TEST", default=SUPPRESS, help="what is compared with it, the same kind"
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="lossless, visually-lossless, high, medium, legacy, or a .yaml file: what must be fulfilled "
        "(default: high, unless thresholds are given)",
    )
    parser.add_argument(
        "--threshold",
        metavar="METRIC=VALUE",
        action="append",
        default=[],
        help="what the whole picture must reach; goes over the profile; may be given several times",
    )
    parser.add_argument(
        "--worst_window",
        metavar="METRIC=VALUE",
        action="append",
        default=[],
        help="the same of every window of 32x32 pixels",
    )
    parser.add_argument(
        "--metrics",
        metavar="NAMES",
        default="",
        help="what is measured beside that, with commas between: ssimulacra2, vgg, ssim, ms_ssim, psnr, "
        "max_error, phash, phash_color",
    )
    parser.add_argument(
        "--ignore",
        metavar="X,Y,WIDTH,HEIGHT",
        action="append",
        default=[],
        help="a rectangle of the upright picture that is not compared; may be given several times",
    )
    parser.add_argument("--mask", metavar="PNG", help="a picture: what is black in it is not compared")
    parser.add_argument(
        "--heatmap",
        metavar="OUT.png",
        help="draw where and how much the pictures differ; of two folders: the folder for the drawings",
    )
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object a line")
    parser.add_argument("--junit", metavar="FILE.xml", help="write the results as JUnit XML")
    parser.add_argument("--html", metavar="FILE.html", help="write a page that shows what did not pass")
    parser.add_argument(
        "--github", action="store_true", help="print annotations and a summary for GitHub's workflows"
    )
    parser.add_argument(
        "--update", action="store_true", help="make what did not pass, or is new, the reference from now on"
    )
    parser.add_argument(
        "--allow_extra", action="store_true", help="pictures without a reference are no failures"
    )
    parser.add_argument("--config", action="config", help="a YAML file with any of the options below")
    parser.add_class_arguments(Config, skip=_OTHERS)
    return parser


def run(options: Any, console: Console) -> int:
    """Compares pictures."""
    from imgcompress.comparison.command import CompareOptions, run
    from imgcompress.comparison.criteria import merged, metric_named, parse_criterion
    from imgcompress.comparison.exclusions import Exclusions, parse_rectangle, read_mask
    from imgcompress.comparison.profiles import DEFAULT_PROFILE, load_profile

    given = [parse_criterion(text, "--threshold") for text in options.threshold]
    given += [parse_criterion(text, "--worst-window", in_windows=True) for text in options.worst_window]
    profile = options.profile or (None if given else DEFAULT_PROFILE)
    asked = CompareOptions(
        Path(options.reference),
        Path(options.test),
        merged((*(() if profile is None else load_profile(profile)), *given)),
        tuple(metric_named(name.strip(), "--metrics").name for name in options.metrics.split(",") if name),
        Exclusions(
            tuple(map(parse_rectangle, options.ignore)),
            None if options.mask is None else read_mask(Path(options.mask)),
        ),
        as_path(options.heatmap),
        options.json,
        as_path(options.junit),
        as_path(options.html),
        options.github,
        options["update"],  # a namespace has a method of this name
        options.allow_extra,
    )
    config = Config(**{name: getattr(options, name) for name in _SETTINGS})
    with printing():
        return run(asked, config, console)
