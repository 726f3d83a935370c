"""The witness is Pillow: what it writes begins as a picture."""

import io

import pytest
from PIL import Image

from imgcompress.dataset.magic import HEAD_BYTES, begins_as_picture
from imgcompress.image import read  # noqa: F401  # registers the encoder of AVIF


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "AVIF"])
def test_what_pillow_writes(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    assert begins_as_picture(file.getvalue()[:HEAD_BYTES])


@pytest.mark.parametrize("head", [b"", b"\xff\xd8", b"RIFF but no picture", b"{}", b"\x89PNG", bytes(16)])
def test_other_bytes(head: bytes) -> None:
    assert not begins_as_picture(head)
