"""One picture's way to its target, told what came out."""

import math

import pytest

from imgcompress.config import Config
from imgcompress.errors import Reason
from imgcompress.track import Goal, Track


@pytest.mark.parametrize("target", ["ssimulacra2=70", "vgg=0.2"])
def test_what_is_not_a_number_hits_no_target(target: str) -> None:
    track = Track(Goal.of(Config(target=target, max_encodes=3)), 100)
    name = target.partition("=")[0]
    while (nominal := track.proposal()) is not None:
        track.add(nominal, b"", {name: math.nan})
    fault = track.result().fault
    assert fault is not None and fault.reason is Reason.TARGET_UNREACHABLE


def test_a_number_is_nearer_than_none() -> None:
    track = Track(Goal.of(Config(target="ssimulacra2=70", max_encodes=2)), 100)
    for data, score in ((b"none", math.nan), (b"low", 12.0)):
        nominal = track.proposal()
        assert nominal is not None
        track.add(nominal, data, {"ssimulacra2": score})
    assert track.result().data == b"low"
