"""Huffman tables of JPEG files: those of a segment, and whether they are the standard's examples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from imgcompress.errors import PictureError, Reason

_AC_LUMA = (
    "0002010303020403050504040000017d"
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a"
    "3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a929394"
    "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8"
    "e9eaf1f2f3f4f5f6f7f8f9fa"
)
_AC_CHROMA = (
    "00020102040403040705040400010277"
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728"
    "292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92"
    "939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7"
    "e8e9eaf2f3f4f5f6f7f8f9fa"
)
_EXAMPLES = {
    bytes.fromhex("00010501010101010100000000000000000102030405060708090a0b"): "K.3",
    bytes.fromhex("00030101010101010101010000000000000102030405060708090a0b"): "K.4",
    bytes.fromhex(_AC_LUMA): "K.5",
    bytes.fromhex(_AC_CHROMA): "K.6",
}
"""Code lengths and values as a DHT segment has them, by the number of the table in T.81, K.3.3."""


@dataclass(frozen=True)
class HuffmanTable:
    """One definition of a Huffman table (T.81, B.2.4.2).

    Attributes:
        kind: of DC differences or of AC run lengths.
        number: its slot, 0 to 3.
        example: which of the standard's examples it is ("K.3" to "K.6"), or None.
    """

    kind: Literal["dc", "ac"]
    number: int
    example: str | None


def read_huffman(payload: bytes) -> Iterator[HuffmanTable]:
    """The tables of a DHT segment, one after the other.

    Raises:
        PictureError: DECODE_ERROR where the next one is damaged; those before it have been given.
    """
    at = 0
    while at < len(payload):
        kind, number = payload[at] >> 4, payload[at] & 15
        end = at + 17 + sum(payload[at + 1 : at + 17])
        if kind > 1 or number > 3 or end > len(payload) or end - at - 17 > 256:
            raise PictureError(Reason.DECODE_ERROR, "a Huffman table is damaged")
        yield HuffmanTable("ac" if kind else "dc", number, _EXAMPLES.get(payload[at + 1 : end]))
        at = end
