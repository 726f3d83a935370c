"""The store of what programs' JPEG files look like, and which of them a file looks like."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from imgcompress.errors import UsageError
from imgcompress.forensics.signature_facts import NAMES, Fact, Facts, facts_of
from imgcompress.forensics.structure import Structure
from imgcompress.resources import resource_path
from imgcompress.shapes import Int

_FOLDER = "configs/signatures"


@dataclass(frozen=True)
class Signature:
    """What files of one program and one way to call it look like.

    Attributes:
        name: program and variant.
        version: what the program said that it is.
        command: what made the files.
        facts: the values that were seen.
    """

    name: str
    version: str
    command: str
    facts: Facts


@dataclass(frozen=True)
class Family:
    """Programs whose files have the same encoder behind them.

    Attributes:
        name: one word.
        title: for people; it names what cannot be told apart.
        signatures: at least one.
        shapes: luma tables by the name of their shape, natural order.
    """

    name: str
    title: str
    signatures: tuple[Signature, ...]
    shapes: Mapping[str, Int[Tensor, "shapes 64"]]


@dataclass(frozen=True)
class Match:
    """How much a file looks like one family's.

    Attributes:
        family: its name.
        title: its title.
        confidence: 0 to 1; those of all families and of an unknown one make 1.
        alike: the names of its signatures that fit best, equally well.
        fits: the facts that agree, for people.
        differs: those that do not.
    """

    family: str
    title: str
    confidence: float
    alike: tuple[str, ...]
    fits: tuple[str, ...]
    differs: tuple[str, ...]


@dataclass(frozen=True)
class Weights:
    """What a fact tells: logarithms of how much likelier it is in a family's file than in an unknown one."""

    agrees: float
    differs: float


@dataclass(frozen=True)
class Signatures:
    """All families that are known, and how to rank them."""

    families: tuple[Family, ...]

    @cached_property
    def shapes(self) -> dict[str, Int[Tensor, "shapes 64"]]:
        """The shapes of all families."""
        return {name: tables for family in self.families for name, tables in family.shapes.items()}

    @cached_property
    def weights(self) -> dict[Fact, Weights]:
        """What the store itself says of each fact.

        A fact of a signature that is left out has, in so many cases, a value that no other signature of
        its family has; and it has in so many cases the value of a signature of another family. One case
        of each kind is added, so that nothing is held to be impossible.
        """
        return {fact: self._weights(fact) for fact in get_args(Fact)}

    def _weights(self, fact: Fact) -> Weights:
        new, known, shared, pairs = 1, 2, 1, 2
        for family in self.families:
            for signature in family.signatures:
                mine = signature.facts.get(fact, frozenset())
                rest = [
                    other.facts.get(fact, frozenset()) for other in family.signatures if other != signature
                ]
                if rest:
                    known += 1
                    new += mine.isdisjoint(frozenset().union(*rest))
                strangers = [
                    other.facts.get(fact, frozenset())
                    for stranger in self.families
                    if stranger is not family
                    for other in stranger.signatures
                ]
                pairs += len(strangers)
                shared += sum(not mine.isdisjoint(other) for other in strangers)
        differing, chance = new / known, shared / pairs
        return Weights(math.log((1 - differing) / chance), math.log(differing / (1 - chance)))

    def rank(self, structure: Structure) -> tuple[Match, ...]:
        """The families by how much a file looks like theirs, the likeliest first.

        The facts' likelihoods are multiplied as if they did not depend on each other, which makes the first
        one surer than it should be; every family and an unknown one count as equally likely beforehand.

        Args:
            structure: of a file or of a head.
        """
        facts = facts_of(structure, self.shapes)
        scores = [self._score(family, facts) for family in self.families]
        whole = 1 + sum(math.exp(score) for score, _ in scores)
        matches = [
            self._match(family, best, facts, math.exp(score) / whole)
            for family, (score, best) in zip(self.families, scores, strict=True)
        ]
        return tuple(sorted(matches, key=lambda match: -match.confidence))

    def _score(self, family: Family, facts: Facts) -> tuple[float, list[Signature]]:
        scores = [
            sum(
                weights.differs if facts[fact].isdisjoint(signature.facts.get(fact, ())) else weights.agrees
                for fact, weights in self.weights.items()
                if fact in facts
            )
            for signature in family.signatures
        ]
        best = max(scores)
        return best, [
            signature
            for signature, score in zip(family.signatures, scores, strict=True)
            if best - score < 1e-9
        ]

    def _match(self, family: Family, best: list[Signature], facts: Facts, confidence: float) -> Match:
        agree = [fact for fact in facts if not facts[fact].isdisjoint(best[0].facts.get(fact, ()))]
        return Match(
            family.name,
            family.title,
            confidence,
            tuple(signature.name for signature in best),
            tuple(_told(fact, facts) for fact in agree),
            tuple(_told(fact, facts) for fact in facts if fact not in agree),
        )


