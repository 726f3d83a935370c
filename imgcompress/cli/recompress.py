"""``imgcompress recompress``."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import SUPPRESS
from rich.console import Console

from imgcompress.cli.exits import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED
from imgcompress.cli.parser import Parser, add_files_of_settings
from imgcompress.cli.settings import of_class
from imgcompress.config import Config
from imgcompress.errors import UsageError

if TYPE_CHECKING:
    from imgcompress.dataset.pipeline import Engine

HELP = "make a folder of pictures smaller"


def make_parser() -> Parser:
    """The options."""
    parser = Parser(
        usage="imgcompress recompress [options] SRC DST\n"
        "       imgcompress recompress [options] SRC --in-place",
        description="Make smaller files of a folder of pictures or shards, or of one of them.",
    )
    # Without a default --print-config leaves them out: nulls in a file would undo the words before it.
    parser.add_argument(
        "source",
        metavar="SRC",
        default=SUPPRESS,
        help="a folder, searched recursively; a picture; a shard (.tar, .parquet); or a list of them (.txt)",
    )
    parser.add_argument(
        "destination",
        metavar="DST",
        nargs="?",
        default=SUPPRESS,
        help="the folder for the results; it mirrors SRC",
    )
    add_files_of_settings(parser)
    parser.add_argument(
        "--report",
        metavar="FILE.jsonl",
        help="one JSON line a file, and FILE.html for people (default: report.jsonl in the state folder)",
    )
    parser.add_argument(
        "--save_map", metavar="DIR", help="write each picture's attention map as a PNG; DIR mirrors SRC"
    )
    parser.add_argument("--dry_run", action="store_true", help="compute everything, write no picture")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that are in the way, whoever made them"
    )
    parser.add_argument(
        "--in_place",
        action="store_true",
        help="replace the sources, each when its result is verified",
    )
    parser.add_argument(
        "--backup", metavar="DIR", help="in place: copy each source there before it is replaced"
    )
    parser.add_argument(
        "--keep_times", action="store_true", help="outputs get their sources' times and permissions"
    )
    parser.add_argument(
        "--copy_others", action="store_true", help="copy files that are no pictures, such as labels, to DST"
    )
    parser.add_argument(
        "--state",
        metavar="DIR",
        help="ledger and report of the run (default: .imgcompress in DST, in place in SRC)",
    )
    parser.add_argument(
        "--resume", type=bool, default=True, help="leave out what an earlier run with these settings has done"
    )
    parser.add_argument(
        "--engine",
        type=Literal["local", "ray"],
        default="local",
        help="where pictures are computed: on this machine, or by the actors of a Ray cluster (extra ray)",
    )
    parser.add_argument(
        "--ray_address",
        metavar="ADDRESS",
        help="the cluster's (default: RAY_ADDRESS, one that runs on this machine, or a new one)",
    )
    parser.add_argument(
        "--include", nargs="+", metavar="GLOB", default=["*"], help="only paths below SRC that match one"
    )
    parser.add_argument("--exclude", nargs="+", metavar="GLOB", default=[], help="no path that matches one")
    parser.add_argument("--min_bytes", type=int, default=0, help="leave out smaller files")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    parser.add_argument("--sample", type=int, metavar="N", help="only N pictures drawn at random")
    parser.add_class_arguments(Config)
    return parser


def run(options: Any, console: Console) -> int:
    """Recompresses, and says how it went."""
    # The tensor libraries take seconds to load; --help and wrong options should not wait for them.
    from imgcompress.dataset.html_report import RunFacts, read_records, write_html
    from imgcompress.dataset.options import RunOptions
    from imgcompress.dataset.report import Follower
    from imgcompress.dataset.runner import Runner
    from imgcompress.dataset.sample_pairs import SamplePairs
    from imgcompress.dataset.sampling import choose
    from imgcompress.dataset.selection import Selection
    from imgcompress.dataset.sources import STATE_FOLDER, Listing

    config = of_class(Config, options)
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
