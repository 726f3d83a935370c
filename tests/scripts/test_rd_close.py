"""Close pairs are close, and the table counts what two metrics say of them."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rd import close
from rd.cache import Encoded
from rd.close import EQUAL_BYTES, NEIGHBORS, QUALITY, REMEMBERED, ClosePair, CloseTask, agreement_table
from rd.encoders import LIBJPEG, EncoderSpec
from rd.pictures import PictureFile, Pixels
from rd.scores import Metric, as_tensor, metrics

from imgcompress.errors import UsageError
from imgcompress.perception.distance import load_distance
from imgcompress.perception.vgg import TAP_CHANNELS, Taps
from imgcompress.perception.weights import FittedWeights, save_weights
from imgcompress.resources import default_trunk

QUALITIES = (40, 43, 70, 74, 79)


@dataclass(frozen=True)
class PillowSpec(EncoderSpec):
    """libjpeg-turbo under two names: they differ in chroma."""

    subsampling: str = "4:2:0"

    def build(self) -> Callable[[Pixels, int], Encoded]:
        def encode(pixels: Pixels, quality: int) -> Encoded:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=self.subsampling)
            return Encoded(buffer.getvalue(), 0.0)

        return encode


SPECS = (PillowSpec(LIBJPEG, {"encoder": "a"}), PillowSpec("other", {"encoder": "b"}, subsampling="4:4:4"))


def psnr(reference: Pixels, result: Pixels) -> float:
    return float(-10 * np.log10(np.mean((reference.astype(np.float64) - result) ** 2)))


@pytest.fixture(scope="module")
def task(photo: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> CloseTask:
    folder = tmp_path_factory.mktemp("close")
    Image.fromarray(photo.permute(1, 2, 0).contiguous().numpy()).save(folder / "coffee.png")
    return CloseTask(PictureFile(folder / "coffee.png", (160, 120)), SPECS, QUALITIES, (), folder / "cache")


@pytest.fixture(scope="module")
def pairs(task: CloseTask) -> list[ClosePair]:
    """By PSNR, its opposite, and one that knows nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rd.measure._built", {})
        judges = [
            Metric("psnr", "PSNR", "1", psnr, lambda score: score),
            Metric("opposite", "opposite", "1", psnr, lambda score: -score),
            Metric("nothing", "nothing", "1", lambda reference, result: 1.0, lambda score: score),
        ]
        patch.setattr(close, "judges", lambda forms: (judges, []))
        return close.measure(task)


def test_neighbors_are_few_steps_apart_and_the_finer_is_first(pairs: list[ClosePair]) -> None:
    found = [(pair.first, pair.second) for pair in pairs if pair.kind == NEIGHBORS]
    steps = ((43, 40), (74, 70))
    assert found == [(f"{spec.name} {a}", f"{spec.name} {b}") for spec in SPECS for a, b in steps]
    for pair in pairs:
        if pair.kind == NEIGHBORS:
            assert pair.gains["PSNR"] > 0 > pair.gains["opposite"]
            assert pair.gains[QUALITY] in (3, 4)


def test_equal_bytes_are_equal_and_from_two_encoders(pairs: list[ClosePair], task: CloseTask) -> None:
    def size(title: str) -> int:
        name, quality = title.rsplit(" ", 1)
        spec = next(spec for spec in SPECS if spec.name == name)
        return len(spec.build()(task.picture.pixels, int(quality)).data)

    found = [pair for pair in pairs if pair.kind == EQUAL_BYTES]
    assert 1 < len(found) <= len(QUALITIES)
    for pair in found:
        assert pair.first.startswith(LIBJPEG)
        assert pair.second.startswith("other")
        assert 1 / 1.02 <= size(pair.first) / size(pair.second) <= 1.02
        assert QUALITY not in pair.gains


def test_files_and_scores_are_kept(pairs: list[ClosePair], task: CloseTask) -> None:
    kept = list((task.cache / "scores").rglob("*.json"))
    titles = {title for pair in pairs for title in (pair.first, pair.second)}
    assert len(kept) == 3 * len(titles)


def test_pictures_are_told_apart_by_their_pixels(pairs: list[ClosePair], task: CloseTask) -> None:
    assert {pair.picture for pair in pairs} == {task.picture.hash}


