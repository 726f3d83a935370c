"""The distance as a function of few non-negative weights, and its fit to comparisons.

    D_vgg = sum_l v_l sum_c ((1 - s) w_lc u_lc / U_l + s n_lc / N_l)
    log D = sum_k m_k log D_k                      D_0 = D_vgg, then the other terms

u, n: means of squared differences of the chosen form and of plain features; U, N: their averages over the
judged JPEGs of TID2013. v and m are shares (softmax); w_l sums to the number of channels (softmax); s is a
share (sigmoid). The chance that people prefer i to j is taken as sigmoid(k (log D_j - log D_i)) with one k a
study (Bradley and Terry 1952); the loss is the comparisons' mean negative log likelihood plus

    lambda_channels mean_l KL(w_l / C_l || prior) + lambda_layers KL(v || prior) + lambda_terms KL(m || prior)

The prior is where the fit starts: equal channels and the shares of the settings, or fitted weights.
All folds are fitted at once: parameters have a leading axis of runs, and the runs' losses are added.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from lightning import LightningModule
from torch import Tensor, nn

from imgcompress.config import DEFAULT_WEIGHTS, Normalization
from imgcompress.errors import UsageError
from imgcompress.perception.distance import LEAST, SSIMULACRA2_SCALE
from imgcompress.perception.normalization import LAYER_SCALES
from imgcompress.perception.vgg import TAP_CHANNELS
from imgcompress.perception.weights import FittedWeights, file_sha256, load_weights
from imgcompress.resources import default_weights
from imgcompress.shapes import Float
from train.data import Batch, JudgmentData
from train.evaluation import study_figures
from train.features import SCALARS, SIMILARITIES, Features
from train.ssimulacra2_terms import by_scale
from train.taps import EXPONENTS

_STEEPNESS = 3.0


@dataclass(frozen=True)
class DistanceConfig:
    """What is fitted, and where it starts.

    Attributes:
        form: how features are normalized.
        masking: errors count less where the original has texture, by this exponent: 0, -0.5, 0.5 or 1.
        layers: the layers' shares at the start.
        scaled_l2: share of plain squared differences at the start, 0 to below 1.
        terms: other distances and their shares of log D at the start; VGG's is the rest. Any of ssimulacra2,
            masked_contrast, cvvdp, another of ``SCALARS``, or ssimulacra2_scale_0 (finest) to 5.
        fit_layers, fit_channels, fit_scaled_l2, fit_terms: what may move from the start.
    """

    form: Normalization = "unit"
    masking: float = 0.0
    layers: tuple[float, float, float] = (0.3, 0.5, 0.2)
    scaled_l2: float = 0.0
    terms: dict[str, float] | None = None
    fit_layers: bool = True
    fit_channels: bool = True
    fit_scaled_l2: bool = False
    fit_terms: bool = True

    def __post_init__(self) -> None:
        if self.masking not in EXPONENTS:
            raise UsageError(f"model.distance.masking: expected one of {EXPONENTS}, got {self.masking}")
        if not (min(self.layers) >= 0 and sum(self.layers) > 0):
            raise UsageError(f"model.distance.layers: expected shares >= 0, got {self.layers}")
        if not 0 <= self.scaled_l2 < 1:
            raise UsageError(f"model.distance.scaled_l2: expected 0 to below 1, got {self.scaled_l2}")
        for name, share in (self.terms or {}).items():
            if name not in TERMS:
                raise UsageError(f"model.distance.terms.{name}: unknown; there are {', '.join(TERMS)}")
            if not 0 < share < 1:
                raise UsageError(f"model.distance.terms.{name}: expected above 0 and below 1, got {share}")
        if sum((self.terms or {}).values()) >= 1:
            raise UsageError("model.distance.terms: the shares leave nothing to VGG")


_SCALE_TERM = "ssimulacra2_scale_"
TERMS = (*SCALARS, *(f"{_SCALE_TERM}{scale}" for scale in range(6)))


@dataclass(frozen=True)
class Weights:
    """One run's result.

    Attributes:
        layers: shares.
        channel_logits: per layer; softmax times the number of channels are the weights.
        scaled_l2: the share of plain squared differences.
        terms: shares of log D, VGG's under "vgg".
    """

    layers: Tensor
    channel_logits: tuple[Tensor, ...]
    scaled_l2: float
    terms: dict[str, float]


class WeightedDistance(nn.Module):
    """log D of the module's head, for several sets of weights at once.

    Args:
        config: the form and the start.
        runs: how many sets.
        channel_logits: where the channels start; None for equal weights.
    """

    channel_priors: Sequence[Tensor]
    layer_prior: Tensor
    term_prior: Tensor

    def __init__(
        self, config: DistanceConfig, runs: int, channel_logits: Sequence[Tensor] | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.term_names = ("vgg", *(config.terms or {}))
        shares = list((config.terms or {}).values())
        self.register_buffer("layer_prior", _shares(config.layers), persistent=False)
        self.register_buffer("term_prior", _shares([1 - sum(shares), *shares]), persistent=False)

        def start(values: Tensor, fitted: bool) -> nn.Parameter:
            return nn.Parameter(values.repeat(runs, 1), requires_grad=fitted)

        self.layer_logits = start(self.layer_prior.clamp(min=1e-6).log(), config.fit_layers)
        logits = channel_logits or [torch.zeros(channels) for channels in TAP_CHANNELS]
        self.channel_priors = [values.softmax(0) for values in logits]
        self.channel_logits = nn.ParameterList(start(values, config.fit_channels) for values in logits)
        self.scaled_l2_logit = start(torch.tensor([config.scaled_l2]).logit(eps=1e-6), config.fit_scaled_l2)
        self.term_logits = start(self.term_prior.log(), config.fit_terms and bool(shares))

    def forward(self, features: Features) -> Float[Tensor, "runs items"]:
        """log D of every item under every run's weights."""
        logs = [_log(self._vgg(features))]
        logs += [term_log(features, name).expand_as(logs[0]) for name in self.term_names[1:]]
        return torch.einsum("rk,kri->ri", self.term_logits.softmax(1), torch.stack(logs))

    def _vgg(self, features: Features) -> Tensor:
        column = EXPONENTS.index(self.config.masking)
        layers = self.layer_logits.softmax(1)
        share = self.scaled_l2_logit.sigmoid() if self._mixes else None
        total = torch.zeros((), device=layers.device)
        for layer, logits in enumerate(self.channel_logits):
            weights = logits.softmax(1) * TAP_CHANNELS[layer]
            mean = weights @ self._scaled(features, self.config.form, layer, column)
            if share is not None:
                mean = (1 - share) * mean + share * self._scaled(features, "none", layer, column).sum(0)
            total = total + layers[:, layer : layer + 1] * mean
        return total

    @property
    def _mixes(self) -> bool:
        return self.config.scaled_l2 > 0 or self.config.fit_scaled_l2

    @staticmethod
    def _scaled(features: Features, form: Normalization, layer: int, column: int) -> Tensor:
        """[channels, items]."""
        return features.taps[form][layer][:, column].T / LAYER_SCALES[form][1][layer]

    def divergences(self) -> dict[str, Float[Tensor, "runs"]]:
        """How far channels, layers and terms are from their start, nats."""
        channels = [
            _divergence(logits, prior.to(logits.device))
            for logits, prior in zip(self.channel_logits, self.channel_priors, strict=True)
        ]
        return {
            "channels": torch.stack(channels).mean(0),
            "layers": _divergence(self.layer_logits, self.layer_prior),
            "terms": _divergence(self.term_logits, self.term_prior),
        }

    @torch.no_grad()
    def weights(self, run: int) -> Weights:
        """What a run has arrived at."""
        shares = self.term_logits[run].softmax(0).tolist()
        return Weights(
            self.layer_logits[run].softmax(0).clone(),
            tuple((logits[run] - logits[run].mean()).clone() for logits in self.channel_logits),
            float(self.scaled_l2_logit[run].sigmoid()) if self._mixes else 0.0,
            dict(zip(self.term_names, shares, strict=True)),
        )


