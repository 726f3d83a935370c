"""Rate-distortion curves as pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from rd.bdrate import log_rate
from rd.comparison import curve
from rd.encoders import JPEGLI_444
from rd.measure import HIGH, MAIN, Point
from rd.scores import SSIMULACRA2, Metric


def plot_all(folder: Path, points: Sequence[Point], metrics: Sequence[Metric]) -> None:
    """``rd.png``: SSIMULACRA2 averaged over pictures; ``rd-PICTURE.png``: every metric on one picture."""
    encoders = list(dict.fromkeys(point.encoder for point in points))
    colors = {name: f"C{index}" for index, name in enumerate(encoders)}
    _plot_mean(folder / "rd.png", points, metrics[0], colors)
    for picture in dict.fromkeys(point.picture for point in points):
        _plot_picture(folder / f"rd-{picture}.png", points, picture, metrics, colors)


def _plot_mean(path: Path, points: Sequence[Point], metric: Metric, colors: dict[str, str]) -> None:
    """Geometric mean of bits per pixel at each score that every picture of the encoder reaches."""
    assert metric.name == SSIMULACRA2
    megapixels = {point.picture: point.megapixels for point in points}
    figure, axes = plt.subplots(figsize=(7, 5), constrained_layout=True)
    for encoder, color in colors.items():
        window = HIGH if encoder == JPEGLI_444 else MAIN
        curves = {name: curve(points, name, encoder, metric, window) for name in megapixels}
        curves = {name: found for name, found in curves.items() if len(set(found.scores)) > 1}
        if not curves:
            continue
        low = max(found.range()[0] for found in curves.values())
        high = min(found.range()[1] for found in curves.values())
        scores = np.linspace(low, high, 50)
        if low >= high:
            continue
        bits = [log_rate(found)(scores) + np.log(8e-6 / megapixels[name]) for name, found in curves.items()]
        axes.plot(np.exp(np.mean(bits, axis=0)), scores, color=color, label=encoder)
    _label(axes, metric)
    axes.set_title(f"mean of {len(megapixels)} pictures")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _plot_picture(
    path: Path, points: Sequence[Point], picture: str, metrics: Sequence[Metric], colors: dict[str, str]
) -> None:
    columns = 3
    rows = -(-len(metrics) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(5 * columns, 4 * rows), constrained_layout=True, squeeze=False
    )
    for metric, panel in zip(metrics, axes.flat, strict=False):
        for encoder, color in colors.items():
            window = HIGH if encoder == JPEGLI_444 else MAIN
            found = curve(points, picture, encoder, metric, window)
            megapixels = next(p.megapixels for p in points if p.picture == picture)
            bits = [8e-6 * size / megapixels for size in found.sizes]
            panel.plot(bits, found.scores, "o-", color=color, markersize=3, linewidth=1, label=encoder)
        _label(panel, metric)
    for panel in list(axes.flat)[len(metrics) :]:
        panel.set_visible(False)
    axes[0][0].legend(fontsize=7)
    figure.suptitle(picture)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _label(axes: Any, metric: Metric) -> None:
    sign = "-" if metric.axis(1.0) == -1.0 else ""
    axes.set(xlabel="bits per pixel", ylabel=f"{sign}{metric.title}", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
