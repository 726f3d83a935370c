"""The report: a fit beside every baseline, as a Markdown table and plots."""

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, log
from pathlib import Path

import matplotlib as mpl
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch import Tensor

from train.data import JudgmentData
from train.evaluation import agreement, study_figures
from train.features import Features
from train.frontier import frontier_plot
from train.judgments import Item
from train.model import DistanceConfig, FittedDistance, WeightedDistance, term_log, uniform_log_distance

BASELINES = {
    "PSNR (luma)": "psnr",
    "SSIM": "ssim",
    "MS-SSIM": "ms_ssim",
    "IW-SSIM": "iw_ssim",
    "VIF": "vif",
    "FSIM": "fsim",
    "SR-SIM": "sr_sim",
    "DSS": "dss",
    "HaarPSI": "haarpsi",
    "GMSD": "gmsd",
    "MS-GMSD": "ms_gmsd",
    "MDSI": "mdsi",
    "VSI": "vsi",
    "SSIMULACRA2": "ssimulacra2",
    "masked contrast": "masked_contrast",
    "ColorVideoVDP (for descent)": "cvvdp",
}
_TAP_NAMES = ("conv2_2", "conv3_3", "conv4_3")
_OURS = "fitted, out of fold"


def write_report(model: FittedDistance, data: JudgmentData, folder: Path) -> Path:
    """Writes ``report.md`` and its plots.

    Args:
        model: fitted and validated.
        data: what it was fitted to.
        folder: made if it is missing.

    Returns:
        The Markdown file.
    """
    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    distances = _all_distances(model, data)
    sections = ["# Agreement with people", _introduction(model, data)]
    for study in data.studies:
        sections += [f"## {study}", _table(data, distances, study)]
        if any(item.study == study and item.score is not None for item in data.items):
            _keep(_scatter(data.items, model.out_of_fold, study), f"scatter-{study}", model, folder)
            sections.append(f"![scores and distances](scatter-{study}.png)")
    scored = [
        study for study in data.studies if any(i.study == study and i.score is not None for i in data.items)
    ]
    if len(scored) > 1:
        _keep(frontier_plot(model, data, (scored[0], scored[1])), "frontier", model, folder)
        sections += ["## What one distance can do for both", "![frontier](frontier.png)"]
    _keep(_weights_plot(model.distance), "weights", model, folder)
    sections += ["## Weights", _weights_text(model.distance), "![weights](weights.png)"]
    path = folder / "report.md"
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return path


def _keep(figure: Figure, name: str, model: FittedDistance, folder: Path) -> None:
    """As a PNG beside the report, and for TensorBoard."""
    figure.savefig(folder / f"{name}.png", dpi=110)
    assert isinstance(model.logger, TensorBoardLogger)
    model.logger.experiment.add_figure(name, figure)
    model.logger.experiment.flush()


def _introduction(model: FittedDistance, data: JudgmentData) -> str:
    facts = data.describe()
    return (
        f"{facts['items']} pictures judged, showing {facts['pictures']} things, in {facts['folds']} folds "
        f'that share none of them. "{_OURS}" is each picture\'s distance by the fit that had not seen what '
        "it shows. SROCC, KROCC: rank correlations over all pictures of the study together; in brackets the "
        "95 % interval over 1000 drawings of what is shown. PLCC: Pearson's correlation after a 4-parameter "
        "logistic curve. Within: mean rank correlation of the test pictures of one thing. Signs are turned "
        f'so that 1 is perfect. "start" is the form of the fit before it was fitted (`{model.config}`).'
    )


def _all_distances(model: FittedDistance, data: JudgmentData) -> dict[str, list[float]]:
    """Per method a number an item, lower is better; NaN where it has none."""
    features = data.batch.features
    rows: dict[str, Tensor] = {
        _OURS: model.out_of_fold,
        "start": model.start_log_distance(features),
    }
    for form, words in (("unit", "unit length"), ("divisive", "divisive"), ("none", "plain squares")):
        rows[f"VGG, equal channels, {words}"] = _uniform(features, DistanceConfig(form=form))  # type: ignore[arg-type]
    for share in (0.1, 0.25):
        name = f"VGG, equal channels, unit length + {share:g} of plain squares"
        rows[name] = _uniform(features, DistanceConfig(scaled_l2=share))
    rows |= {name: term_log(features, term) for name, term in BASELINES.items()}
    distances = {name: values.tolist() for name, values in rows.items()}
    distances["the encoder's quality number"] = [
        -item.quality if item.quality is not None else float("nan") for item in data.items
    ]
    return distances