class FittedDistance(LightningModule):
    """Fits a :class:`WeightedDistance`, all folds at once.

    Args:
        distance: the form and the start.
        start: fitted weights to start from, ``default`` for those that come with the package; form, layers
            and shares are then theirs. Null: as ``distance`` says, with equal channels.
        lambda_channels, lambda_layers, lambda_terms: how strongly weights are held to their start.
        learning_rate: Adam's.
    """

    distance: WeightedDistance

    def __init__(
        self,
        distance: DistanceConfig | None = None,
        *,
        start: Path | None = None,
        lambda_channels: float = 1.0,
        lambda_layers: float = 1.0,
        lambda_terms: float = 1.0,
        learning_rate: float = 0.05,
    ) -> None:
        super().__init__()
        for name, value in (
            ("lambda_channels", lambda_channels),
            ("lambda_layers", lambda_layers),
            ("lambda_terms", lambda_terms),
        ):
            if not value >= 0:
                raise UsageError(f"model.{name}: expected a number >= 0, got {value}")
        self.config = distance or DistanceConfig()
        self._start = default_weights() if start == Path(DEFAULT_WEIGHTS) else start
        self._channel_logits: Sequence[Tensor] | None = None
        self._lambdas = {"channels": lambda_channels, "layers": lambda_layers, "terms": lambda_terms}
        self._learning_rate = learning_rate
        self._out_of_fold: Tensor | None = None

    @property
    def data(self) -> JudgmentData:
        """The trainer's data."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, JudgmentData)
        return data

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the result but the data."""
        return {
            "distance": asdict(self.config),
            "start": None if self._start is None else file_sha256(self._start),
            "lambdas": self._lambdas,
            "learning_rate": self._learning_rate,
        }

    def configure_model(self) -> None:
        """Makes the parameters: only the data know how many runs there are."""
        if not hasattr(self, "distance"):
            if self._start is not None:
                fitted = load_weights(self._start, self.data.trunk)
                self.config, self._channel_logits = _as_config(fitted, self.config), fitted.channel_logits
            self.distance = WeightedDistance(self.config, self.data.runs, self._channel_logits)
            steepness = torch.full((self.data.runs, len(self.data.studies)), _STEEPNESS)
            self.log_steepness = nn.Parameter(steepness.log())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over what is fitted."""
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], self._learning_rate)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:  # noqa: ARG002
        """The loss, added over runs."""
        logs = self.distance(batch.features)
        margin = logs[:, batch.worse] - logs[:, batch.better]
        surprise = F.softplus(-self.log_steepness.exp()[:, batch.study] * margin)
        weight = batch.weight * batch.trains
        comparisons = (surprise * weight).sum(1) / weight.sum(1).clamp(min=1e-12)
        loss = comparisons
        for name, divergence in self.distance.divergences().items():
            loss = loss + self._lambdas[name] * divergence
            self.log(f"divergence/{name}", divergence[-1], batch_size=1)
        self.log("loss/comparisons", comparisons[-1], batch_size=1)
        self.log("loss/total", loss[-1], batch_size=1, prog_bar=True)
        return loss.sum()

    def validation_step(self, batch: Batch, batch_index: int) -> None:  # noqa: ARG002
        """Out-of-fold agreement with people."""
        logs = self.distance(batch.features)
        self._out_of_fold = logs.gather(0, batch.fold[None])[0].cpu()
        self._log_figures("out_of_fold", self._out_of_fold)

    def test_step(self, batch: Batch, batch_index: int) -> None:  # noqa: ARG002
        """Agreement of the fit to everything; honest only on judgments that it has not seen."""
        self._log_figures("all", self.distance(batch.features)[-1].cpu())

    def _log_figures(self, prefix: str, logs: Tensor) -> None:
        for study, figures in study_figures(self.data.items, self.data.pairs, logs).items():
            for name, value in figures.items():
                self.log(f"{prefix}/{study}/{name}", value, batch_size=1)

    @torch.no_grad()
    def start_log_distance(self, features: Features) -> Float[Tensor, "items"]:
        """log D where this fit starts."""
        result: Tensor = WeightedDistance(self.config, 1, self._channel_logits)(features)[0]
        return result

    @property
    def out_of_fold(self) -> Float[Tensor, "items"]:
        """log D of every item by the run that has not seen its picture; after a validation."""
        assert self._out_of_fold is not None
        return self._out_of_fold

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Notes what the parameters belong to."""
        checkpoint["belongs_to"] = self._belongs_to()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses the parameters of another fit.

        Raises:
            UsageError: data or settings were others.
        """
        if checkpoint.get("belongs_to") != self._belongs_to():
            raise UsageError(
                f"{self.trainer.default_root_dir} holds a fit of other data or settings: "
                "give another --trainer.default_root_dir, or remove it"
            )

    def _belongs_to(self) -> dict[str, Any]:
        return {"data": self.data.digest(), "settings": repr(self.settings)}


@torch.no_grad()
def uniform_log_distance(config: DistanceConfig, features: Features) -> Float[Tensor, "items"]:
    """log D with equal channels."""
    result: Tensor = WeightedDistance(config, 1)(features)[0]
    return result


def term_log(features: Features, name: str) -> Float[Tensor, "items"]:
    """log D of one of ``TERMS``; similarities s as 1 - s, PSNR as the squared error."""
    if name.startswith(_SCALE_TERM):
        return _log(by_scale(features.ssimulacra2_terms)[:, int(name[-1])])
    if name == "ssimulacra2":
        return _log(by_scale(features.ssimulacra2_terms).sum(1) / SSIMULACRA2_SCALE)
    value = features.scalars[name]
    if name == "psnr":
        return value * (-torch.log(torch.tensor(10.0)) / 10)
    return _log(1 - value if name in SIMILARITIES else value)


def _as_config(fitted: FittedWeights, config: DistanceConfig) -> DistanceConfig:
    """The settings with the form and the shares of fitted weights; what may move is as set."""
    if fitted.pooling != 1:
        raise UsageError(f"model.start: expected weights with pooling 1, got {fitted.pooling:g}")
    return replace(
        config,
        form=fitted.normalization,
        masking=0.0,
        layers=fitted.layer_weights,
        scaled_l2=fitted.scaled_l2,
        terms={"ssimulacra2": fitted.ssimulacra2} if fitted.ssimulacra2 else None,
    )


def _log(distance: Tensor) -> Tensor:
    return torch.log(distance.clamp(min=LEAST))


def _shares(values: Any) -> Tensor:
    tensor = torch.tensor(values, dtype=torch.float32)
    return tensor / tensor.sum()


def _divergence(logits: Tensor, prior: Tensor) -> Tensor:
    """KL(softmax(logits) || prior) of each run, nats."""
    logs = logits.log_softmax(1)
    return (logs.exp() * (logs - prior.clamp(min=1e-6).log())).sum(1)
