"""A comparison for people: one HTML file that needs no network."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from imgcompress.comparison.record import Compared, Outcome
from imgcompress.dataset.html.wording import score_of
from imgcompress.drawing.html.page import fill_page, save_page
from imgcompress.drawing.html.pair_figure import pair_figure
from imgcompress.drawing.legend import described_place
from imgcompress.drawing.pair import LONGEST_SIDE, PairDrawing
from imgcompress.drawing.score_heat import SIDE

MOST_FIGURES = 50
"""Failures that are drawn: each one's pictures are a part of the page."""
MOST_ROWS = 20_000
"""Of the table; those that passed are the first to be left out."""


def write_page(
    path: Path,
    title: str,
    results: Iterable[Compared],
    drawing_of: Callable[[str], PairDrawing | None],
) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        title: what was compared.
        results: of all names; taken one by one.
        drawing_of: draws the pair of a name; None where it cannot be drawn. Asked for the first
            ``MOST_FIGURES`` failures.

    Raises:
        UsageError: it cannot be written.
    """
    counts: Counter[Outcome] = Counter()
    passed: list[Compared] = []
    others: list[Compared] = []
    for result in results:
        counts[result.outcome] += 1
        kept = passed if result.outcome is Outcome.PASSED else others
        if len(kept) < MOST_ROWS:
            kept.append(result)
    failed = [result for result in others if result.outcome is Outcome.FAILED]
    page = fill_page(
        "compare",
        escape(title),
        "comparison/html/comparison.html",
        styles=("comparison/html/comparison.css",),
        totals=_totals(counts),
        failures=_failures(failed[:MOST_FIGURES], counts[Outcome.FAILED], drawing_of),
        table=_table((others + passed)[:MOST_ROWS], counts.total()),
    )
    save_page(path, page)


def _totals(counts: Counter[Outcome]) -> str:
    total = counts.total()
    items = "".join(
        f'<li><b>{counts[outcome]:,}</b> <span class="outcome {outcome}">{outcome}</span></li>'
        for outcome in Outcome
        if counts[outcome]
    )
    verdict = f"{counts[Outcome.PASSED]:,} of {total:,} passed" if total else "Nothing was compared"
    return f'<div><p class="verdict">{verdict}</p><ul class="outcomes">{items}</ul></div>'


def _failures(failed: Sequence[Compared], count: int, drawing_of: Callable[[str], PairDrawing | None]) -> str:
    """Every failure with its pictures."""
    if not failed:
        return ""
    left_out = f" The first {len(failed):,} of {count:,} are drawn; the table has all." * (
        count > len(failed)
    )
    figures = "".join(_failure(result, drawing_of(result.name)) for result in failed)
    return (
        '<section id="failures"><h2>Failures</h2>'
        '<p class="lead">Drag across a picture, or use the arrow keys. Pictures here are at most '
        f"{LONGEST_SIDE} pixels long and packed anew for this page; the map of differences is taken from "
        f"every pixel: SSIMULACRA2 in windows of {SIDE} pixels, on the same scale for all.{left_out}</p>"
        f"{figures}</section>"
    )


def _failure(result: Compared, drawing: PairDrawing | None) -> str:
    scores = "".join(
        f"<div><dt>{escape(score_of(metric).label)}</dt><dd>{score_of(metric).text(value)}</dd></div>"
        for metric, value in result.scores.items()
    )
    windows = [
        f"{escape(score_of(metric).name)} {score_of(metric).text(window.value)} {described_place(window)}"
        for metric, worst in result.worst.items()
        for window in worst
    ]
    facts = (
        f"{_list('wrong', map(escape, result.failures))}<dl>{scores}</dl>"
        f"{_list('notes', map(escape, result.notes))}"
    )
    if windows:
        facts += f"<details><summary>Worst windows</summary>{_list('windows', windows)}</details>"
    if drawing is None:
        return f'<div class="plain"><p class="name">{escape(result.name)}</p>{facts}</div>'
    return pair_figure(drawing, result.name, facts, ("Reference", "Test"))


def _table(results: Sequence[Compared], count: int) -> str:
    metrics = list(dict.fromkeys(metric for result in results for metric in result.scores))
    heads = "".join(
        f'<th scope="col" class="number">{escape(score_of(metric).label)}</th>' for metric in metrics
    )
    left_out = f'<p class="lead">{len(results):,} of {count:,} pairs: those that did not pass come first.</p>'
    rows = "".join(_row(result, metrics) for result in results)
    return (
        f"{left_out if count > len(results) else ''}"
        '<div class="wide" tabindex="0" role="region" aria-label="All pairs, scrollable">'
        '<table class="pairs"><thead><tr><th scope="col">Name</th><th scope="col">Outcome</th>'
        f'<th scope="col">Pixels</th>{heads}<th scope="col">What is wrong, and notes</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(result: Compared, metrics: Sequence[str]) -> str:
    pixels = "" if result.width is None else f"{result.width}x{result.height}"
    scores = "".join(f'<td class="number">{_score(result, metric)}</td>' for metric in metrics)
    wrong = [*result.failures, *([result.error] if result.error else []), *result.notes]
    return (
        f'<tr><td class="name">{escape(result.name)}</td>'
        f'<td class="outcome {result.outcome}">{result.outcome}</td><td class="number">{pixels}</td>{scores}'
        f'<td class="why">{_list("", map(escape, wrong))}</td></tr>'
    )


def _score(result: Compared, metric: str) -> str:
    return score_of(metric).text(result.scores[metric]) if metric in result.scores else ""


def _list(kind: str, items: Iterable[str]) -> str:
    """Items of HTML; nothing where there are none."""
    lines = "".join(f"<li>{item}</li>" for item in items)
    return f'<ul class="{kind}">{lines}</ul>' if lines else ""