def _uniform(features: Features, config: DistanceConfig) -> Tensor:
    return uniform_log_distance(replace(config, terms=None), features)


def _table(data: JudgmentData, distances: dict[str, list[float]], study: str) -> str:
    scored = [i for i, item in enumerate(data.items) if item.study == study and item.score is not None]
    if not scored:
        return _pair_table(data, distances, study)
    lines = ["| distance | SROCC | KROCC | PLCC | within |", "|---|---|---|---|---|"]
    pictures = [data.items[i].picture for i in scored]
    scores = [data.items[i].score or 0.0 for i in scored]
    for name, values in distances.items():
        mine = [values[i] for i in scored]
        if any(map(isnan, mine)):
            continue
        found = agreement(mine, scores, pictures)
        within = _figure(data, values, study, "within")
        title = f"**{name}**" if name == _OURS else name
        lines.append(
            f"| {title} | {found.srocc:.3f} ({found.low:.3f} to {found.high:.3f}) | {found.krocc:.3f} "
            f"| {found.plcc:.3f} | {within:.3f} |"
        )
    return "\n".join(lines)


def _pair_table(data: JudgmentData, distances: dict[str, list[float]], study: str) -> str:
    lines = ["| distance | preferences agreed with |", "|---|---|"]
    for name, values in distances.items():
        if not any(map(isnan, values)):
            lines.append(f"| {name} | {_figure(data, values, study, 'pairs'):.3f} |")
    return "\n".join(lines)


def _figure(data: JudgmentData, values: Sequence[float], study: str, name: str) -> float:
    found = study_figures(data.items, data.pairs, Tensor(values))
    return found[study].get(name, float("nan"))


def _weights_text(distance: WeightedDistance) -> str:
    weights = distance.weights(-1)
    layers = ", ".join(
        f"{name} {share:.3f}" for name, share in zip(_TAP_NAMES, weights.layers.tolist(), strict=True)
    )
    terms = ", ".join(f"{name} {share:.3f}" for name, share in weights.terms.items())
    spreads = [
        f"{name} {float((logits.softmax(0) * logits.log_softmax(0)).sum()) + log(len(logits)):.4f}"
        for name, logits in zip(_TAP_NAMES, weights.channel_logits, strict=True)
    ]
    return (
        f"Layers: {layers}. Share of plain squares: {weights.scaled_l2:.3f}. Shares of log D: {terms}. "
        f"Channels' divergence from equal weights, nats: {', '.join(spreads)}."
    )


def _scatter(items: Sequence[Item], logs: Tensor, study: str) -> Figure:
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    mine = [
        (item, value) for item, value in zip(items, logs.exp().tolist(), strict=True) if item.study == study
    ]
    for picture in sorted({item.picture for item, _ in mine}):
        points = sorted(
            (value, item.score) for item, value in mine if item.picture == picture and item.score is not None
        )
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", markersize=3, linewidth=0.6)
    axes.set(xscale="log", xlabel="distance, out of fold", ylabel="mean opinion score", title=study)
    return figure


def _weights_plot(distance: WeightedDistance) -> Figure:
    weights = distance.weights(-1)
    figure = Figure(figsize=(10, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    names = [*_TAP_NAMES, *weights.terms]
    upper.bar(names, [*weights.layers.tolist(), *weights.terms.values()])
    upper.set(ylabel="share", title="layers, and terms of log D")
    upper.tick_params(axis="x", rotation=20)
    for name, logits in zip(_TAP_NAMES, weights.channel_logits, strict=True):
        values = (logits.softmax(0) * len(logits)).sort(descending=True).values
        lower.plot([i / len(values) for i in range(len(values))], values.tolist(), label=name)
    lower.set(xlabel="channels, from the heaviest", ylabel="weight, 1 is equal", title="channels")
    lower.legend()
    return figure
