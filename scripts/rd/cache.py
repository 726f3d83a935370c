"""Encodes and scores on disk, by what they were made from, so that a long run resumes."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def digest(*parts: bytes) -> str:
    """Hash of byte strings; where one ends counts."""
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.hexdigest()[:40]


def key_of(settings: Mapping[str, Any]) -> str:
    """Hash of JSON-like settings; the order of the names does not count."""
    return digest(json.dumps(settings, sort_keys=True).encode())


def source_digest(folder: Path) -> str:
    """Hash of every Python file below a folder, names included."""
    files = sorted(folder.rglob("*.py"))
    return digest(
        *[part for file in files for part in (str(file.relative_to(folder)).encode(), file.read_bytes())]
    )


@dataclass(frozen=True)
class Encoded:
    """A file and how long making it took.

    Attributes:
        data: the JPEG; empty where a target cannot be reached.
        seconds: making it, lossless optimization of the scans included.
        encodes: how many encodings a search took.
    """

    data: bytes
    seconds: float
    encodes: int = 1


@dataclass(frozen=True)
class Cache:
    """A folder of results; several processes may use it at once."""

    folder: Path

    def encoded(self, key: str, make: Callable[[], Encoded]) -> Encoded:
        """The file under a key, made where it is missing."""
        data_path, note_path = (self._path("encodes", key, suffix) for suffix in (".jpg", ".json"))
        if note_path.exists():
            return Encoded(data_path.read_bytes(), **json.loads(note_path.read_text()))
        result = make()
        _write(data_path, result.data)
        _write(note_path, json.dumps({"seconds": result.seconds, "encodes": result.encodes}).encode())
        return result

    def score(self, key: str, make: Callable[[], float]) -> float:
        """The score under a key, measured where it is missing."""
        path = self._path("scores", key, ".json")
        if path.exists():
            return float(json.loads(path.read_text()))
        value = make()
        _write(path, json.dumps(value).encode())
        return value

    def _path(self, kind: str, key: str, suffix: str) -> Path:
        return self.folder / kind / key[:2] / f"{key}{suffix}"


def _write(path: Path, data: bytes) -> None:
    """A reader sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_bytes(data)
    temporary.replace(path)
