"""Distributions as SVG, colored by the style sheet of the page that they are in."""

from html import escape
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

MOST_BINS = 32
_WIDTH, _HEIGHT = 440, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 32, 44
_INNER_WIDTH, _INNER_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM


def draw_histogram(values: NDArray[np.float64], label: str, mark: tuple[str, float] | None = None) -> str:
    """Draws how many pictures have which value; the few far off are counted in the outermost bins.

    Args:
        values: at least one, finite.
        label: of the horizontal axis.
        mark: a name and a value that are shown in the plot where they fall into it, such as a target.

    Returns:
        An ``svg`` element: classes bar, grid, mark and median, a title on every bar.
    """
    edges = bin_edges(values)
    low, high = float(edges[0]), float(edges[-1])
    counts, _ = np.histogram(np.clip(values, low, high), edges)
    median = float(np.median(values))

    def across(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * _INNER_WIDTH

    top = _nice_step(float(counts.max()), 3, least=1.0)
    highest = ceil(counts.max() / top) * top
    heights = counts / highest * _INNER_HEIGHT
    bottom = _TOP + _INNER_HEIGHT
    # One digit more than the bins tell.
    digits = max(0, 1 - floor(log10(edges[1] - edges[0]) + 1e-9))
    words = (
        f"Histogram of {len(values):,} files: {label}. Median {median:.{digits}f}, "
        f"from {_number(float(values.min()))} to {_number(float(values.max()))}."
    )
    parts = [
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(words)}">'
    ]
    for tick in np.arange(0, highest + top / 2, top):
        y = bottom - tick / highest * _INNER_HEIGHT
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.0f}</text>')
    for index, (count, height) in enumerate(zip(counts, heights, strict=True)):
        left, right = across(edges[index]), across(edges[index + 1])
        shape = f'x="{left + 0.5:.2f}" width="{max(right - left - 1, 0.5):.2f}"'
        share = f"{count:,} of {len(values):,} files ({100 * count / len(values):.1f} %)"
        title = f"{_range(edges, index, values)}: {share}"
        parts.append(
            f'<g class="bin"><title>{escape(title)}</title>'
            f'<rect class="reach" {shape} y="{_TOP}" height="{_INNER_HEIGHT}"/>'
            f'<rect class="bar" {shape} y="{bottom - height:.2f}" height="{height:.2f}"/></g>'
        )
    for tick in _ticks(edges):
        parts.append(f'<path class="tick" d="M{across(tick):.1f} {bottom}v4"/>')
        parts.append(
            f'<text x="{across(tick):.1f}" y="{bottom + 17}" text-anchor="middle">{_number(tick)}</text>'
        )
    parts += _line("median", f"median {median:.{digits}f}", across(median))
    if mark is not None and low <= mark[1] <= high:
        parts += _line("mark", f"{mark[0]} {_number(mark[1])}", across(mark[1]))
    middle = _LEFT + _INNER_WIDTH / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>'
    )
    parts.append(f'<text class="axis" x="{_LEFT - 6}" y="12" text-anchor="end">files</text></svg>')
    return "".join(parts)


def bin_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges at round numbers that span all but the half percent farthest off at either side.

    Args:
        values: at least one, finite.
    """
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    bins = min(MOST_BINS, max(8, round(2 * len(values) ** 0.5)))
    # Values that are all but equal would otherwise have bins too narrow for their numbers.
    step = _nice_step(max(high - low, 1e-4 * abs(high), 1e-6), bins)
    first, last = floor(low / step), ceil(high / step)
    return np.arange(first, max(last, first + 1) + 1, dtype=np.float64) * step


def _nice_step(span: float, parts: int, least: float = 0.0) -> float:
    """1, 2 or 5 times a power of ten: the smallest that cuts the span into at most so many parts."""
    rough = max(span / parts, least)
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _ticks(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    step = _nice_step(float(edges[-1] - edges[0]), 7)
    first, last = ceil(edges[0] / step - 1e-6), floor(edges[-1] / step + 1e-6)
    return np.arange(first, last + 1, dtype=np.float64) * step


def _range(edges: NDArray[np.float64], index: int, values: NDArray[np.float64]) -> str:
    low, high = _number(edges[index]), _number(edges[index + 1])
    if index == 0 and values.min() < edges[0]:
        return f"below {high}"
    if index == len(edges) - 2 and values.max() > edges[-1]:
        return f"{low} and more"
    return f"{low} to {high}"


def _line(kind: str, words: str, x: float) -> list[str]:
    """A vertical line with its name above it, on the side where there is room."""
    is_right = x > _LEFT + 0.6 * _INNER_WIDTH
    anchor, at = ("end", x + 3) if is_right else ("start", x - 3)
    y = 12 if kind == "median" else 26
    return [
        f'<path class="{kind}" d="M{x:.1f} {y + 3}V{_TOP + _INNER_HEIGHT}"/>',
        f'<text class="{kind}" x="{at:.1f}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>',
    ]


def _number(value: float) -> str:
    return f"{round(value, 6) + 0.0:.6g}"
