"""The closed loop over a folder: read, compress, decode, compare; bench_loop.py FOLDER [OPTIONS].

Prints what each stage takes, its peak memory, bytes and scores, and appends them to a history. With
--fail-if-worse PERCENT it ends with 1 where something is worse than in the history's last entry of the same
settings, files and device that was not worse itself: bytes in all, pictures without a result, or mean or
worst score (by what it lacks to a perfect copy's). Seconds of another day say nothing here, so the entry's
commit is checked out beside this one and both take turns, round by round: a stage is slower where the
median of the paired ratios is above PERCENT and more pairs say "slower" than chance would (7 of 7, 10 of 11).
To accept what is worse, run once without --fail-if-worse. Settings are compared as they were asked for: a
preset that changed is a change that shows.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import yaml
from closed_loop.history import Entry, Score, Stage, append, last_like, read_history
from closed_loop.verdict import FEWEST_PAIRS, Pace, pace, slower_stages, worse_results
from rich.console import Console
from rich.table import Table

from imgcompress.config import Config, Format
from imgcompress.dataset.names import IMAGE_SUFFIXES
from imgcompress.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
RUNS = ("imgcompress", "configs", "checkpoints")
"""What decides about figures; a history that is kept in the clone changes with every run."""
Round = dict[str, Any]
"""What ``closed_loop.one_side`` says of one round."""


class Child:
    """The loop with the code of one folder, in a process of its own.

    Raises:
        UsageError: it cannot run with these settings and files.
    """

    def __init__(self, root: Path, request: dict[str, Any]) -> None:
        script = Path(__file__).with_name("closed_loop") / "one_side.py"
        environment = os.environ | {"PYTHONPATH": str(root)}
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._ask(json.dumps(request))
        if "error" in self.facts:
            self.close()
            raise UsageError(self.facts["error"])
        if Path(self.facts["package"]).parent != root.resolve():
            self.close()
            raise UsageError(f"{root}: the package at {self.facts['package']} was imported in its place")

    def round(self) -> Round:
        """One round."""
        return self._ask("go")

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise UsageError(f"the process of a side ended with {self._process.wait()}; see above")
        value: dict[str, Any] = json.loads(answer)
        return value


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    try:
        entries = [] if options.history is None else read_history(options.history)
        request, asked = requested(options)
        with ExitStack() as stack:
            new = start(stack, ROOT, request)
            entry = begun(new.facts, asked)
            before = last_like(entries, entry)
            old = None
            if options.fail_if_worse is not None and before is not None:
                old = earlier_side(stack, before, request)
            rounds: list[tuple[Round, Round | None]] = []
            for number in range(options.repeats):
                if number % 2 and old is not None:  # who comes second finds the machine warmer
                    earlier = old.round()
                    rounds.append((new.round(), earlier))
                else:
                    rounds.append((new.round(), None if old is None else old.round()))
        entry = measured(entry, [mine for mine, _ in rounds])
        paces = {} if old is None else paced(rounds, options.fail_if_worse)
        show(entry, paces)
        if options.fail_if_worse is not None and before is not None:
            worse = [*worse_results(entry, before, options.fail_if_worse), *slower_stages(paces)]
            entry = replace(entry, worse=worse)
        if options.history is not None:
            append(options.history, entry)
    except UsageError as error:
        print(f"bench loop: {error}", file=sys.stderr)
        return 2
    if options.fail_if_worse is None:
        return 0
    if before is None:
        print("nothing to compare with: the history has no entry of these settings, files and device")
        return 0
    since = f"the entry of {before.date}"
    for line in entry.worse:
        print(f"worse than {since}: {line}")
    if not entry.worse:
        print(f"nothing is worse than {since} by more than {options.fail_if_worse:g} %")
    return 1 if entry.worse else 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of pictures, searched recursively")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N by name")
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--preset", metavar="NAME")
    files.add_argument("--config", type=Path, metavar="FILE.yaml")
    parser.add_argument("--quality", type=int)
    parser.add_argument("--format", choices=get_args(Format))
    parser.add_argument("--target", metavar="METRIC=VALUE")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--repeats", type=int, default=7, help="rounds (one batch more warms up)")
    parser.add_argument("--history", type=Path, metavar="FILE.json", help="gets one entry more")
    parser.add_argument("--fail-if-worse", type=float, metavar="PERCENT", help="than the history's last")
    options = parser.parse_args(words)
    if options.repeats < 1:
        parser.error("--repeats: expected a number >= 1")
    if options.limit is not None and options.limit < 1:
        parser.error("--limit: expected a number >= 1")
    if options.fail_if_worse is not None:
        if options.history is None:
            parser.error("--fail-if-worse: it needs --history")
        if not 0 <= options.fail_if_worse < float("inf"):
            parser.error("--fail-if-worse: expected percent >= 0")
        if options.repeats < FEWEST_PAIRS:
            parser.error(f"--fail-if-worse: fewer than {FEWEST_PAIRS} --repeats cannot show a slower stage")
    return options


def requested(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the sides are sent, and the settings as the history keeps them: a file by its content.

    Raises:
        UsageError: there is no picture, or the file of settings cannot be read.
    """
    if not options.folder.is_dir():
        raise UsageError(f"{options.folder}: no such folder")
    files = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise UsageError(f"{options.folder}: no pictures")
    words = {key: getattr(options, key) for key in ("preset", "quality", "format", "target")}
    asked = {key: value for key, value in words.items() if value is not None}
    file = {} if options.config is None else {"config": str(options.config)}
    request = {
        "files": [str(path) for path in files[: options.limit]],
        "asked": asked | file,
        "device": options.device,
        "warm_up": Config.batch_size,
    }
    if options.config is not None:
        try:
            asked["config"] = yaml.safe_load(options.config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(f"--config: {options.config} cannot be read: {error}") from error
    return request, asked


def start(stack: ExitStack, root: Path, request: dict[str, Any]) -> Child:
    child = Child(root, request)
    stack.callback(child.close)
    return child


def earlier_side(stack: ExitStack, before: Entry, request: dict[str, Any]) -> Child | None:
    """A process with the code of an entry's commit; None, and a line that says why, where there is none."""
    if before.commit is None or before.is_changed:
        return without_speed("its code is in no commit")
    commit, is_changed = checked_out()
    if before.commit == commit and not is_changed:
        return without_speed("it is of this very commit")
    try:
        return start(stack, stack.enter_context(worktree(before.commit)), request)
    except (UsageError, subprocess.CalledProcessError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        return without_speed(f"commit {before.commit[:12]} does not run here: {said}")


def without_speed(why: str) -> None:
    print(f"speed is not compared with the last entry, only bytes and scores: {why}")


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """A commit's files in a folder of their own, which goes again."""
    with tempfile.TemporaryDirectory(prefix="bench-loop-") as name:
        folder = Path(name) / "earlier"
        git("worktree", "add", "--detach", "--quiet", str(folder), commit)
        try:
            yield folder
        finally:
            git("worktree", "remove", "--force", str(folder))


def checked_out() -> tuple[str | None, bool]:
    """The commit, None outside a clone, and whether what runs differs from it."""
    try:
        changes = git("status", "--porcelain", "--untracked-files=no", "--", *RUNS)
        return git("rev-parse", "HEAD").strip(), bool(changes)
    except (OSError, subprocess.CalledProcessError):
        return None, True


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def begun(facts: dict[str, Any], asked: dict[str, Any]) -> Entry:
    """An entry that knows what is to be measured, and no figures yet."""
    commit, is_changed = checked_out()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(now, commit, is_changed, asked, facts["content"], facts["machine"])


def measured(entry: Entry, rounds: Sequence[Round]) -> Entry:
    """Medians of the rounds' seconds, the largest of their peaks; results are the same in every round.

    Raises:
        UsageError: no file is a picture that can be compressed.
    """
    last = rounds[-1]
    if last["pictures"] == 0:
        raise UsageError("none of the files is a picture that can be compressed")
    stages = {}
    for name in last["stages"]:
        own = [each["stages"][name] for each in rounds]
        peaks = [each["peak_megabytes"] for each in own if each["peak_megabytes"] is not None]
        stages[name] = Stage(statistics.median(each["seconds"] for each in own), max(peaks, default=None))
    counts = ("pictures", "left_out", "failed", "megapixels", "bytes_in", "bytes")
    return replace(
        entry,
        rounds=len(rounds),
        scores={name: Score(**score) for name, score in last["scores"].items()},
        stages=stages,
        **{name: last[name] for name in counts},
    )


def paced(rounds: Sequence[tuple[Round, Round | None]], percent: float) -> dict[str, Pace]:
    """Stage by stage, those that both sides have."""
    pairs = [(mine["stages"], other["stages"]) for mine, other in rounds if other is not None]
    return {
        name: pace(
            [mine[name]["seconds"] for mine, _ in pairs],
            [other[name]["seconds"] for _, other in pairs],
            percent,
        )
        for name in pairs[0][0]
        if name in pairs[0][1]
    }


def show(entry: Entry, paces: dict[str, Pace]) -> None:
    console = Console(width=120)
    machine = entry.machine
    console.print(
        f"{entry.pictures} pictures, {entry.megapixels:.2f} Mpx ({entry.left_out} left out), "
        f"{machine['device']}, {machine['processor']}, {machine['torch_threads']} torch threads, "
        f"torch {machine['torch']}; medians of {entry.rounds} rounds",
        highlight=False,
    )
    columns = ["stage", "ms a picture", "Mpx/s", "peak MB"]
    table = Table(*columns, *(["times the earlier commit's (min..max)"] if paces else []), box=None)
    for name, stage in entry.stages.items():
        peak = "unknown" if stage.peak_megabytes is None else f"{stage.peak_megabytes:,.0f}"
        rate, each = entry.megapixels / stage.seconds, 1e3 * stage.seconds / max(1, entry.pictures)
        row = [name, f"{each:.1f}", f"{rate:.1f}", peak]
        if name in paces:
            row.append(f"{paces[name].ratio:.3f} ({paces[name].lowest:.3f}..{paces[name].highest:.3f})")
        table.add_row(*row)
    console.print(table)
    counted = (
        "the device's memory in use by torch"
        if machine["device"] != "cpu"
        else ("the resident size of the whole process, libraries included")
    )
    print(f"peak MB: the most during the stage of {counted}; a batch of pictures is in memory")
    share = 100 * entry.bytes / max(1, entry.bytes_in)
    print(f"bytes: {entry.bytes:,} of {entry.bytes_in:,} ({share:.1f} %); without a result: {entry.failed}")
    for name, score in entry.scores.items():
        mean, worst = ("not a number" if v is None else f"{v:.3f}" for v in (score.mean, score.worst))
        print(f"{name}: mean {mean}, worst {worst}")


if __name__ == "__main__":
    sys.exit(main())
