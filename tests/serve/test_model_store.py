import gc
import logging
import os
import pickle
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
import torch

from imgcompress.config import PerceptionConfig
from imgcompress.errors import UsageError
from imgcompress.perception.distance import load_distance
from imgcompress.serve.model_store import ModelStore
from imgcompress.serve.probe import find_fault, probe
from imgcompress.serve.succession import Counts

CPU = torch.device("cpu")
MakeModel = Callable[..., bytes]
PATIENCE_SECONDS = 60.0
BLACK, WHITE = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)


def rename(path: Path, data: bytes) -> None:
    new = path.with_name("new.tmp")
    new.write_bytes(data)
    new.replace(path)


@contextmanager
def follow(path: Path, canary: float = 0.0) -> Iterator[ModelStore]:
    store = ModelStore(
        path, PerceptionConfig(), CPU, canary=canary, canary_pairs=3, quiet_seconds=0.02, poll_seconds=0.3
    )
    with store:
        yield store


@pytest.fixture
def path(tmp_path: Path, tiny_onnx: MakeModel) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_onnx(20.0))
    return path


def gain(store: ModelStore) -> float:
    """Of the model in use: that of white against black."""
    return float(store.lease().model(BLACK, WHITE))


@pytest.mark.parametrize("perception", [PerceptionConfig(), PerceptionConfig(weights=None, cpu_scale=1.0)])
def test_our_own_models_pass_the_examination(perception: PerceptionConfig):
    assert find_fault(load_distance(perception, CPU), None, 2.0, CPU) is None


class Odd:
    digest = "odd"

    def __init__(self, distances: list[float]) -> None:
        self.distances = distances

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.distances)


GOOD = [0.0, 1.0, 2.0, 3.0, 0.1, 0.2, 0.3]


def test_the_probe_has_a_pair_for_each_of_these():
    original, damaged = probe()
    assert len(original) == len(damaged) == len(GOOD)
    errors = (original - damaged).square().mean((1, 2, 3)).tolist()
    assert errors[0] == 0
    assert errors[1] < errors[2] < errors[3] and errors[4] < errors[5] < errors[6]


@pytest.mark.parametrize(
    ("distances", "fault"),
    [
        (GOOD, None),
        ([distance * 1.9 for distance in GOOD], None),
        ([distance * 2.1 for distance in GOOD], r"2\.1 to 2\.1 times"),
        ([distance / 2.1 for distance in GOOD], r"0\.476 to 0\.476 times"),
        ([0.1, *GOOD[1:]], "equal pictures"),
        ([0.0, 2.0, 1.0, *GOOD[3:]], "mosaic"),
        ([*GOOD[:4], 0.1, 0.1, 0.3], "noise"),
        ([*GOOD[:4], -0.1, 0.1, 0.3], "noise"),
        ([*GOOD[:6], float("nan")], "finite"),
        (GOOD[:6], "finite"),
    ],
)
def test_faults_that_are_found(distances: list[float], fault: str | None):
    found = find_fault(Odd(distances), Odd(GOOD), 2.0, CPU)
    assert (found is None) if fault is None else re.search(fault, found or "")


