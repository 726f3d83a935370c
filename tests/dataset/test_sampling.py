import random
from pathlib import Path

import pytest

from imgcompress.dataset.sampling import Chosen, choose, estimate
from imgcompress.dataset.selection import Selection
from imgcompress.dataset.sources import Listing
from imgcompress.errors import Reason
from imgcompress.records import FileRecord, Status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    for index in range(40):
        path = root / f"{index // 10}" / f"{index:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(index))
    return root


def test_all_pictures_need_no_choice(folder: Path, tmp_path: Path) -> None:
    assert choose(Listing(folder, tmp_path / "out")) is None


def test_a_sample_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    chosen = choose(Listing(folder, tmp_path / "out", Selection(sample=10)))
    assert chosen is not None and len(chosen.keys) == 10 and chosen.files == chosen.keys
    assert (chosen.pictures, chosen.bytes) == (40, sum(range(40)))
    assert chosen == choose(Listing(folder, tmp_path / "out", Selection(sample=10)))
    assert len({key[0] for key in chosen.keys}) > 1
    every = choose(Listing(folder, tmp_path / "out", Selection(sample=99)))
    assert every is not None and len(every.keys) == 40


def test_a_limit_comes_before_the_sample(folder: Path, tmp_path: Path) -> None:
    limited = choose(Listing(folder, tmp_path / "out", Selection(limit=12, exclude=("0/0[0-4]*",))))
    assert limited is not None and sorted(limited.keys)[0] == "0/05.jpg" and len(limited.keys) == 12
    both = choose(Listing(folder, tmp_path / "out", Selection(limit=12, sample=5)))
    assert both is not None and both.pictures == 12 and len(both.keys) == 5
    assert max(both.keys) < "1/12"


def records(pairs: list[tuple[int, int]]) -> list[FileRecord]:
    return [
        FileRecord("a", "b", Status.RECOMPRESSED, Reason.SMALLER, bytes_in=a, bytes_out=b) for a, b in pairs
    ]


def test_the_interval_holds_what_it_promises() -> None:
    generator = random.Random(1)
    sizes = [generator.randint(1000, 100_000) for _ in range(5000)]
    everything = [(size, int(size * generator.uniform(0.3, 0.95))) for size in sizes]
    truth = 1 - sum(b for _, b in everything) / sum(a for a, _ in everything)
    hits = 0
    for _ in range(400):
        drawn = generator.sample(everything, 60)
        told = estimate(records(drawn), Chosen(frozenset(), frozenset(), 5000, sum(sizes)))
        assert told is not None
        hits += told.low <= truth <= told.high
    assert 0.91 <= hits / 400 <= 0.98


def test_a_sample_of_all_leaves_no_doubt() -> None:
    told = estimate(records([(100, 40), (300, 200)]), Chosen(frozenset(), frozenset(), 2, 400))
    assert told is not None and told.saved == told.low == told.high == pytest.approx(160 / 400)


def test_failures_save_nothing_and_foreign_files_say_nothing() -> None:
    failed = FileRecord("a", None, Status.FAILED, Reason.DECODE_ERROR, bytes_in=100)
    exists = FileRecord("a", "b", Status.SKIPPED, Reason.EXISTS)
    told = estimate([*records([(100, 0)]), failed, exists], Chosen(frozenset(), frozenset(), 50, 5000))
    assert told is not None and told.saved == pytest.approx(0.5)
    assert "of all 50 pictures" in str(told) and "50.0 %" in str(told)
    assert estimate([failed], Chosen(frozenset(), frozenset(), 50, 5000)) is None
