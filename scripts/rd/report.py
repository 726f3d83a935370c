"""The tables: CSV of every file and every BD-rate, Markdown for people."""

import csv
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rd.bdrate import Summary, summarize
from rd.comparison import BETTER, HIGH_PEER, PEERS, Rate, thin_curves
from rd.encoders import EncoderSpec
from rd.measure import Point
from rd.pictures import PictureFile
from rd.scores import SSIMULACRA2, Metric


@dataclass(frozen=True)
class Setting:
    """What a report says about its run.

    Attributes:
        command: that prints it again.
        workers: encodes that ran side by side while their seconds were taken.
        versions: of the judges and encoders, one line.
        missing: sentences about metrics that could not run.
        fitted_on: pictures whose constants were fitted on, by content; None where nobody said.
    """

    command: str
    workers: int
    versions: str
    missing: Sequence[str]
    fitted_on: Sequence[PictureFile] | None


def write_points(path: Path, points: Sequence[Point], metrics: Sequence[Metric]) -> None:
    """One line a file; scores as the metrics' authors print them."""
    names = [metric.name for metric in metrics]
    rows = (
        (
            *(p.picture, p.encoder, p.quality, p.size),
            *(f"{value:.4f}" for value in (8 * p.size / p.megapixels / 1e6, p.megapixels, p.seconds)),
            *(p.scores.get(name, "") for name in names),
        )
        for p in points
    )
    heading = ("picture", "encoder", "quality", "bytes", "bits_per_pixel", "megapixels", "seconds", *names)
    write_csv(path, heading, rows)


def write_rates(path: Path, rates: Sequence[Rate]) -> None:
    """One line a BD-rate."""
    rows = ((r.picture, r.encoder, r.peer, r.metric, f"{r.percent:.3f}") for r in rates)
    write_csv(path, ("picture", "encoder", "peer", "metric", "bd_rate_percent"), rows)


def write_encoders(path: Path, specs: Sequence[EncoderSpec]) -> None:
    """What identifies each encoder's output: versions, settings, our source's digest."""
    identities = {spec.name: dict(spec.identity) for spec in specs}
    path.write_text(json.dumps(identities, indent=1) + "\n", encoding="utf-8")


def write_csv(path: Path, heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A heading and rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heading)
        writer.writerows(rows)


def markdown(
    pictures: Sequence[PictureFile],
    points: Sequence[Point],
    rates: Sequence[Rate],
    metrics: Sequence[Metric],
    setting: Setting,
) -> str:
    """The whole report."""
    ours = list(dict.fromkeys(rate.encoder for rate in rates if rate.peer == BETTER))
    parts = [
        "# Rate-distortion",
        f"`{setting.command}`",
        "\n".join(picture_lists(pictures, setting.fitted_on)),
    ]
    parts.append(
        "BD-rate in percent (PCHIP on log bytes over the score), negative: fewer bytes than the other. Mean "
        "over pictures [95 % bootstrap interval over pictures] (pictures with more bytes / pictures; worst "
        "picture). Files with SSIMULACRA2 in 60..90, all progressive, optimized losslessly by the same tool."
    )
    if ours:
        parts.append(
            "Peers are 4:2:0. The better peer is the one nearest to ours, for each picture and metric on its "
            "own. jpegli at 4:4:4 is compared over files with SSIMULACRA2 in 85..95."
        )
    parts += [_summary_table(encoder, rates, metrics) for encoder in ours]
    parts += [_picture_table(encoder, rates, metrics) for encoder in ours]
    among = [rate for rate in rates if rate.peer not in (*PEERS, BETTER, HIGH_PEER)]
    if among:
        parts.append(_table_among_ours(among, metrics))
    parts.append(_seconds_table(points, setting.workers))
    notes = [*setting.missing, *(f"too few points: {text}" for text in thin_curves(points))]
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    parts.append(setting.versions)
    return "\n\n".join(parts) + "\n"


