"""Fitted weights on disk with a card that says where they come from, and when they are refused."""

import json
import math
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imgcompress.errors import UsageError
from imgcompress.image.write import write_atomically
from imgcompress.perception.weights import FittedWeights, save_weights
from train.data import JudgmentData
from train.evaluation import study_figures
from train.model import DistanceConfig, FittedDistance, uniform_log_distance

TOLERANCE = 0.005
"""A fit may rank a study this much worse than the unfitted distance."""

Figures = dict[str, dict[str, float]]


def compare_with_uniform(model: FittedDistance, data: JudgmentData) -> tuple[Figures, Figures]:
    """Figures of the fit, out of fold, and of the distance without one: unit length, equal channels.

    Args:
        model: validated.
        data: what it was fitted to.
    """
    uniform = uniform_log_distance(DistanceConfig(), data.batch.features)
    return (
        study_figures(data.items, data.pairs, model.out_of_fold),
        study_figures(data.items, data.pairs, uniform),
    )


def refusals(
    fitted: Figures, uniform: Figures, cross_picture: dict[str, float], study_weights: dict[str, float]
) -> list[str]:
    """Why a fit should not be used; empty if it may.

    Args:
        fitted, uniform: as from ``compare_with_uniform``.
        cross_picture: a study with 0 is judged within its pictures, others over all of them.
        study_weights: a study with 0 is only reported.
    """
    reasons = []
    for study, figures in fitted.items():
        if study_weights.get(study, 1.0) == 0:
            continue
        for name, value in figures.items():
            if name == ("srocc" if cross_picture.get(study, 1.0) == 0 else "within"):
                continue
            before = uniform[study][name]
            if not value >= before - TOLERANCE:
                reasons.append(
                    f"{study}: {name} {value:.4f} out of fold, {before:.4f} without a fit "
                    f"(more than {TOLERANCE} worse)"
                )
    return reasons


def save_fit(model: FittedDistance, data: JudgmentData, path: Path, *, seed: int, force: bool) -> str:
    """Writes the weights fitted to everything, and a card beside them.

    Args:
        model: fitted and validated.
        data: what it was fitted to.
        path: of the safetensors file; the card has the suffix ``.json``.
        seed: for the card.
        force: save a fit that should not be used.

    Returns:
        A report of a few lines.

    Raises:
        UsageError: refused without ``force``, or the weights cannot be written.
        PictureError: the card cannot be written.
    """
    fitted, uniform = compare_with_uniform(model, data)
    lines = [
        f"{study}: {name} {value:.4f} out of fold, {uniform[study][name]:.4f} without a fit"
        for study, figures in fitted.items()
        for name, value in figures.items()
    ]
    reasons = refusals(fitted, uniform, data.cross_picture, data.study_weights)
    if model.config.masking or set(model.config.terms or {}) - {"ssimulacra2"}:
        reasons.append(
            "the package's distance has no masking and no term but ssimulacra2: the others would be left out"
        )
    if reasons and not force:
        raise UsageError("\n".join(("refused: not saved without --force", *reasons, "figures:", *lines)))
    weights = model.distance.weights(-1)
    conv2_2, conv3_3, conv4_3 = weights.layers.tolist()
    first, second, third = weights.channel_logits
    fit = FittedWeights(
        model.config.form,
        (conv2_2, conv3_3, conv4_3),
        (first, second, third),
        scaled_l2=weights.scaled_l2,
        ssimulacra2=weights.terms.get("ssimulacra2", 0.0),
    )
    card = {
        "command": " ".join(["python -m train", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "data": data.describe(),
        "trunk_sha256": data.trunk_sha256,
        "settings": model.settings,
        "layer_weights": weights.layers.tolist(),
        "scaled_l2": weights.scaled_l2,
        "terms": weights.terms,
        "out_of_fold": fitted,
        "without_a_fit": uniform,
        "refused_but_forced": reasons,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot write the weights: {error}") from error
    save_weights(path, fit, data.trunk)
    write_atomically(path.with_suffix(".json"), (json.dumps(_without_nan(card), indent=2) + "\n").encode())
    return "\n".join((*lines, *(f"forced: {reason}" for reason in reasons), f"saved {path}"))


def _without_nan(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
