"""The command line: recompress, inspect, compare, hash, verify, ledger, serve, export."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from jsonargparse import SUPPRESS, ArgumentParser
from rich.console import Console
from rich.table import Table

from imgcompress import __version__
from imgcompress.config import Config, refuse_nulls
from imgcompress.errors import UsageError
from imgcompress.records import Status
from imgcompress.resources import resource_path
from imgcompress.serve.options import ServeOptions

if TYPE_CHECKING:
    from imgcompress.dataset.pipeline import Engine

Settings = TypeVar("Settings", Config, ServeOptions)
EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
COMPARE_SETTINGS = ("device", "jobs", "limits", "perception")
"""Of the settings of a run those that a comparison has."""
SHORT_FOR = {"--perceptual_weights": "--perception.weights", "--no_mark": "--mark=false"}


class _Parser(ArgumentParser):
    """jsonargparse, with option names spelled with hyphens on the command line."""

    def parse_args(self, args: Any = None, *rest: Any, **options: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        end = words.index("--") if "--" in words else len(words)
        words[:end] = _presets_as_files(list(map(_with_underscores, words[:end])))
        return super().parse_args(words, *rest, **options)

    def format_help(self, *formatter: Any) -> str:
        return re.sub(
            r"--[a-z_.]+", lambda match: match[0].replace("_", "-"), super().format_help(*formatter)
        )


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, separator, value = word.partition("=")
    name = "--" + name[2:].replace("-", "_")
    return SHORT_FOR.get(name, name) + separator + value


def _presets_as_files(words: list[str]) -> list[str]:
    """Each ``--preset NAME`` as the ``--config FILE`` that it stands for, before any other option."""
    files, rest = [], []
    left = iter(words)
    for word in left:
        name, separator, value = word.partition("=")
        if name != "--preset":
            rest.append(word)
            continue
        path = preset_path(value if separator else next(left, ""))
        files += ["--config", str(path)]
    with_presets = ("recompress", "inspect", "hash", "verify", "serve", "export")
    has_presets = bool(rest) and rest[0] in with_presets
    return [*rest[:1], *files, *rest[1:]] if has_presets else [*files, *rest]


def preset_path(name: str) -> Path:
    """The file of a preset.

    Raises:
        UsageError: there is none of this name; the message has those that there are.
    """
    presets = {path.stem: path for path in resource_path("configs/presets").glob("*.yaml")}
    if name not in presets:
        raise UsageError(f"--preset: expected one of {', '.join(sorted(presets))}, got {name!r}")
    return presets[name]


def build_parser() -> ArgumentParser:
    """The parser of the whole command line; the settings' options are the fields of :class:`Config`."""
    parser = _Parser(
        prog="imgcompress",
        description="Recompress pictures, spending bits where people look.",
        version=__version__,
    )
    commands = parser.add_subcommands(dest="command")
    recompress = _Parser(
        usage="imgcompress recompress [options] SRC DST\n"
        "       imgcompress recompress [options] SRC --in-place",
        description="Make smaller files of a folder of pictures or shards, or of one of them.",
    )
    # Without a default --print-config leaves them out: nulls in a file would undo the words before it.
    recompress.add_argument(
        "source",
        metavar="SRC",
        default=SUPPRESS,
        help="a folder, searched recursively; a picture; a shard (.tar, .parquet); or a list of them (.txt)",
    )
    recompress.add_argument(
        "destination",
        metavar="DST",
        nargs="?",
        default=SUPPRESS,
        help="the folder for the results; it mirrors SRC",
    )
    _add_files_of_settings(recompress)
    recompress.add_argument(
        "--report",
        metavar="FILE.jsonl",
        help="one JSON line a file, and FILE.html for people (default: report.jsonl in the state folder)",
    )
    recompress.add_argument(
        "--save_map", metavar="DIR", help="write each picture's attention map as a PNG; DIR mirrors SRC"
    )
    recompress.add_argument("--dry_run", action="store_true", help="compute everything, write no picture")
    recompress.add_argument(
        "--overwrite", action="store_true", help="replace files that are in the way, whoever made them"
    )
    recompress.add_argument(
        "--in_place",
        action="store_true",
        help="replace the sources, each when its result is verified",
    )
    recompress.add_argument(
        "--backup", metavar="DIR", help="in place: copy each source there before it is replaced"
    )
    recompress.add_argument(
        "--keep_times", action="store_true", help="outputs get their sources' times and permissions"
    )
    recompress.add_argument(
        "--copy_others", action="store_true", help="copy files that are no pictures, such as labels, to DST"
    )
    recompress.add_argument(
        "--state",
        metavar="DIR",
        help="ledger and report of the run (default: .imgcompress in DST, in place in SRC)",
    )
    recompress.add_argument(
        "--resume", type=bool, default=True, help="leave out what an earlier run with these settings has done"
    )
    recompress.add_argument(
        "--engine",
        type=Literal["local", "ray"],
        default="local",
        help="where pictures are computed: on this machine, or by the actors of a Ray cluster (extra ray)",
    )
    recompress.add_argument(
        "--ray_address",
        metavar="ADDRESS",
        help="the cluster's (default: RAY_ADDRESS, one that runs on this machine, or a new one)",
    )
    recompress.add_argument(
        "--include", nargs="+", metavar="GLOB", default=["*"], help="only paths below SRC that match one"
    )
    recompress.add_argument(
        "--exclude", nargs="+", metavar="GLOB", default=[], help="no path that matches one"
    )
    recompress.add_argument("--min_bytes", type=int, default=0, help="leave out smaller files")
    recompress.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    recompress.add_argument("--sample", type=int, metavar="N", help="only N pictures drawn at random")
    recompress.add_class_arguments(Config)
    commands.add_subcommand("recompress", recompress, help="make a folder of pictures smaller")
    commands.add_subcommand("inspect", _inspect_parser(), help="describe pictures and what was done to them")
    commands.add_subcommand("compare", _compare_parser(), help="tell whether pictures are as good as others")
    commands.add_subcommand("hash", _hash_parser(), help="find pictures that look alike")
    ledger = _Parser(
        usage="imgcompress ledger [options] PATH", description="Show what runs into a folder have done."
    )
    ledger.add_argument("path", metavar="PATH", help="a destination, or its state folder")
    ledger.add_argument(
        "--status", type=Literal[tuple(Status)], help="list the pictures of one status instead of totals"
    )
    ledger.add_argument("--json", action="store_true", help="for programs: one JSON value a line")
    commands.add_subcommand("ledger", ledger, help="show what has been done")
    commands.add_subcommand("verify", _verify_parser(), help="look at what a past run has left")
    serve = _Parser(
        usage="imgcompress serve [options]", description="Compress, compare and describe pictures over HTTP."
    )
    _add_files_of_settings(serve)
    serve.add_class_arguments(ServeOptions)
    serve.add_class_arguments(Config)
    commands.add_subcommand("serve", serve, help="compress pictures over HTTP (extra serve)")
    export = _Parser(
        usage="imgcompress export [options] --onnx FILE.onnx | --pt2 FILE.pt2",
        description="Write the perceptual model as a file for ONNX Runtime or torch.export.",
    )
    export.add_argument("--onnx", metavar="FILE.onnx", help="for ONNX Runtime (extra onnx)")
    export.add_argument("--pt2", metavar="FILE.pt2", help="for torch.export.load")
    _add_files_of_settings(export)
    export.add_class_arguments(Config)
    commands.add_subcommand("export", export, help="write the perceptual model as a file for other programs")
    return parser