def picture_lists(pictures: Sequence[PictureFile], fitted_on: Sequence[PictureFile] | None) -> list[str]:
    """Which pictures decide and which had a hand in the constants."""
    reported = f"Reported on ({len(pictures)}): {', '.join(picture.name for picture in pictures)}  "
    if fitted_on is None:
        return ["Fitted on: not stated (--fitted-on FOLDER)  ", reported]
    hashes = {picture.hash for picture in fitted_on}
    shared = [picture.name for picture in pictures if picture.hash in hashes]
    verdict = f"In-sample: {', '.join(shared)}" if shared else "The two lists share no picture."
    return [
        f"Fitted on ({len(fitted_on)}): {', '.join(picture.name for picture in fitted_on)}  ",
        reported,
        verdict,
    ]


def _summary_table(encoder: str, rates: Sequence[Rate], metrics: Sequence[Metric]) -> str:
    peers = (*PEERS, BETTER, HIGH_PEER)
    lines = [f"| {encoder}, against | " + " | ".join(peers) + " |", "|---" * (len(peers) + 1) + "|"]
    for metric in metrics:
        cells = [summary_cell(summarize(_percents(rates, encoder, peer, metric.name))) for peer in peers]
        lines.append(f"| {metric.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _table_among_ours(rates: Sequence[Rate], metrics: Sequence[Metric]) -> str:
    (first,) = {rate.peer for rate in rates}
    lines = [f"| against {first} | " + " | ".join(metric.title for metric in metrics) + " |"]
    lines.append("|---" * (len(metrics) + 1) + "|")
    for encoder in dict.fromkeys(rate.encoder for rate in rates):
        cells = [summary_cell(summarize(_percents(rates, encoder, first, m.name))) for m in metrics]
        lines.append(f"| {encoder} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percents(rates: Sequence[Rate], encoder: str, peer: str, metric: str) -> list[float]:
    return [r.percent for r in rates if (r.encoder, r.peer, r.metric) == (encoder, peer, metric)]


def summary_cell(summary: Summary) -> str:
    """Mean, interval, on how many pictures ours is larger, and the worst."""
    if summary.count == 0:
        return "none"
    return (
        f"{summary.mean:+.1f} [{summary.low:+.1f}, {summary.high:+.1f}] "
        f"({summary.larger}/{summary.count}; {summary.worst:+.1f})"
    )


def _picture_table(encoder: str, rates: Sequence[Rate], metrics: Sequence[Metric]) -> str:
    """SSIMULACRA2 against each peer, the other metrics against the better one."""
    columns = [(peer, SSIMULACRA2) for peer in (*PEERS, BETTER)]
    columns += [(BETTER, metric.name) for metric in metrics if metric.name != SSIMULACRA2]
    headings = [f"{metric}, {peer}" for peer, metric in columns]
    lines = [f"| {encoder} | " + " | ".join(headings) + " |", "|---" * (len(columns) + 1) + "|"]
    table = {(r.picture, r.peer, r.metric): r.percent for r in rates if r.encoder == encoder}
    for picture in dict.fromkeys(rate.picture for rate in rates):
        cells = [f"{table[picture, peer, metric]:+.1f}" for peer, metric in columns]
        lines.append(f"| {picture} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds_table(points: Sequence[Point], workers: int) -> str:
    lines = [
        f"Seconds per megapixel of one encode (one thread each, {workers} workers at a time, median over "
        "files; scans included, ours also opens its result; an encode from the cache keeps the seconds of "
        "the run that made it; `--time` times them alone):",
        "",
        "| encoder | s/Mpx |",
        "|---|---|",
    ]
    for encoder in dict.fromkeys(point.encoder for point in points):
        values = [p.seconds / p.megapixels for p in points if p.encoder == encoder]
        lines.append(f"| {encoder} | {statistics.median(values):.3f} |")
    return "\n".join(lines)