def test_fifty_replacements_under_load(path: Path, tiny_onnx: MakeModel, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.CRITICAL, "imgcompress")  # records would keep the errors
    broken = [
        b"",
        tiny_onnx(20.5)[:300],
        pickle.dumps({"model": 1}),
        tiny_onnx(20.5, inputs=("a", "c")),
        tiny_onnx(float("nan")),
        tiny_onnx(-20.0),
        tiny_onnx(2000.0),
        tiny_onnx(20.5, format=9),
        b"words" * 999,
        tiny_onnx(20.5, scale=3),
    ]
    stop, failures, seen = Event(), [], set()

    def ask() -> None:
        while not stop.is_set():
            try:
                lease = store.lease()
                values = {float(lease.model(BLACK, WHITE)) for _ in range(3)}
                assert len(values) == 1, values  # one lease is one model
                seen.add((lease.version, *values))
            except BaseException as error:
                failures.append(error)

    with follow(path) as store:
        old: list[weakref.ref[object]] = []
        threads = [Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(50):
                old.append(weakref.ref(store.lease().model))
                data = broken[number // 5] if number % 5 == 2 else tiny_onnx(20.0 + number / 100)
                if number % 2:
                    rename(path, data)
                else:
                    path.write_bytes(data)
                assert store.settled(PATIENCE_SECONDS)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failures == []
        # Number 0 is the content that was there before.
        counts = store.counts
        assert counts == Counts(swaps=39, refusals=counts.refusals, rollbacks=0, version=40)
        assert counts.refusals >= 10  # a file written in place may also be seen half-written
        assert gain(store) == pytest.approx(20.49)
        assert len({version for version, _ in seen}) == len(seen) > 1
        gc.collect()
        assert {reference() for reference in old} <= {None, store.lease().model}


def test_a_link_that_changes(path: Path, tiny_onnx: MakeModel):
    # As a cluster mounts its settings: a link to a link to a folder of one version.
    for version, value in (("v1", 20.0), ("v2", 21.0)):
        (path.parent / version).mkdir()
        (path.parent / version / "model.onnx").write_bytes(tiny_onnx(value))
    current, link = path.parent / "current", path.parent / "link.onnx"
    current.symlink_to("v1")
    link.symlink_to("current/model.onnx")
    with follow(link) as store:
        assert gain(store) == 20.0
        (path.parent / "next").symlink_to("v2")
        (path.parent / "next").replace(current)
        assert store.settled(PATIENCE_SECONDS)
        assert gain(store) == 21.0
        # Nothing happens in the folder that is watched: it is found by looking.
        rename(path.parent / "v2" / "model.onnx", tiny_onnx(22.0))
        assert store.settled(PATIENCE_SECONDS)
        assert gain(store) == 22.0


def test_a_file_that_goes_and_comes_back(path: Path, tiny_onnx: MakeModel):
    with follow(path) as store:
        path.unlink()
        assert store.settled(PATIENCE_SECONDS)
        assert gain(store) == 20.0
        path.write_bytes(tiny_onnx(21.0))
        assert store.settled(PATIENCE_SECONDS)
        assert gain(store) == 21.0
        assert store.counts == Counts(swaps=1, version=2)


def test_a_file_that_is_only_touched(path: Path):
    with follow(path) as store:
        os.utime(path)
        assert store.settled(PATIENCE_SECONDS)
        assert store.counts == Counts()


def test_a_refusal_is_logged(path: Path, caplog: pytest.LogCaptureFixture):
    with follow(path) as store:
        path.write_bytes(b"words")
        assert store.settled(PATIENCE_SECONDS)
        assert store.counts == Counts(refusals=1)
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "model.onnx" in record.getMessage() and "refused" in record.getMessage()


def test_a_new_model_on_trial(path: Path, tiny_onnx: MakeModel):
    with follow(path, canary=0.5) as store:
        path.write_bytes(tiny_onnx(21.0))
        assert store.settled(PATIENCE_SECONDS)
        assert {gain(store) for _ in range(4)} == {20.0, 21.0}
        assert store.counts == Counts()
        gain(store), gain(store)
        assert store.counts == Counts(swaps=1, version=2)
        assert {gain(store) for _ in range(4)} == {21.0}


def test_without_a_file_it_is_the_distance_of_the_settings():
    perception = PerceptionConfig()
    with ModelStore(None, perception, CPU) as store:
        assert store.settled(0.0)
        assert store.lease().digest == load_distance(perception, CPU).digest


@pytest.mark.parametrize("data", [b"", b"words"])
def test_a_first_model_that_cannot_be_used(data: bytes, path: Path):
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"model\.onnx"):
        ModelStore(path, PerceptionConfig(), CPU)


def test_a_first_model_that_fails_the_examination(path: Path, tiny_onnx: MakeModel):
    path.write_bytes(tiny_onnx(-1.0))
    with pytest.raises(UsageError, match=r"model\.onnx.*mosaic"):
        ModelStore(path, PerceptionConfig(), CPU)


@pytest.mark.parametrize(
    ("canary", "band", "message"), [(1.1, 2.0, "canary"), (-0.1, 2.0, "canary"), (0.1, 1.0, "band")]
)
def test_options_out_of_range(canary: float, band: float, message: str, path: Path):
    with pytest.raises(UsageError, match=message):
        ModelStore(path, PerceptionConfig(), CPU, canary=canary, band=band)
