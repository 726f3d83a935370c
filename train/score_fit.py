"""Fits the no-reference score, and foretells every picture with a fit that has not seen it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from imgcompress.forensics.blockiness import BLOCKINESS_NAMES
from imgcompress.forensics.score import ScoreModel, root_from_score, score_from_root
from imgcompress.forensics.steps import STEP_NAMES
from imgcompress.shapes import Bool, Float, Int

WORST = -100.0
"""SSIMULACRA2 below it is taken for it: how unbearable a picture is can't be told from features."""
PLAIN = ("ladder", "saved_again", "cut_and_saved")
"""Kinds of samples where compression alone did the damage. They count in full."""


@dataclass(frozen=True)
class FitSettings:
    """How the networks are fitted. Chosen by out-of-fold figures on Kodak and camera photographs.

    Attributes:
        networks: whose mean is taken. Half of them see the grid's features alone, which say little about what
            a picture shows: few photographs can't teach the others not to mistake one for the other.
        units: hidden values of each.
        trust: by how much more than others the steps' features may matter at one decay.
        other_kinds: weight of samples that were also blurred, shrunk, noisy or compressed anyhow before.
        decay: pull of all weights to 0.
        epochs: steps of Adam over all samples at once, the rate falling to 0 along a cosine.
        rate: of the first one.
        folds: how many parts pictures are dealt to.
        seed: of starts and of the deal.
    """

    networks: int = 8
    units: int = 16
    trust: float = 3.0
    other_kinds: float = 0.2
    decay: float = 0.02
    epochs: int = 200
    rate: float = 0.02
    folds: int = 6
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Data:
    """What is learned from, and what is only foretold.

    Attributes:
        names: of the features.
        raw: features.
        scores: SSIMULACRA2; anything where nothing is learned.
        weights: how much each sample counts; 0 for those that are only foretold.
        fold: of each sample's picture.
    """

    names: tuple[str, ...]
    raw: Float[Tensor, "samples features"]
    scores: Float[Tensor, "samples"]
    weights: Float[Tensor, "samples"]
    fold: Int[Tensor, "samples"]

    def select(self, rows: Bool[Tensor, "samples"]) -> "Data":
        """Some of the samples."""
        return replace(
            self,
            raw=self.raw[rows],
            scores=self.scores[rows],
            weights=self.weights[rows],
            fold=self.fold[rows],
        )

    def with_features(self, names: Sequence[str]) -> "Data":
        """All samples with some of their features."""
        columns = [self.names.index(name) for name in names]
        return replace(self, names=tuple(names), raw=self.raw[:, columns])


def deal(pictures: Sequence[str], folds: int, seed: int) -> dict[str, int]:
    """A fold for every picture's name, about equally many in each."""
    names = sorted(set(pictures))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    return {names[place]: number % folds for number, place in enumerate(order)}


def fit(data: Data, settings: FitSettings) -> ScoreModel:
    """Networks for these samples.

    Args:
        data: samples of weight 0 are not looked at.
        settings: the rest.

    Returns:
        A model of the data's features; its residuals are 0, which only samples it has not seen can tell.
    """
    data = data.select(data.weights > 0)
    wanted = root_from_score(data.scores.clamp(min=WORST))
    share = data.weights / data.weights.sum()
    mean, spread = data.raw.mean(0), data.raw.std(0).clamp(min=1e-6)
    center, scale = (share * wanted).sum(), wanted.std()
    trust = _trust(data.names, settings)
    generator = torch.Generator().manual_seed(settings.seed)

    def drawn(inputs: int, outputs: int) -> Tensor:
        start: Tensor = torch.randn(settings.networks, inputs, outputs, generator=generator) / inputs**0.5
        start.requires_grad_()
        return start

    hidden, output = drawn(data.raw.shape[1], settings.units), drawn(settings.units, 1)
    hidden_bias = torch.zeros(settings.networks, 1, settings.units, requires_grad=True)
    output_bias = torch.zeros(settings.networks, 1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([hidden, output, hidden_bias, output_bias], lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)

    def model() -> ScoreModel:
        # The optimizer works on roots of mean 0 and spread 1.
        return ScoreModel(
            mean,
            spread,
            hidden * trust,
            hidden_bias,
            output * scale,
            output_bias * scale + center,
            residuals=torch.zeros(2),
        )

    normalized = model().normalize(data.raw)
    for _ in range(settings.epochs):
        optimizer.zero_grad()
        # Every network is to be right by itself.
        errors = (model().each_root(normalized) - wanted) / scale
        decay = hidden.square().sum() + output.square().sum()
        loss = (share * errors.square()).sum() + settings.decay * decay
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    fitted = model()
    return replace(fitted, **{name: tensor.detach() for name, tensor in fitted.tensors().items()})


def out_of_fold(data: Data, settings: FitSettings) -> Float[Tensor, "samples"]:
    """Every sample's score by the fit to the other folds.

    Args:
        data: samples of weight 0 are foretold, too.
        settings: of each fit.
    """
    found = torch.empty(len(data.raw))
    for number in range(int(data.fold.max()) + 1):
        own = data.fold == number
        model = fit(data.select(~own), settings)
        found[own] = score_from_root(model.roots(model.normalize(data.raw[own])))
    return found


def residuals(data: Data, foretold: Float[Tensor, "samples"]) -> Float[Tensor, "2"]:
    """The 5 and 95 % quantiles of true less foretold roots, each sample by its weight.

    Args:
        data: what was learned from.
        foretold: out of fold.
    """
    learned = data.weights > 0
    wanted = root_from_score(data.scores[learned].clamp(min=WORST))
    errors, order = (wanted - root_from_score(foretold[learned])).sort()
    reached = data.weights[learned][order].cumsum(0)
    places = torch.searchsorted(reached, reached[-1] * torch.tensor([0.05, 0.95]))
    return errors[places.clamp(max=len(errors) - 1)]


def _trust(names: Sequence[str], settings: FitSettings) -> Float[Tensor, "networks features 1"]:
    """How far each network may use each feature."""
    steps = torch.tensor([name in STEP_NAMES for name in names])
    grid = steps | torch.tensor([name in BLOCKINESS_NAMES for name in names])
    trust = torch.where(steps, settings.trust, 1.0).repeat(settings.networks, 1)
    if bool(grid.any()):
        trust[: settings.networks // 2, ~grid] = 0
    return trust[..., None]
