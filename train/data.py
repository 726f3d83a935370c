"""Judgments and their features as one batch, with folds that never share a picture."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf
from pathlib import Path

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from imgcompress.errors import UsageError
from imgcompress.resources import default_trunk
from imgcompress.shapes import Bool, Float, Int
from train.features import FeatureCache, Features
from train.judgments import Item, Judgments, read_judgments
from train.studies import convert_studies


@dataclass(frozen=True)
class Batch:
    """All items with all comparisons; there is only one.

    Attributes:
        features: of the items.
        fold: of each item; items of one picture are in one fold.
        better, worse: items of each comparison.
        weight: of each comparison, >= 0; a study's sum to what it counts.
        study: of each comparison.
        trains: per run, which comparisons it learns from. Run k leaves out fold k, the last one nothing.
    """

    features: Features
    fold: Int[Tensor, "items"]
    better: Int[Tensor, "comparisons"]
    worse: Int[Tensor, "comparisons"]
    weight: Float[Tensor, "comparisons"]
    study: Int[Tensor, "comparisons"]
    trains: Bool[Tensor, "runs comparisons"]


class JudgmentData(LightningDataModule):
    """Reads judgments, computes or loads their features, and deals pictures to folds.

    Args:
        judgments: CSV files; ``train/judgments.py`` says how they look.
        shared: the folder with the project's own studies, added to ``judgments``; null for none.
        cache: where features are kept.
        trunk: the VGG16 weights; null takes those that come with the package.
        folds: how many parts each picture is left out of once; no more than there are pictures.
        fold_seed: which pictures go together.
        cross_picture: by study, how much comparisons between different pictures count against those within
            one; 1 for studies that are not named. 0 where the study's scale is not common to its pictures.
        study_weights: how much a study counts in the loss, whatever its number of judgments; 1 for studies
            that are not named. 0 only reports how well the fit agrees with it.
        max_cache_megabytes: the cache does not grow beyond it.
        max_megapixels: larger pictures are refused.
    """

    def __init__(
        self,
        judgments: list[Path] | None = None,
        shared: Path | None = None,
        *,
        cache: Path = Path("out/train/features"),
        trunk: Path | None = None,
        folds: int = 6,
        fold_seed: int = 1,
        cross_picture: dict[str, float] | None = None,
        study_weights: dict[str, float] | None = None,
        max_cache_megabytes: float = 1000.0,
        max_megapixels: float = 8.5,
    ) -> None:
        super().__init__()
        if folds < 2:
            raise UsageError(f"data.folds: expected an integer >= 2, got {folds}")
        for study, weight in (cross_picture or {}).items():
            if not 0 <= weight <= 1:
                raise UsageError(f"data.cross_picture.{study}: expected 0 to 1, got {weight}")
        for study, weight in (study_weights or {}).items():
            if not 0 <= weight < inf:
                raise UsageError(f"data.study_weights.{study}: expected a number >= 0, got {weight}")
        self._files = list(judgments or [])
        self._shared = shared
        self._cache_folder = cache
        self.trunk = trunk or default_trunk()
        self._cache = FeatureCache(cache, self.trunk, max_cache_megabytes, max_megapixels)
        self._folds, self._fold_seed = folds, fold_seed
        self._cross_picture = dict(cross_picture or {})
        self._study_weights = dict(study_weights or {})
        self._ready: tuple[Judgments, Batch] | None = None

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002
        """Reads everything once.

        Raises:
            UsageError: judgments or pictures can't be used, or too few pictures for folds.
        """
        if self._ready is not None:
            return
        files = list(self._files)
        if self._shared is not None:
            files += convert_studies(self._shared, self._cache_folder.parent / "studies")
        judgments = read_judgments(files)
        folds = deal(judgments.items, self._folds, self._fold_seed)
        comparisons = compare_all(judgments, self._cross_picture, self._study_weights)
        self._ready = judgments, _batch(self._cache.features(judgments.items), folds, comparisons)

    @property
    def items(self) -> tuple[Item, ...]:
        """All pictures judged."""
        return self._loaded[0].items

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Preferences that were given as such: (better, worse)."""
        return tuple((pair.better, pair.worse) for pair in self._loaded[0].pairs)

    @property
    def batch(self) -> Batch:
        """The one batch."""
        return self._loaded[1]

    @property
    def runs(self) -> int:
        """Folds, and one for the fit to everything."""
        return len(self.batch.trains)

    @property
    def studies(self) -> list[str]:
        """Names, sorted; ``Batch.study`` counts in this order."""
        return _studies(self.items)

    @property
    def trunk_sha256(self) -> str:
        """Hash of the VGG16 weights."""
        return self._cache.trunk_sha256

    @property
    def cross_picture(self) -> dict[str, float]:
        """By study, as given."""
        return self._cross_picture

    @property
    def study_weights(self) -> dict[str, float]:
        """By study, as given."""
        return self._study_weights

    def describe(self) -> dict[str, object]:
        """What was learned from, and how it was split: for the card."""
        return {
            "items": len(self.items),
            "studies": {study: sum(item.study == study for item in self.items) for study in self.studies},
            "pictures": len({item.picture for item in self.items}),
            "folds": self.runs - 1,
            "fold_seed": self._fold_seed,
            "cross_picture": self._cross_picture,
            "study_weights": self._study_weights,
            "sha256": self.digest(),
        }

    def digest(self) -> str:
        """Hash of features, comparisons and folds; a fit only resumes with the same."""
        state = hashlib.sha256(self.trunk_sha256.encode())
        batch = self.batch
        taps = [tap for layers in batch.features.taps.values() for tap in layers]
        for tensor in (*taps, batch.fold, batch.better, batch.worse, batch.weight, batch.study):
            state.update(tensor.contiguous().numpy().tobytes())
        return state.hexdigest()

    def train_dataloader(self) -> DataLoader[Batch]:
        """The one batch."""
        return _loader(self.batch)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The one batch."""
        return _loader(self.batch)

    def test_dataloader(self) -> DataLoader[Batch]:
        """The one batch."""
        return _loader(self.batch)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """The batch, where the model is; features are small."""
        features = batch.features
        moved = Features(
            {form: tuple(tap.to(device) for tap in taps) for form, taps in features.taps.items()},
            features.ssimulacra2_terms.to(device),
            {name: value.to(device) for name, value in features.scalars.items()},
        )
        names = ("fold", "better", "worse", "weight", "study", "trains")
        return replace(batch, features=moved, **{name: getattr(batch, name).to(device) for name in names})

    @property
    def _loaded(self) -> tuple[Judgments, Batch]:
        assert self._ready is not None
        return self._ready


@dataclass(frozen=True)
class Comparisons:
    """Who looked better than whom: one row a comparison, as in ``Batch``."""

    better: list[int]
    worse: list[int]
    weight: list[float]
    study: list[int]


def deal(items: Sequence[Item], folds: int, seed: int) -> list[int]:
    """Folds of about equal numbers of pictures.

    Args:
        items: items of one picture get one fold, over all studies.
        folds: at least 2; fewer are made where there are fewer pictures.
        seed: which pictures go together.

    Raises:
        UsageError: there is only one picture.
    """
    pictures = sorted({item.picture for item in items})
    if len(pictures) < 2:
        raise UsageError(
            f"{items[0].place}: all rows show one picture, {pictures[0]}; "
            "without a second one nothing can be said about other pictures"
        )
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed)).tolist()
    fold = {pictures[place]: number % min(folds, len(pictures)) for number, place in enumerate(order)}
    return [fold[item.picture] for item in items]


def compare_all(
    judgments: Judgments, cross_picture: Mapping[str, float], study_weights: Mapping[str, float]
) -> Comparisons:
    """Given preferences, and one for every two different scores of a study.

    Args:
        judgments: checked.
        cross_picture: by study, how much two pictures' comparison counts; 1 where nothing is said.
        study_weights: what each study's comparisons sum to; 1 where nothing is said.

    Returns:
        Comparisons; scores that differ by less than the study's standard deviation count less, in proportion.

    Raises:
        UsageError: a name in ``cross_picture`` or ``study_weights`` is no study; a study that is to be
            compared across pictures has only one.
    """
    items = judgments.items
    studies = _studies(items)
    for option, by_study in (("cross_picture", cross_picture), ("study_weights", study_weights)):
        for name in by_study:
            if name not in studies:
                raise UsageError(f"data.{option}.{name}: no such study; there are {', '.join(studies)}")
    rows: dict[str, list[tuple[int, int, float]]] = defaultdict(list)
    for study in studies:
        members = [
            index for index, item in enumerate(items) if item.study == study and item.score is not None
        ]
        if not members:
            continue
        cross = cross_picture.get(study, 1.0)
        if cross and len({items[index].picture for index in members}) < 2:
            place = items[members[0]].place
            raise UsageError(
                f"{place}: study {study} shows one picture, so nothing can be compared across pictures; "
                f"set data.cross_picture.{study} to 0"
            )
        scores = torch.tensor([items[index].score for index in members], dtype=torch.float64)
        spread = float(scores.std())
        for first, second in combinations(members, 2):
            better, worse = sorted((first, second), key=lambda index: -(items[index].score or 0))
            gap = (items[better].score or 0) - (items[worse].score or 0)
            share = 1.0 if items[better].picture == items[worse].picture else cross
            if gap and share:
                rows[study].append((better, worse, share * min(1.0, gap / spread)))
    for pair in judgments.pairs:
        rows[items[pair.better].study].append((pair.better, pair.worse, pair.weight))
    comparisons = Comparisons([], [], [], [])
    for number, study in enumerate(studies):
        share = study_weights.get(study, 1.0)
        total = sum(weight for _, _, weight in rows[study])
        for better, worse, weight in rows[study]:
            comparisons.better.append(better)
            comparisons.worse.append(worse)
            comparisons.weight.append(share * weight / total)
            comparisons.study.append(number)
    return comparisons


def _studies(items: Sequence[Item]) -> list[str]:
    return sorted({item.study for item in items})


def _batch(features: Features, folds: list[int], comparisons: Comparisons) -> Batch:
    fold = torch.tensor(folds)
    better, worse = torch.tensor(comparisons.better), torch.tensor(comparisons.worse)
    left_out = torch.arange(max(folds) + 2)[:, None]
    return Batch(
        features,
        fold,
        better,
        worse,
        torch.tensor(comparisons.weight),
        torch.tensor(comparisons.study),
        (fold[better] != left_out) & (fold[worse] != left_out),
    )


def _loader(batch: Batch) -> DataLoader[Batch]:
    return DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