def _told(fact: Fact, facts: Facts) -> str:
    value = " or ".join(sorted(facts[fact])) or "none"
    return f"{NAMES[fact]} ({value if len(value) < 80 else value[:77] + '...'})"


def load_signatures(extra: Iterable[Path] = ()) -> Signatures:
    """The store that comes with the package, and files of the user's own.

    Args:
        extra: YAML files like those in configs/signatures; a family of the same name gets their signatures
            and shapes besides its own.

    Raises:
        UsageError: a file cannot be read, or a key is missing, unknown or of a wrong kind; the message
            names both.
    """
    families: dict[str, Family] = {}
    for path in (*sorted(resource_path(_FOLDER).glob("*.yaml")), *extra):
        family = read_family(path)
        known = families.get(family.name)
        if known is not None:
            family = Family(
                family.name,
                known.title,
                (*known.signatures, *family.signatures),
                {**known.shapes, **family.shapes},
            )
        families[family.name] = family
    return Signatures(tuple(families.values()))


def read_family(path: Path) -> Family:
    """One file of the store.

    Raises:
        UsageError: as ``load_signatures``.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # such as of a date
        raise UsageError(f"{path}: cannot be read: {error}") from error
    return _Reader(path).family(content)


class _Reader:
    """Checks one file, and names it and the key where something is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def family(self, content: object) -> Family:
        top = self.mapping(content, "", {"family", "title", "signatures"}, {"shapes"})
        signatures = self.list(top["signatures"], "signatures")
        shapes = self.mapping(top.get("shapes", {}), "shapes", set(), None)
        return Family(
            self.text(top["family"], "family"),
            self.text(top["title"], "title"),
            tuple(self.signature(each, f"signatures.{i}") for i, each in enumerate(signatures)),
            {name: self.shape(rows, f"shapes.{name}") for name, rows in shapes.items()},
        )

    def signature(self, content: object, key: str) -> Signature:
        found = self.mapping(content, key, {"name", "version", "command", "facts"}, set())
        facts = self.mapping(found["facts"], f"{key}.facts", set(), set(get_args(Fact)))
        return Signature(
            self.text(found["name"], f"{key}.name"),
            self.text(found["version"], f"{key}.version"),
            self.text(found["command"], f"{key}.command"),
            {
                fact: frozenset(
                    self.text(value, f"{key}.facts.{fact}.{i}")
                    for i, value in enumerate(self.list(values, f"{key}.facts.{fact}"))
                )
                for fact, values in facts.items()
            },
        )

    def shape(self, content: object, key: str) -> Int[Tensor, "shapes 64"]:
        rows = []
        for i, row in enumerate(self.list(content, key)):
            steps = self.text(row, f"{key}.{i}").split()
            if len(steps) != 64 or not all(step.isdecimal() and 1 <= int(step) <= 65535 for step in steps):
                raise self.wrong(f"{key}.{i}", "64 steps from 1 to 65535", row)
            rows.append([int(step) for step in steps])
        return torch.tensor(rows, dtype=torch.int64)

    def mapping(
        self, content: object, key: str, required: set[str], optional: set[str] | None
    ) -> dict[Any, Any]:
        if not isinstance(content, dict) or not all(isinstance(each, str) for each in content):
            raise self.wrong(key, "keys and values", content)
        for missing in sorted(required - set(content)):
            raise UsageError(f"{self.path}: {self.dotted(key, missing)} is missing")
        unknown = set() if optional is None else set(content) - required - optional
        for each in sorted(unknown):
            raise UsageError(f"{self.path}: {self.dotted(key, each)} is no key of a signature file")
        return content

    def list(self, content: object, key: str) -> list[Any]:
        if not isinstance(content, list) or not content:
            raise self.wrong(key, "a list of at least one", content)
        return content

    def text(self, content: object, key: str) -> str:
        if not isinstance(content, str):
            raise self.wrong(key, "a text", content)
        return content

    def wrong(self, key: str, expected: str, content: object) -> UsageError:
        return UsageError(f"{self.path}: {key or 'the file'}: expected {expected}, got {str(content)[:80]!r}")

    @staticmethod
    def dotted(key: str, name: str) -> str:
        return f"{key}.{name}" if key else name