def test_the_table_counts_pairs_that_are_ordered_alike(pairs: list[ClosePair]) -> None:
    table = agreement_table(pairs, NEIGHBORS).splitlines()
    assert table[0] == "### Neighboring qualities: 4 pairs of 1 pictures"
    assert table[2] == f"| | opposite | nothing | {QUALITY} |"
    assert table[4] == "| PSNR | 0.0 (0 to 0) | 0.0 (0 to 0) | 100.0 (100 to 100) |"


def test_shares_are_means_over_pictures() -> None:
    def pair(picture: str, second: float) -> ClosePair:
        return ClosePair(picture, EQUAL_BYTES, "a 1", "b 2", {"x": 1.0, "y": second})

    made = [pair("one", 1.0), pair("one", -1.0), pair("two", 2.0), pair("two", 0.5), pair("two", 3.0)]
    lines = agreement_table(made, EQUAL_BYTES).splitlines()
    assert lines[0] == "### Equal bytes: 5 pairs of 2 pictures"
    assert lines[-1] == "| x | 75.0 (50 to 100) |"
    assert agreement_table(made, NEIGHBORS) == "### Neighboring qualities\n\nNo pairs."


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(1)
    first, second, third = (torch.randn(count, generator=generator) for count in TAP_CHANNELS)
    path = tmp_path / "mine.safetensors"
    save_weights(path, FittedWeights("unit", (0.2, 0.5, 0.3), (first, second, third)), default_trunk())
    return path


def test_every_form_measures_what_its_distance_says(weights: Path, photo: torch.Tensor) -> None:
    chosen = close.forms([weights])
    assert [title for title, _ in chosen] == ["VGG, plain L2", "VGG, unit length", "VGG, mine"]
    judges, _ = close.judges(chosen)
    pixels = photo[:, 100:132, 200:240].permute(1, 2, 0).contiguous().numpy()
    result = (pixels // 8 * 8).astype(np.uint8)
    values = []
    for (_, perception), judge in zip(chosen, judges, strict=False):
        assert perception.cpu_scale == 1.0
        distance = load_distance(perception, torch.device("cpu"))
        values.append(judge.measure(pixels, result))
        assert values[-1] == pytest.approx(float(distance(as_tensor(pixels), as_tensor(result))))
        assert judge.axis(values[-1]) == -values[-1]
    assert len(set(values)) == 3
    assert len({judge.version for judge in judges[:3]}) == 3


def test_refitted_weights_are_another_version(weights: Path) -> None:
    (before,) = (judge.version for judge in close.judges(close.forms([weights]))[0] if "mine" in judge.title)
    fitted = FittedWeights("unit", (0.3, 0.5, 0.2), tuple(torch.zeros(count) for count in TAP_CHANNELS))
    save_weights(weights, fitted, default_trunk())
    (after,) = (judge.version for judge in close.judges(close.forms([weights]))[0] if "mine" in judge.title)
    assert before != after


def test_the_benchmarks_distance_is_known_by_the_weights_that_come_with_the_package(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version() -> str:
        return next(metric.version for metric in metrics(vgg=True)[0] if metric.name == "vgg")

    before = version()
    assert before == version()
    monkeypatch.setattr("rd.perception.default_weights", lambda: weights)
    assert before != version()


def test_weights_of_one_name_are_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    copy = tmp_path / "more" / weights.name
    copy.write_bytes(weights.read_bytes())
    with pytest.raises(UsageError, match="two files have the same name"):
        close.forms([weights, copy])
    with pytest.raises(UsageError, match=r"none\.safetensors: cannot read"):
        close.forms([tmp_path / "none.safetensors"])


def test_features_are_remembered_until_others_take_their_place() -> None:
    seen = []

    def trunk(rgb: torch.Tensor) -> Taps:
        seen.append(rgb)
        return Taps(rgb, rgb, rgb)

    remembering = close._Remembering(trunk)
    pictures = [torch.full((1, 3, 16, 16), float(number)) for number in range(REMEMBERED + 1)]
    for picture in pictures[:-1]:
        assert remembering(picture.clone()).conv2_2 is remembering(picture.clone()).conv2_2
    assert len(seen) == REMEMBERED
    remembering(pictures[0])  # used again: the second one is now the oldest
    remembering(pictures[-1])
    remembering(pictures[0])
    assert len(seen) == REMEMBERED + 1
    remembering(pictures[1])
    assert len(seen) == REMEMBERED + 2
