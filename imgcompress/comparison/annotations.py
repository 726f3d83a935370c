"""The results of a comparison as GitHub shows them: annotations of files, and a summary of the step."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from imgcompress.comparison.record import Compared, Outcome
from imgcompress.comparison.told import complaints, measurements, scores
from imgcompress.dataset.printable import printable
from imgcompress.errors import UsageError

_MOST_ANNOTATIONS = 10
"""GitHub shows as many of each level a step, and drops the others without a word.

Source: GitHub's documentation, "Workflow commands", limits of annotations.
"""
_MOST_ROWS = 100
"""Of the summary's table; with the longest names that file systems take it is still below GitHub's 1 MiB."""


def commands(results: Sequence[Compared], environment: Mapping[str, str]) -> list[str]:
    """Workflow commands: an error for each pair that did not pass, a notice for each that passed with notes.

    Where there are more of a level than GitHub shows, the last one sums up the rest.

    Args:
        results: in the order in which they are to be shown.
        environment: of the process; ``GITHUB_WORKSPACE`` is what files are named from.

    Returns:
        Lines to be printed, without their ends.

    Source: GitHub's documentation, "Workflow commands"; the escapes are those of its toolkit
        (``packages/core/src/command.ts``).
    """
    errors = [result for result in results if result.outcome is not Outcome.PASSED]
    notices = [result for result in results if result.outcome is Outcome.PASSED and result.notes]
    workspace = Path(environment.get("GITHUB_WORKSPACE", ""))
    return [
        *_level("error", errors, workspace, "did not pass"),
        *_level("notice", notices, workspace, "have notes"),
    ]


def append_summary(results: Sequence[Compared], environment: Mapping[str, str]) -> None:
    """Adds a table of what did not pass to the step's summary, if this runs in a step.

    Args:
        results: in the order in which they are to be shown.
        environment: of the process; ``GITHUB_STEP_SUMMARY`` is the file to which Markdown is added.

    Raises:
        UsageError: the file cannot be written.
    """
    path = environment.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(summary(results))
    except OSError as error:
        message = f"GITHUB_STEP_SUMMARY: {path} cannot be written: {error.strerror or error}"
        raise UsageError(message) from error


def summary(results: Sequence[Compared]) -> str:
    """The results in Markdown: how many passed, and a table of those that did not.

    Args:
        results: in the order in which they are to be shown.
    """
    bad = [result for result in results if result.outcome is not Outcome.PASSED]
    text = f"### imgcompress compare: {len(results) - len(bad)} of {len(results)} pictures passed\n\n"
    if not bad:
        return text
    text += "| picture | outcome | why | scores |\n|---|---|---|---|\n"
    for result in bad[:_MOST_ROWS]:
        cells = (printable(result.name), result.outcome.value, "; ".join(complaints(result)), scores(result))
        text += "| " + " | ".join(map(_as_markdown, cells)) + " |\n"
    if len(bad) > _MOST_ROWS:
        text += f"\nand {len(bad) - _MOST_ROWS} more that did not pass\n"
    return text + "\n"


def _level(level: str, results: Sequence[Compared], workspace: Path, what: str) -> list[str]:
    shown = len(results) if len(results) <= _MOST_ANNOTATIONS else _MOST_ANNOTATIONS - 1
    lines = []
    for result in results[:shown]:
        message = "\n".join((*complaints(result), *measurements(result)))
        properties = {"title": f"{printable(result.name)}: {result.outcome.value}"}
        file = result.reference or result.test
        if file is not None:
            properties = {"file": printable(_within(file, workspace))} | properties
        lines.append(_command(level, properties, message))
    if shown < len(results):
        rest = results[shown:]
        names = "\n".join(printable(result.name) for result in rest[:_MOST_ROWS])
        lines.append(_command(level, {"title": f"{len(rest)} more pictures {what}"}, names))
    return lines


def _within(file: Path, workspace: Path) -> str:
    """The file's name from the workspace, by which GitHub finds it; as it is where it lies elsewhere."""
    whole, root = file.parent.resolve() / file.name, workspace.resolve()
    return (whole.relative_to(root) if whole.is_relative_to(root) else file).as_posix()


def _command(level: str, properties: Mapping[str, str], message: str) -> str:
    pairs = ",".join(f"{name}={_as_property(value)}" for name, value in properties.items())
    return f"::{level} {pairs}::{_as_data(message)}"


def _as_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _as_property(text: str) -> str:
    return _as_data(text).replace(":", "%3A").replace(",", "%2C")


def _as_markdown(text: str) -> str:
    """Text that is no markup: CommonMark lets a backslash go before any punctuation."""
    return re.sub(r"([\\`*_\[\]<>|~&$])", r"\\\1", text)
