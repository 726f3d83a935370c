"""Where the bytes are of what a past run claims: of each output, and of the source it was made from."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imgcompress.dataset.audited import Audited, Condition
from imgcompress.dataset.blobs import Blob, FileBlob, MemoryBlob
from imgcompress.dataset.claims import Claim, Damage, Item, ShardClaim
from imgcompress.dataset.ledger import checksum_of
from imgcompress.dataset.names import SUFFIXES
from imgcompress.dataset.shards import Member, open_shard, with_suffix
from imgcompress.errors import PictureError


@dataclass(frozen=True)
class Task:
    """An output that is to be looked at.

    Attributes:
        claim: what is said of it.
        output: its bytes.
        source: those of its source; None where they cannot be had.
    """

    claim: Claim
    output: Blob
    source: Blob | None


def tasks(items: Iterable[Item]) -> Iterator[Task | Audited | None]:
    """Finds the files and looks into the shards; nothing is held of them.

    Args:
        items: of a past run.

    Returns:
        Tasks, or what is known of an output already; None for an item without a claim.

    Raises:
        UsageError: a shard cannot be opened for want of a library.
    """
    for item in items:
        if isinstance(item, Damage):
            yield Audited(f"line {item.line}", Condition.DAMAGED_LINE, item.problem)
        elif isinstance(item, ShardClaim):
            yield from _of_shard(item)
        else:
            yield None if item is None else _of_file(item)


def _of_file(claim: Claim) -> Task:
    output, source = Path(claim.name), Path(claim.record.source)
    in_place = source.absolute() == output.absolute()
    return Task(claim, FileBlob(output), None if in_place else FileBlob(source))


def _of_shard(shard: ShardClaim) -> Iterator[Task | Audited]:
    left = dict(shard.members)
    condition, message = Condition.MISSING, f"{shard.output.name} is missing"
    try:
        is_there = shard.output.is_file()
        if shard.whole is not None:
            yield _whole(shard, shard.whole, is_there=is_there)
        if is_there:
            yield from _members(shard, left)
            condition, message = Condition.ALTERED, f"nothing in {shard.output.name} has its bytes"
    except (OSError, PictureError) as error:
        condition, message = Condition.UNREADABLE, str(error)
    for claim in left.values():
        yield Audited(claim.name, condition, message)


def _whole(shard: ShardClaim, claim: Claim, *, is_there: bool) -> Audited:
    """The file itself. That it is as written says the same of every picture in it, but is no look at them."""
    if not is_there:
        return Audited(claim.name, Condition.MISSING, "there is no file")
    try:
        is_same = checksum_of(shard.output) == claim.record.sha256_out
    except OSError as error:
        return Audited(claim.name, Condition.UNREADABLE, error.strerror or str(error))
    if not is_same:
        return Audited(claim.name, Condition.ALTERED, "its SHA-256 is not that of what was written")
    return Audited(claim.name, Condition.OK)


def _members(shard: ShardClaim, left: dict[str, Claim]) -> Iterator[Task | Audited]:
    """Takes from what is left to be found what there is in the shard."""
    finder = _Finder(left)
    is_apart = shard.source.absolute() != shard.output.absolute()
    originals = _Originals(shard.source) if is_apart else None
    for member in open_shard(shard.output).members():
        if member.blob is None or member.problem is not None:
            continue
        data = member.blob.read()
        key = finder.key_of(member, data)
        if key is not None:
            source = None if originals is None else originals.find(key)
            yield Task(left.pop(key), MemoryBlob(data), source)


class _Finder:
    """Tells which claim is of a picture in a shard.

    In a Parquet file that is a matter of its place. In a tar, whose names may be new ones, it is told by the
    bytes; by the name where no checksum is known.

    Args:
        left: claims that are not found yet; those that are, are taken out by the caller.
    """

    def __init__(self, left: dict[str, Claim]) -> None:
        self._left = left
        self._by_bytes: defaultdict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, str] = {}
        for key, claim in left.items():
            record = claim.record
            if record.sha256_out is not None:
                self._by_bytes[record.sha256_out].append(key)
            elif record.format in SUFFIXES:
                self._by_name[with_suffix(key, SUFFIXES[record.format][0])] = key

    def key_of(self, member: Member, data: bytes) -> str | None:
        """The key of the claim; None where none fits."""
        if isinstance(member.blob, MemoryBlob):
            return member.key if member.key in self._left else None
        alike = [key for key in self._by_bytes[hashlib.sha256(data).hexdigest()] if key in self._left]
        if alike:
            return member.key if member.key in alike else alike[0]
        named = self._by_name.get(member.key)
        return named if named in self._left else None


class _Originals:
    """The pictures of a source shard, looked for in about the order in which they lie there.

    Of those that are passed by, the places are remembered, and no bytes.

    Args:
        path: the shard; if it cannot be read, nothing is found from there on.
    """

    def __init__(self, path: Path) -> None:
        self._members = _readable_members(path)
        self._passed: dict[str, Blob] = {}

    def find(self, key: str) -> Blob | None:
        """A picture's bytes."""
        if key in self._passed:
            return self._passed.pop(key)
        for member in self._members:
            if member.key == key:
                return member.blob
            if member.blob is not None and not isinstance(member.blob, MemoryBlob):
                self._passed[member.key] = member.blob
        return None


def _readable_members(path: Path) -> Iterator[Member]:
    try:
        if path.is_file():
            yield from open_shard(path).members()
    except (OSError, PictureError):
        return