def _inspect_parser() -> _Parser:
    parser = _Parser(
        usage="imgcompress inspect [options] PATH...",
        description="Describe pictures: what they are, how good they look, what has been done to them.",
    )
    _add_paths(parser)
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
    _add_files_of_settings(parser)
    parser.add_class_arguments(Config)
    return parser


def _compare_parser() -> _Parser:
    parser = _Parser(
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
        help="the same of every window of 64x64 pixels",
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
    parser.add_class_arguments(Config, skip=_set_of_others(COMPARE_SETTINGS))
    return parser


def _set_of_others(names: Collection[str]) -> set[str | int]:
    return {item.name for item in fields(Config) if item.name not in names}


def _hash_parser() -> _Parser:
    parser = _Parser(
        usage="imgcompress hash [options] PATH...",
        description="Print hashes of what pictures look like (luminance, color, quality), or what is alike.",
    )
    _add_paths(parser)
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
    _add_files_of_settings(parser)
    parser.add_class_arguments(Config)
    return parser


def _verify_parser() -> _Parser:
    parser = _Parser(
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
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object an output")
    _add_files_of_settings(parser)
    parser.add_class_arguments(Config)
    return parser


def _add_paths(parser: ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        default=SUPPRESS,
        help="a picture, a folder, searched recursively, or a list of them (.txt)",
    )


def _add_files_of_settings(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--preset",
        metavar="NAME",
        default=SUPPRESS,
        help="instant, fast, balanced or best: --config and the options below go over it",
    )
    parser.add_argument("--config", action="config", help="a YAML file with any of the options below")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: words after the program's name; None takes the process's own.

    Returns:
        The exit code: 0 all went well, 1 some pictures failed, 2 wrong usage, 130 interrupted.
    """
    console = Console(stderr=True)
    try:
        parser = build_parser()
        try:
            options = parser.parse_args(arguments)
        except UnicodeDecodeError as error:
            raise UsageError(f"--config: the file is no UTF-8 text: {error}") from error
        if options.command == "ledger":
            return _ledger(options.ledger)
        settings = options[options.command]
        if "preset" in settings:
            raise UsageError("preset: an option of the command line only; no file of settings names one")
        refuse_nulls(settings)
        made = parser.instantiate(options)
        commands: dict[str, Callable[[Any], int]] = {
            "recompress": partial(_recompress, console=console),
            "inspect": _inspect,
            "compare": partial(_compare, messages=console),
            "hash": _hash,
            "verify": partial(_verify, console=console),
            "serve": _serve,
            "export": _export,
        }
        return commands[options.command](made[options.command])
    except SystemExit as stop:  # the parser's own: 0 after --help, 2 after an error it has printed
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except UsageError as error:
        message = f"imgcompress: {error}"
        console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_USAGE
    except KeyboardInterrupt:
        console.print("imgcompress: interrupted; what is written is whole, a rerun goes on from there")
        return EXIT_INTERRUPTED


def _recompress(options: Any, console: Console) -> int:
    # The tensor libraries take seconds to load; --help and wrong options should not wait for them.
    from imgcompress.dataset.html_report import RunFacts, read_records, write_html
    from imgcompress.dataset.options import RunOptions
    from imgcompress.dataset.report import Follower
    from imgcompress.dataset.runner import Runner
    from imgcompress.dataset.sample_pairs import SamplePairs
    from imgcompress.dataset.sampling import choose
    from imgcompress.dataset.selection import Selection
    from imgcompress.dataset.sources import STATE_FOLDER, Listing

    config = _of_class(Config, options)
    destination = _destination(options)
    selection = Selection(
        tuple(options.include), tuple(options.exclude), options.min_bytes, options.limit, options.sample
    )
    maps = Path(options.save_map) if options.save_map else None
    others, form = options.copy_others, config.format
    listing = Listing(Path(options.source), destination, selection, maps, others, form)
    state = Path(options.state) if options.state else (destination or listing.root) / STATE_FOLDER
    report = Path(options.report) if options.report else None
    if report is None and not options.dry_run:
        report = state / "report.jsonl"
    backup = Path(options.backup) if options.backup else None
    chosen = choose(listing)
    run_options = RunOptions(
        options.dry_run, options.overwrite, state, options.resume, options.keep_times, backup, chosen
    )
    follower, pairs = Follower(config, report, console), SamplePairs()
    runner = Runner(config, run_options, _engine(options, config), follower.advance, pairs.offer)
    records = runner.run(listing)  # takes the ledger before the report is opened
    with _first_interrupt(runner.stop, console):
        summary = follower.follow(records, listing, chosen)
    summary.show(console)
    if report is not None and not summary.is_all_done:
        facts = RunFacts(
            f"{listing.source.name} → {'in place' if destination is None else destination.name}",
            config,
            summary.seconds,
            options.dry_run,
            runner.is_incomplete,
            None if summary.estimate is None else str(summary.estimate),
        )
        page = report.with_suffix(".html")
        write_html(page, facts, read_records(report), pairs.draw())
        console.print(f"{page}: the report to look at", markup=False, highlight=False, soft_wrap=True)
    if runner.is_incomplete:
        console.print("imgcompress: interrupted; the same command goes on from there")
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if summary.failed else EXIT_OK


def _inspect(options: Any) -> int:
    from imgcompress.inspection.command import InspectOptions, run

    asked = InspectOptions(
        tuple(map(Path, options.paths)),
        options.json,
        None if options.plot is None else Path(options.plot),
        options.headers_only,
        tuple(map(Path, options.signatures)),
    )
    with _printing():
        all_read = run(asked, _of_class(Config, options))
    return EXIT_OK if all_read else EXIT_SOME_FAILED


def _hash(options: Any) -> int:
    from imgcompress.comparison.hash_command import HashOptions, run

    against = None if options.against is None else Path(options.against)
    asked = HashOptions(tuple(map(Path, options.paths)), options.json, options.near, against)
    with _printing():
        all_read = run(asked, _of_class(Config, options))
    return EXIT_OK if all_read else EXIT_SOME_FAILED


def _verify(options: Any, console: Console) -> int:
    from imgcompress.dataset.verify_command import VerifyOptions, run

    with _printing():
        all_well = run(VerifyOptions(Path(options.past), options.json), _of_class(Config, options), console)
    return EXIT_OK if all_well else EXIT_SOME_FAILED


@contextmanager
def _printing() -> Iterator[None]:
    """Within it findings are printed, whatever the names are and whoever reads them."""
    _print_any_name()
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Python would try to write the rest when it ends, and print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UsageError(f"the output cannot be written: {error.strerror}") from error


def _compare(options: Any, messages: Console) -> int:
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
        _path(options.heatmap),
        options.json,
        _path(options.junit),
        _path(options.html),
        options.github,
        options["update"],  # a namespace has a method of this name
        options.allow_extra,
    )
    config = Config(**{name: getattr(options, name) for name in COMPARE_SETTINGS})
    with _printing():
        return run(asked, config, messages)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _print_any_name() -> None:
    """Names of files need not be UTF-8."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _serve(options: Any) -> int:
    try:
        from imgcompress.serve.server import serve
    except ImportError as error:
        raise UsageError("serve: a library is missing; pip install 'imgcompress[serve]'") from error

    serve(_of_class(Config, options), _of_class(ServeOptions, options))
    return EXIT_OK


def _of_class(kind: type[Settings], options: Any) -> Settings:
    """The fields of a dataclass among all options."""
    return kind(**{item.name: getattr(options, item.name) for item in fields(kind)})


def _export(options: Any) -> int:
    from imgcompress.perception.export import export_model

    if options.onnx is None and options.pt2 is None:
        raise UsageError("--onnx or --pt2, the file to write, is missing")
    onnx, pt2 = (None if name is None else Path(name) for name in (options.onnx, options.pt2))
    export_model(options.perception, onnx, pt2)
    return EXIT_OK


def _engine(options: Any, config: Config) -> "Engine | None":
    """The one that is asked for; None for this machine's."""
    if options.engine == "ray":
        from imgcompress.dataset.ray_engine import RayEngine

        return RayEngine(config, config.workers or None, options.ray_address)
    if options.ray_address is not None:
        raise UsageError("--ray-address: it goes with --engine ray only")
    return None


def _destination(options: Any) -> Path | None:
    """Where results go; None for the sources' own places."""
    if options.in_place:
        if "destination" in options:
            raise UsageError("--in-place: the results replace the sources, so that there is no DST")
        if options.backup:
            source = Path(options.source)
            folder = source if source.is_dir() else source.parent
            sources, backup = folder.resolve(), Path(options.backup).resolve()
            if backup.is_relative_to(sources) or sources.is_relative_to(backup):
                message = "and the folder of the sources lie one inside the other"
                raise UsageError(f"--backup: {options.backup} {message}: {folder}")
        return None
    if options.backup:
        raise UsageError("--backup: it goes with --in-place only; nothing else replaces a source")
    if "destination" not in options:
        raise UsageError("DST, the folder for the results, is missing (--in-place replaces the sources)")
    return Path(options.destination)


@contextmanager
def _first_interrupt(stop: Callable[[], None], console: Console) -> Iterator[None]:
    """Ctrl-C lets what is in flight be finished; a second one does not."""

    def handle(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()
        console.print("imgcompress: finishing what is in flight; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _ledger(options: Any) -> int:
    from imgcompress.dataset.ledger import open_ledger

    _print_any_name()
    console = Console()
    with open_ledger(Path(options.path)) as ledger:
        if options.status is not None:
            for row in ledger.rows([Status(options.status)]):
                record = row.record
                line = f"{row.key}: {record.reason}" + (f", {record.error}" if record.error else "")
                print(record.to_json() if options.json else line)
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
