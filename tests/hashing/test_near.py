import pytest
import torch

from imgcompress.hashing import near
from imgcompress.hashing.near import NearPair, near_duplicates
from imgcompress.hashing.perceptual_hash import LUMA_MATCH, PerceptualHash, color_distance, luma_distance


def _some(count: int, seed: int = 0, quality: int = 100) -> list[PerceptualHash]:
    """Hashes of a few random pictures, each with some bits flipped."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randint(0, 256, (5, 96), generator=generator)
    found = []
    for number in range(count):
        values = centers[number % 5].clone()
        values[torch.randint(0, 96, (6,), generator=generator)] ^= 1 << number % 8
        found.append(PerceptualHash(bytes(values[:32].tolist()), bytes(values[32:].tolist()), quality))
    return found


def _pair(first: int, second: int, one: PerceptualHash, other: PerceptualHash) -> NearPair:
    return NearPair(first, second, luma_distance(one, other), color_distance(one, other))


@pytest.mark.parametrize("most", [0, 3, LUMA_MATCH, 256])
def test_all_near_pairs_are_found(most: int, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_TOGETHER", 7)
    monkeypatch.setattr(near, "_AS_NUMBERS", 5)
    hashes = list(dict.fromkeys(_some(40)))
    pairs = [
        _pair(i, j, hashes[i], hashes[j])
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if luma_distance(hashes[i], hashes[j]) <= most
    ]
    found = list(near_duplicates(hashes, max_distance=most, device=device))
    assert sorted(found, key=lambda pair: (pair.first, pair.second)) == pairs
    assert len(found) == len(set(found))


def test_known_ones_are_searched(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_TOGETHER", 7)
    hashes, known = _some(9), list(dict.fromkeys(_some(30, seed=0)[::-1]))
    found = near_duplicates(hashes, known, max_distance=LUMA_MATCH, device=device)
    assert {(pair.first, pair.second) for pair in found} == {
        (i, j)
        for i, one in enumerate(hashes)
        for j, other in enumerate(known)
        if luma_distance(one, other) <= LUMA_MATCH
    }
    assert list(near_duplicates(hashes, [], max_distance=LUMA_MATCH, device=device)) == []


def test_equal_ones_are_paired_with_the_first_alone(device: torch.device) -> None:
    one, other = _some(2)
    found = list(near_duplicates([one, other, one, one], max_distance=31, device=device))
    assert found == [NearPair(0, 2, 0, 0), NearPair(0, 3, 0, 0)]


def test_what_tells_little_is_near_its_equals_alone(device: torch.device) -> None:
    weak = _some(10, quality=3)
    assert luma_distance(weak[0], weak[5]) <= 31
    assert list(near_duplicates(weak, max_distance=256, device=device)) == []
    assert list(near_duplicates([*weak, weak[4]], max_distance=0, device=device)) == [NearPair(4, 10, 0, 0)]
    found = list(near_duplicates([weak[4], *_some(3)], weak, max_distance=256, device=device))
    assert found == [NearPair(0, 4, 0, 0)]


def test_blank_ones_are_near_nothing(device: torch.device) -> None:
    blank = [PerceptualHash(bytes(32), bytes(64), 0)] * 2
    assert list(near_duplicates(blank, max_distance=31, device=device)) == []
    assert list(near_duplicates(blank, blank, max_distance=31, device=device)) == []
