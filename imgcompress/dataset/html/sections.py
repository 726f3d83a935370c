"""The page's sections, each as HTML; all that comes from files or from the run is escaped."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from math import isfinite

import numpy as np

from imgcompress.dataset.html.gathered import Gathered, costs_of
from imgcompress.dataset.html.histogram import draw_histogram
from imgcompress.dataset.html.run_facts import RunFacts
from imgcompress.dataset.html.wording import duration, files, percent, score_of, size, words
from imgcompress.dataset.sample_pairs import RANKED_BY, Group, Pair
from imgcompress.drawing.html.pair_figure import pair_figure
from imgcompress.drawing.pair import LONGEST_SIDE
from imgcompress.drawing.score_heat import SIDE
from imgcompress.errors import Reason
from imgcompress.records import FileRecord, Status


def notes(run: RunFacts) -> str:
    """What must be known before the numbers are read."""
    notes = []
    if run.dry_run:
        notes.append("<b>Dry run.</b> Everything was computed, no picture was written.")
    if run.incomplete:
        notes.append("<b>Interrupted.</b> The same command goes on from there.")
    if run.extrapolation:
        notes.append(f"<b>A random sample.</b> {escape(run.extrapolation)}")
    return "".join(f'<p class="note">{note}</p>' for note in notes)


def totals(run: RunFacts, gathered: Gathered) -> str:
    """How much was saved, of how many files, and how they ended."""
    summary, count = gathered.summary, gathered.count
    share = summary.bytes_out / summary.bytes_in if summary.bytes_in else 1.0
    facts = [("Files", f"{count:,}", "")]
    rate = f"{count / run.seconds:,.2f} files/s" if run.seconds > 0 else ""
    facts.append(("Time", duration(run.seconds), rate))
    facts.append(("Aimed at", _aim(gathered.target or run.config.target, run.config.quality), ""))
    if len(summary.formats) > 1:
        facts.append(("Formats", ", ".join(f"{form} {n:,}" for form, n in summary.formats.most_common()), ""))
    if (metric := gathered.metric) is not None:
        score = score_of(metric)
        median = float(np.median(gathered.scores[metric]))
        facts.append((f"Median {score.name}", score.text(median), "of recompressed files"))
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in facts
    )
    return (
        '<div class="saved"><p class="big"><span id="saved">'
        f"{100 * (1 - share):.1f}</span><span> % saved</span></p>"
        '<svg class="sizes" viewBox="0 0 100 22" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="before" width="100" height="9"/>'
        f'<rect class="after" y="13" width="{max(min(100 * share, 100), 0.3):.2f}" height="9"/></svg>'
        f"<p><b>{size(summary.bytes_in)}</b> before, <b>{size(summary.bytes_out)}</b> after "
        f"<small>({summary.bytes_in:,} → {summary.bytes_out:,} bytes)</small></p></div>"
        f'<dl class="facts">{tiles}</dl>{_statuses(gathered)}'
    )


def _statuses(gathered: Gathered) -> str:
    """One bar cut by status, and what it says in words."""
    bars, items, at = [], [], 0.0
    for status in Status:
        count = gathered.summary.statuses[status]
        if not count:
            continue
        width = 100 * count / gathered.count
        bars.append(f'<rect class="{status}" x="{at:.3f}" width="{width:.3f}" height="8"/>')
        at += width
        why = Counter({reason: n for (of, reason), n in gathered.reasons.items() if of is status})
        if set(why) == {Reason.SMALLER}:  # it goes without saying
            why.clear()
        because = ", ".join(f"{words(reason)} {n:,}" for reason, n in why.most_common())
        name = '<a href="#failures">failed</a>' if status is Status.FAILED else status
        items.append(
            f'<li><span class="dot {status}"></span><b>{count:,}</b> {name} '
            f"<small>{escape(because)}</small></li>"
        )
    return (
        '<div class="statuses"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(bars)}</svg><ul>{''.join(items)}</ul></div>"
    )


def _aim(target: str | None, quality: int) -> str:
    metric, _, value = (target or "").partition("=")
    return f"{score_of(metric).name} {value}" if value else f"quality {quality}"


def samples(pairs: Sequence[Pair], gathered: Gathered) -> str:
    """Chosen pairs before and after."""
    if not pairs:
        return ""
    by = score_of(pairs[0].metric or "score").name
    names = {Group.WORST: f"Worst by {by}", Group.BEST: f"Best by {by}", Group.SAVING: "Largest savings"}
    strip = "".join(_group(name, group, pairs) for group, name in names.items())
    figures = "".join(_figure(pair, gathered.folder) for pair in pairs)
    return (
        '<section id="samples"><h2>Before and after</h2>'
        '<p class="lead">Drag across a picture, or use the arrow keys. Pictures here are at most '
        f"{LONGEST_SIDE} pixels long and packed anew for this page; the map of differences is taken from "
        f"every pixel of the files: SSIMULACRA2 in windows of {SIDE} pixels, on the same scale for all.</p>"
        f'<div id="strip">{strip}</div>{figures}</section>'
    )


def _group(name: str, group: Group, pairs: Sequence[Pair]) -> str:
    """Where the script puts the small pictures to choose from."""
    numbers = [number for number, pair in enumerate(pairs) if group in pair.places]
    if not numbers:
        return ""
    numbers.sort(key=lambda number: pairs[number].places[group])
    return f'<div><h3>{escape(name)}</h3><p data-samples="{" ".join(map(str, numbers))}"></p></div>'


def _figure(pair: Pair, folder: str) -> str:
    record = pair.record
    scores = "".join(
        f"<div><dt>{escape(score_of(metric).label)}</dt><dd>{score_of(metric).text(value)}</dd></div>"
        for metric in sorted(record.scores, key=lambda name: (*RANKED_BY, name).index(name))
        if isfinite(value := record.scores[metric])
    )
    costs = "".join(
        f"<div><dt>Bytes as {escape(form)}</dt><dd>{bytes_out:,}</dd></div>"
        for form, bytes_out in costs_of(record).items()
    )
    facts = (
        f"<dl><div><dt>Bytes before</dt><dd>{record.bytes_in or 0:,}</dd></div>"
        f"<div><dt>Bytes after</dt><dd>{record.bytes_out or 0:,}</dd></div>"
        f"<div><dt>Saved</dt><dd>{percent(record)}</dd></div>{costs}{scores}</dl>"
    )
    return pair_figure(pair.drawing, record.source.removeprefix(folder), facts)


def plots(gathered: Gathered) -> str:
    """Distributions of savings and of every score."""
    plots = []
    if gathered.savings:
        values = np.frombuffer(gathered.savings)
        plots.append(("Savings", draw_histogram(values, "saved, % of a file")))
    aim, _, aimed_at = (gathered.target or "").partition("=")
    for name in gathered.metrics:
        numbers = gathered.scores[name]
        mark = ("target", float(aimed_at)) if name == aim else None
        score = score_of(name)
        plots.append((score.name, draw_histogram(np.frombuffer(numbers), score.label, mark)))
    if not plots:
        return ""
    figures = "".join(
        f'<figure class="plot"><figcaption>{escape(title)}</figcaption>{plot}</figure>'
        for title, plot in plots
    )
    return f'<section id="plots"><h2>Distributions</h2><div class="plots">{figures}</div></section>'


def extremes(gathered: Gathered) -> str:
    """The worst and the best by score."""
    metric = gathered.metric
    if metric is None:
        return ""
    score = score_of(metric)

    def table(title: str, records: Sequence[FileRecord]) -> str:
        rows = "".join(
            f"<tr><td>{escape(record.source.removeprefix(gathered.folder))}</td>"
            f"<td>{score.text(record.scores[metric])}</td><td>{percent(record)}</td></tr>"
            for record in records
        )
        return (
            f'<table class="short"><caption>{title}</caption><thead><tr><th scope="col">File</th>'
            f'<th scope="col">{score.name}</th><th scope="col">Saved</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>"
        )

    return (
        f'<section id="extremes"><h2>Worst and best by {escape(score.name)}</h2><div class="shorts">'
        f"{table('Worst', gathered.worst[metric].items)}{table('Best', gathered.best[metric].items)}"
        "</div></section>"
    )


def failures(gathered: Gathered) -> str:
    """Every file that nothing became of, and why."""
    if not gathered.failures:
        return ""
    groups = []
    by_count = sorted(gathered.failures.items(), key=lambda item: -gathered.reasons[Status.FAILED, item[0]])
    for reason, records in by_count:
        count = gathered.reasons[Status.FAILED, reason]
        rows = "".join(
            f"<tr><td>{escape(record.source.removeprefix(gathered.folder))}</td>"
            f"<td>{escape(record.error or '')}</td></tr>"
            for record in records
        )
        more = (
            f"<p>and {files(count - len(records))} more: the table has them</p>"
            if count > len(records)
            else ""
        )
        is_open = " open" if len(gathered.failures) == 1 or count <= 5 else ""
        groups.append(
            f"<details{is_open}><summary><b>{escape(words(reason))}</b> {files(count)}</summary>"
            f'<table class="failed"><thead><tr><th scope="col">File</th><th scope="col">What went wrong</th>'
            f"</tr></thead><tbody>{rows}</tbody></table>{more}</details>"
        )
    return (
        f'<section id="failures"><h2>Failures</h2><p class="lead">Nothing new was made of '
        f"{files(gathered.summary.failed)}; the sources are as they were.</p>{''.join(groups)}</section>"
    )


def table_note(gathered: Gathered) -> str:
    """What the table of all files leaves out."""
    notes = []
    if gathered.folder:
        notes.append(f"All in <code>{escape(gathered.folder)}</code>.")
    if gathered.count > len(gathered.rows):
        shown = f"The first {len(gathered.rows):,} of {gathered.count:,}"
        notes.append(f"{shown}; the report of JSON lines has all.")
    return " ".join(notes)
