import pytest

from imgcompress.image.containers import png_file, webp_file
from imgcompress.image.mark import (
    PNG_MARK,
    WEBP_MARK,
    avif_is_marked,
    avif_mark,
    chunks_are_marked,
    is_mark,
    mark_payload,
)

FTYP = b"\0\0\0\x10ftypavif\0\0\0\0"


def test_the_payload_is_recognized_and_nothing_else_is():
    assert is_mark(mark_payload(b"1.0 abc"))
    assert not is_mark(b"1.0 abc")
    assert not is_mark(b"")


@pytest.mark.parametrize(("kind", "file"), [(PNG_MARK, png_file), (WEBP_MARK, webp_file)])
def test_only_our_chunk_with_our_words_counts(kind, file):
    assert chunks_are_marked([(b"abcd", b""), (kind, mark_payload(b"1"))])
    assert not chunks_are_marked([(kind, b"of somebody else"), (b"tEXt", mark_payload(b"1"))])


def test_the_box_is_found_at_the_end_only_by_its_own_name():
    marked = FTYP + avif_mark(b"1.0 abc")
    assert avif_is_marked(marked)
    assert not avif_is_marked(FTYP)
    assert not avif_is_marked(marked.replace(b"uuid", b"free"))
    assert not avif_is_marked(marked.replace(b"imgcompress", b"imgcomPress"))


def test_the_png_chunk_is_private_ancillary_and_unsafe_to_copy():
    assert [bool(letter & 0x20) for letter in PNG_MARK] == [True, True, False, False]
