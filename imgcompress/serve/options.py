"""The service's own options, beside the settings of :class:`~imgcompress.config.Config`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

from imgcompress.errors import UsageError

TOKEN_VARIABLE = "IMGCOMPRESS_TOKEN"


@dataclass(frozen=True)
class ServeOptions:
    """How pictures are served.

    Attributes:
        host: address to listen at; others than this machine reach only what is told to listen for them.
        port: 0 takes any that is free.
        root: folder whose pictures ``GET /images/`` serves; null for none.
        cache: folder for what was made of them; null takes ``imgcompress`` in the user's cache folder.
        cache_megabytes: the cache holds at most this; what was not asked for longest goes first.
        token_file: file with the token that clients must send; null takes the environment variable
            IMGCOMPRESS_TOKEN, or none.
        model: file of a perceptual model (.safetensors, .onnx, .pt2) that may be replaced while the service
            runs; null takes the settings' own, which is not looked at again.
        canary: share of the batches that a new model gets until it is known to agree with the one in use, 0
            to 1; 0 brings it into use at once.
        max_upload_megabytes: larger bodies (and files in ``root``) are refused.
        upload_memory_megabytes: all bodies in memory together; who comes then is told to come again.
        max_megapixels: larger pictures are refused before they are decoded.
        queue: how many requests may be decoded, wait and be computed; who comes then is told to come again.
        connections: how many may be open at once.
        batch_wait_ms: how long a picture waits for others of its size (``batch_size`` at most).
        request_seconds: a request that takes longer, without its upload, is answered with an error.
        read_seconds: how long the next piece of a request may take to come.
        upload_seconds: how long a whole body may take.
        shutdown_seconds: how long requests in flight may take after the signal to end.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    root: str | None = None
    cache: str | None = None
    cache_megabytes: float = 1024.0
    token_file: str | None = None
    model: str | None = None
    canary: float = 0.0
    max_upload_megabytes: float = 32.0
    upload_memory_megabytes: float = 256.0
    max_megapixels: float = 50.0
    queue: int = 64
    connections: int = 512
    batch_wait_ms: float = 5.0
    request_seconds: float = 60.0
    read_seconds: float = 10.0
    upload_seconds: float = 60.0
    shutdown_seconds: float = 60.0

    def __post_init__(self) -> None:
        _require(0 <= self.port <= 65535, "port", self.port, "0 to 65535")
        for key in ("queue", "connections"):
            _require(getattr(self, key) >= 1, key, getattr(self, key), "an integer >= 1")
        _require(0 <= self.canary <= 1, "canary", self.canary, "a share from 0 to 1")
        _require(0 <= self.batch_wait_ms < inf, "batch_wait_ms", self.batch_wait_ms, "a number >= 0")
        for key in (
            "cache_megabytes", "max_upload_megabytes", "upload_memory_megabytes", "max_megapixels",
            "request_seconds", "read_seconds", "upload_seconds", "shutdown_seconds",
        ):  # fmt: skip
            _require(0 < getattr(self, key) < inf, key, getattr(self, key), "a positive number")
        least = self.max_upload_megabytes
        fits = self.upload_memory_megabytes >= least
        _require(fits, "upload_memory_megabytes", self.upload_memory_megabytes, f"at least {least:g}")

    @property
    def max_upload(self) -> int:
        """Bytes of a body."""
        return int(1e6 * self.max_upload_megabytes)


def _require(ok: bool, key: str, value: object, expected: str) -> None:
    if not ok:
        raise UsageError(f"{key}: expected {expected}, got {value!r}")


def read_token(options: ServeOptions, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token that clients must send; None for none.

    Raises:
        UsageError: the file cannot be read, or there is no usable token where one should be.
    """
    if options.token_file is None:
        where, text = TOKEN_VARIABLE, environment.get(TOKEN_VARIABLE)
        if text is None:
            return None
    else:
        where = f"token_file: {options.token_file}"
        try:
            text = Path(options.token_file).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{where}: {error}") from error
    token = text.strip()
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise UsageError(f"{where}: expected one word of printable ASCII characters")
    return token


def cache_folder(options: ServeOptions, environment: Mapping[str, str] = os.environ) -> Path:
    """Where results are kept.

    Raises:
        UsageError: it lies within the folder that is served.
    """
    if options.cache is not None:
        folder = Path(options.cache)
    else:
        folder = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imgcompress"
    if options.root is not None and folder.resolve().is_relative_to(Path(options.root).resolve()):
        raise UsageError(f"cache: {folder} lies within --root, and would be served")
    return folder
