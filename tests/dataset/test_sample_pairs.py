import io
from collections.abc import Callable
from math import nan

import numpy as np
import pytest
from PIL import Image

from imgcompress.dataset import sample_pairs
from imgcompress.dataset.pair_drawing import draw_pair
from imgcompress.dataset.sample_pairs import Group, SamplePairs, goodness, saving
from imgcompress.errors import Reason
from imgcompress.records import FileRecord, Status


def picture(level: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16), level, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def record(name: str, saved: float = 0.5, **scores: float) -> FileRecord:
    return FileRecord(
        name,
        name,
        Status.RECOMPRESSED,
        Reason.SMALLER,
        "jpeg",
        16,
        16,
        1000,
        round(1000 * (1 - saved)),
        scores,
    )


def never() -> bytes:
    raise AssertionError("read without need")


def chosen(samples: SamplePairs) -> dict[str, set[str]]:
    return {pair.record.source: {str(group) for group in pair.places} for pair in samples.draw()}


def test_the_worst_the_best_and_the_largest_savings() -> None:
    samples = SamplePairs(each=2)
    scores = [50.0, 10.0, 90.0, 30.0, 70.0, 20.0, 80.0]
    for place, score in enumerate(scores):
        saved = {3: 0.9, 0: 0.8}.get(place, 0.1 * place / 7)
        samples.offer(record(f"{score:g}", saved, ssimulacra2=score, psnr=100 - score), picture, picture)
    assert chosen(samples) == {
        "10": {"worst"}, "20": {"worst"}, "90": {"best"}, "80": {"best"}, "30": {"saving"}, "50": {"saving"},
    }  # fmt: skip
    assert [pair.record.source for pair in samples.draw()] == ["10", "20", "90", "80", "30", "50"]
    assert [[*pair.places.values()] for pair in samples.draw()] == [[0], [1], [0], [1], [0], [1]]
    assert {pair.metric for pair in samples.draw()} == {"ssimulacra2"}


def test_of_the_vgg_distance_less_is_better() -> None:
    samples = SamplePairs(each=1)
    for distance in (0.2, 0.05, 0.9):
        samples.offer(record(str(distance), vgg=distance, ssim=0.9), picture, picture)
    found = chosen(samples)
    assert "worst" in found["0.9"] and "best" in found["0.05"] and "best" not in found["0.9"]


def test_the_score_that_is_asked_for() -> None:
    samples = SamplePairs(each=1, metric="psnr")
    samples.offer(record("a", ssim=0.9, psnr=30.0), picture, picture)
    samples.offer(record("b", ssim=0.8, psnr=40.0), picture, picture)
    assert "best" in chosen(samples)["b"]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RECOMPRESSED])
def test_only_new_pixels_are_looked_at(status: Status) -> None:
    samples = SamplePairs()
    samples.offer(FileRecord("a", "a", status, Reason.DONE, bytes_in=9, bytes_out=3), never, never)
    assert samples.draw() == []


def test_files_are_read_only_for_what_is_taken() -> None:
    samples = SamplePairs(each=1)
    samples.offer(record("a", 0.9, ssim=0.5), picture, picture)
    samples.offer(record("b", 0.8, ssim=0.7), picture, picture)
    samples.offer(record("c", 0.5, ssim=0.6), never, never)
    samples.offer(record("d", 0.9, ssim=0.7), never, never)  # as good is not better
    assert chosen(samples) == {"a": {"worst", "saving"}, "b": {"best"}}


def test_scores_that_are_not_numbers() -> None:
    samples = SamplePairs(each=2)
    samples.offer(record("a", 0.2, ssim=nan), picture, picture)
    samples.offer(record("b", 0.3), picture, picture)
    assert chosen(samples) == {"a": {"saving"}, "b": {"saving"}}


def broken() -> bytes:
    raise OSError("gone")


@pytest.mark.parametrize("source", [broken, lambda: b"words", lambda: picture()[:-30]])
@pytest.mark.parametrize("at_once", [True, False])
def test_what_cannot_be_read_or_drawn_is_left_out(
    source: Callable[[], bytes], at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if at_once:
        monkeypatch.setattr(sample_pairs, "MOST_BYTES", 0)
    samples = SamplePairs(each=4)
    samples.offer(record("bad", 0.9, ssim=0.1), source, picture)
    samples.offer(record("good", 0.5, ssim=0.5), picture, picture)
    assert set(chosen(samples)) == {"good"}


def test_large_files_are_drawn_at_once_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def draw(source: bytes, output: bytes):
        drawn.append(len(source))
        return draw_pair(source, output)

    monkeypatch.setattr(sample_pairs, "draw_pair", draw)
    monkeypatch.setattr(sample_pairs, "MOST_BYTES", 3 * len(picture()))
    samples = SamplePairs()
    samples.offer(record("small", ssim=0.5), picture, picture)
    assert drawn == []
    samples.offer(record("large", ssim=0.6), picture, lambda: picture() + bytes(4 * len(picture())))
    assert len(drawn) == 1
    assert set(chosen(samples)) == {"small", "large"} and len(drawn) == 2


def test_goodness_and_saving() -> None:
    assert goodness(record("a", ssim=0.9), "ssim") > goodness(record("a", ssim=0.8), "ssim")
    assert goodness(record("a", vgg=0.9), "vgg") < goodness(record("a", vgg=0.8), "vgg")
    assert np.isnan(goodness(record("a"), "psnr")) and np.isnan(goodness(record("a"), None))
    assert saving(record("a", 0.25)) == 0.25
    assert np.isnan(saving(FileRecord("a", None, Status.FAILED, Reason.READ_ERROR)))
    assert np.isnan(saving(FileRecord("a", "a", Status.KEPT, Reason.ALPHA, bytes_in=0, bytes_out=0)))
    assert list(Group) == ["worst", "best", "saving"]
