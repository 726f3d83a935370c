"""Pairs of files that look nearly alike, and how often metrics order them alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor, nn

from imgcompress.config import PerceptionConfig, load_config
from imgcompress.errors import UsageError
from imgcompress.perception.distance import PerceptualDistance, load_distance
from imgcompress.perception.vgg import Taps, VggFeatures, load_trunk
from imgcompress.perception.weights import load_weights
from imgcompress.resources import default_trunk, resource_path
from rd.bdrate import summarize
from rd.cache import digest
from rd.encoders import LIBJPEG, EncoderSpec
from rd.measure import encode, score
from rd.perception import version_of
from rd.pictures import PictureFile, Pixels
from rd.qualities import bracket
from rd.scores import SSIMULACRA2, Metric, as_tensor, metrics

NEIGHBORS, EQUAL_BYTES = "neighboring qualities", "equal bytes"
STEPS = 4
"""Qualities of one encoder that are at most this far apart are neighbors."""
TOLERANCE = 0.02
"""Sizes that differ by at most this share are equal."""
QUALITY = "the quality number"
"""Orders the neighbors, and only them."""
REMEMBERED = 4
"""Pictures whose features are kept: the original and both files of a pair are looked at again."""
_OTHERS = (SSIMULACRA2, "cvvdp", "butteraugli")

Form = tuple[str, PerceptionConfig]
"""A distance of ours: what tables call it, and its settings."""


@dataclass(frozen=True)
class CloseTask:
    """What a worker does.

    Attributes:
        picture: which one.
        encoders: peers at 4:2:0, libjpeg-turbo first.
        qualities: of every encoder; those that are close to each other are neighbors, and libjpeg-turbo's
            files have the sizes that the others' are brought to.
        forms: our distances.
        cache: where results are kept.
    """

    picture: PictureFile
    encoders: tuple[EncoderSpec, ...]
    qualities: tuple[int, ...]
    forms: tuple[Form, ...]
    cache: Path

    @property
    def title(self) -> str:
        """For the line of progress."""
        return self.picture.name


@dataclass(frozen=True)
class ClosePair:
    """Two files of a picture.

    Attributes:
        picture: its hash; names are cut and may be the same.
        kind: NEIGHBORS or EQUAL_BYTES.
        first, second: encoder and quality of each.
        gains: by the metric's title, how much better the first is; its sign counts.
    """

    picture: str
    kind: str
    first: str
    second: str
    gains: dict[str, float]


@dataclass(frozen=True)
class _File:
    encoder: str
    quality: int
    data: bytes

    @property
    def title(self) -> str:
        return f"{self.encoder} {self.quality}"


def forms(weights: Sequence[Path]) -> tuple[Form, ...]:
    """The document's distance, the one of equal channels at unit length, and one for each file of weights.

    Raises:
        UsageError: a file of weights cannot be read, or two have one name.
    """
    named = []
    for name, title in (("document", "plain L2"), ("unit", "unit length")):
        named.append(
            (f"VGG, {title}", load_config(resource_path(f"configs/perception/{name}.yaml")).perception)
        )
    for path in weights:
        load_weights(path, default_trunk())
        named.append((f"VGG, {path.stem}", PerceptionConfig(weights=str(path))))
    if len(dict(named)) < len(named):
        raise UsageError("--weights: two files have the same name; the tables could not tell them apart")
    return tuple((title, replace(perception, cpu_scale=1.0)) for title, perception in named)


def judges(chosen: Sequence[Form]) -> tuple[list[Metric], list[str]]:
    """The metrics to compare, and a sentence for each that cannot run here.

    Args:
        chosen: our distances.
    """
    found, missing = metrics(vgg=False)
    others = [metric for metric in found if metric.name in _OTHERS]
    return [*(_form_metric(form) for form in chosen), *others], missing


def measure(task: CloseTask) -> list[ClosePair]:
    """All close pairs of a picture; what is in the cache is taken from there."""
    found, _ = judges(task.forms)
    pairs = [(NEIGHBORS, first, second) for first, second in _neighbors(task)]
    pairs += [(EQUAL_BYTES, first, second) for first, second in _equal_bytes(task)]
    result = []
    for kind, first, second in pairs:
        gains = {
            judge.title: judge.axis(score(task.picture, first.data, judge, task.cache))
            - judge.axis(score(task.picture, second.data, judge, task.cache))
            for judge in found
        }
        if kind == NEIGHBORS:
            gains[QUALITY] = float(first.quality - second.quality)
        result.append(ClosePair(task.picture.hash, kind, first.title, second.title, gains))
    return result


def agreement_table(pairs: Sequence[ClosePair], kind: str) -> str:
    """How often every two metrics order the pairs of a kind alike, as Markdown.

    Args:
        pairs: all that were measured.
        kind: NEIGHBORS or EQUAL_BYTES.

    Returns:
        Percent, mean over pictures, and its 95 % interval over drawings of the pictures.
    """
    chosen = [pair for pair in pairs if pair.kind == kind]
    if not chosen:
        return f"### {kind.capitalize()}\n\nNo pairs."
    titles = list(chosen[0].gains)
    pictures = list(dict.fromkeys(pair.picture for pair in chosen))
    lines = [
        f"### {kind.capitalize()}: {len(chosen)} pairs of {len(pictures)} pictures",
        "",
        f"| | {' | '.join(titles[1:])} |",
        f"|---{'|---' * len(titles[1:])}|",
    ]
    for row, title in enumerate(titles[:-1]):
        cells = [
            _cell(chosen, pictures, title, other) if column > row else ""
            for column, other in enumerate(titles)
        ]
        lines.append(f"| {title} | {' | '.join(cells[1:])} |")
    return "\n".join(lines)


def _cell(pairs: Sequence[ClosePair], pictures: Sequence[str], first: str, second: str) -> str:
    shares = []
    for picture in pictures:
        mine = [pair.gains for pair in pairs if pair.picture == picture]
        alike = sum(gains[first] * gains[second] > 0 for gains in mine)
        shares.append(100 * alike / len(mine))
    share = summarize(shares)
    return f"{share.mean:.1f} ({share.low:.0f} to {share.high:.0f})"


def _neighbors(task: CloseTask) -> list[tuple[_File, _File]]:
    """The finer quality is first; files that are the same are no pair."""
    pairs = []
    for encoder in task.encoders:
        for lower, upper in combinations(sorted(task.qualities), 2):
            if upper - lower <= STEPS:
                pairs.append((_file(task, encoder, upper), _file(task, encoder, lower)))
    return [(first, second) for first, second in pairs if first.data != second.data]


def _equal_bytes(task: CloseTask) -> list[tuple[_File, _File]]:
    assert task.encoders[0].name == LIBJPEG
    pairs = []
    for quality in task.qualities:
        anchor = _file(task, task.encoders[0], quality)
        others = [_nearest(task, encoder, len(anchor.data)) for encoder in task.encoders[1:]]
        files = [anchor, *(file for file in others if file is not None)]
        pairs += [(a, b) for a, b in combinations(files, 2) if _apart(len(a.data), len(b.data)) <= TOLERANCE]
    return pairs


def _nearest(task: CloseTask, encoder: EncoderSpec, wanted: int) -> _File | None:
    """The file of an encoder whose size is nearest; None where the sizes that it makes do not reach it."""

    def bytes_of(quality: int) -> float:
        return float(len(_file(task, encoder, quality).data))

    found = bracket(bytes_of, wanted, (75,))
    if found is None:
        return None
    files = [_file(task, encoder, quality) for quality in found]
    return min(files, key=lambda file: _apart(len(file.data), wanted))


def _apart(first: int, second: int) -> float:
    return math.expm1(abs(math.log(first / second)))


def _file(task: CloseTask, encoder: EncoderSpec, quality: int) -> _File:
    return _File(encoder.name, quality, encode(task.picture, encoder, quality, task.cache).data)


def _form_metric(form: Form) -> Metric:
    title, perception = form
    measured = partial(_vgg, perception)
    return Metric("vgg form", title, version_of(perception), measured, lambda distance: -distance)


@torch.inference_mode()
def _vgg(perception: PerceptionConfig, reference: Pixels, result: Pixels) -> float:
    return float(_distance(perception)(as_tensor(reference), as_tensor(result)))


@cache
def _distance(perception: PerceptionConfig) -> PerceptualDistance:
    distance = load_distance(perception, torch.device("cpu"))
    distance.trunk = _trunk()
    return distance


@cache
def _trunk() -> "_Remembering":
    return _Remembering(load_trunk(default_trunk()))


class _Remembering(nn.Module):
    """Looks at a picture once for all forms: the trunk is what takes time."""

    def __init__(self, trunk: VggFeatures) -> None:
        super().__init__()
        self._trunk = trunk
        self._seen: dict[str, Taps] = {}

    def forward(self, rgb: Tensor) -> Taps:
        key = digest(repr(rgb.shape).encode(), rgb.numpy().tobytes())
        taps = self._seen.pop(key) if key in self._seen else self._trunk(rgb)
        self._seen[key] = taps
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return taps
