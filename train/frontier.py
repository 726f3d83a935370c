"""What mixtures of distances can do for two studies at once, and where the fit stands among them."""

from dataclasses import replace
from itertools import pairwise

import torch
from matplotlib.figure import Figure
from torch import Tensor

from train.data import JudgmentData
from train.evaluation import study_figures
from train.model import DistanceConfig, FittedDistance, term_log, uniform_log_distance

PARTNERS = ("ssimulacra2_scale_3", "ssimulacra2", "haarpsi", "gmsd", "vsi", "masked_contrast")
"""Of VGG with equal channels, in log D."""
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
PLAIN_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)

Point = tuple[float, float]


def frontier(points: list[Point]) -> list[Point]:
    """The points that no other one beats in both coordinates, from left to right."""
    best: list[Point] = []
    for point in sorted(set(points), key=lambda point: (-point[0], -point[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best[::-1]


def mixtures(data: JudgmentData, studies: tuple[str, str]) -> dict[str, list[Point]]:
    """SROCC of both studies along every mixture with fixed weights, nothing fitted.

    Args:
        data: set up.
        studies: names of two studies with scores.

    Returns:
        By partner: from VGG with equal channels alone to the partner alone (plain squares: to .9).
    """
    features = data.batch.features
    vgg = uniform_log_distance(DistanceConfig(), features)
    found = {
        partner: [
            place(data, (1 - share) * vgg + share * term_log(features, partner), studies) for share in SHARES
        ]
        for partner in PARTNERS
    }
    found["plain squares"] = [
        place(data, uniform_log_distance(replace(DistanceConfig(), scaled_l2=share), features), studies)
        for share in PLAIN_SHARES
    ]
    return found


def place(data: JudgmentData, logs: Tensor, studies: tuple[str, str]) -> Point:
    """SROCC of a distance in both studies."""
    figures = study_figures(data.items, data.pairs, logs)
    first, second = (figures[study]["srocc"] for study in studies)
    return first, second


def frontier_plot(model: FittedDistance, data: JudgmentData, studies: tuple[str, str]) -> Figure:
    """The mixtures' paths, the frontier of all of them, and the fit out of fold."""
    paths = mixtures(data, studies)
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    axes = figure.subplots()
    for name, points in paths.items():
        axes.plot(
            *zip(*points, strict=True), marker="o", markersize=3, linewidth=0.8, label=f"VGG and {name}"
        )
    edge = frontier([point for points in paths.values() for point in points])
    for left, right in pairwise(edge):
        axes.plot((left[0], right[0]), (left[1], right[1]), color="0.6", linestyle=":")
    fitted = place(data, model.out_of_fold, studies)
    axes.plot(*fitted, marker="*", markersize=14, color="k", linestyle="", label="fitted, out of fold")
    shown = torch.tensor([*edge, fitted])
    low, high = shown.min(0).values - 0.05, shown.max(0).values + 0.01
    axes.set(
        xlim=(float(low[0]), float(high[0])),
        ylim=(float(low[1]), float(high[1])),
        xlabel=f"SROCC, {studies[0]}",
        ylabel=f"SROCC, {studies[1]}",
        title="agreement with people: fixed mixtures, and the fit",
    )
    axes.legend(fontsize=8)
    return figure
