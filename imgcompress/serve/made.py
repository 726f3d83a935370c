"""A result as it is sent and kept."""

import hashlib
import json
from dataclasses import dataclass
from math import isfinite

from imgcompress.compressor import Outcome
from imgcompress.formats.select import MEDIA_TYPES
from imgcompress.records import Status


@dataclass(frozen=True)
class Made:
    """A picture for a client.

    Attributes:
        data: the file.
        headers: its type, what became of the source and how near it is.
    """

    data: bytes
    headers: dict[str, str]

    @property
    def etag(self) -> str:
        """A strong validator: equal for equal bytes only."""
        return f'"{hashlib.sha256(self.data).hexdigest()[:32]}"'

    def to_bytes(self) -> bytes:
        """As it is kept in the cache."""
        return json.dumps(self.headers).encode() + b"\n" + self.data

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Made":
        """What :meth:`to_bytes` has made."""
        headers, _, data = stored.partition(b"\n")
        return cls(data, json.loads(headers))


def made_of(outcome: Outcome, bytes_in: int) -> Made:
    """A compressor's outcome that is no failure, for a client.

    Args:
        outcome: with data and format.
        bytes_in: size of the source.
    """
    assert outcome.data is not None and outcome.format is not None
    bytes_out = len(outcome.data)
    headers = {
        "Content-Type": MEDIA_TYPES[outcome.format],
        "X-Imgcompress-Status": str(outcome.status),
        "X-Imgcompress-Reason": str(outcome.reason),
        "X-Imgcompress-Bytes-In": str(bytes_in),
        "X-Imgcompress-Bytes-Out": str(bytes_out),
        "X-Imgcompress-Savings": f"{100 * (1 - bytes_out / bytes_in):.1f}%",
    }
    # Those of what is only kept tell about a result that is not sent.
    scores = outcome.scores if outcome.status is Status.RECOMPRESSED else {}
    for name, value in scores.items():
        if isfinite(value):
            headers[f"X-Imgcompress-Score-{name.capitalize()}"] = f"{value:.6g}"
    return Made(outcome.data, headers)
