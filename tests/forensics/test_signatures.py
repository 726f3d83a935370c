import io
from pathlib import Path

import imagecodecs
import mozjpeg_lossless_optimization
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from imgcompress.errors import UsageError
from imgcompress.forensics.read_structure import read_head, read_structure
from imgcompress.forensics.signature_facts import facts_of
from imgcompress.forensics.signatures import Signatures, load_signatures, read_family
from imgcompress.image.jpeg_markers import segment


def save(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, :96, :128].permute(1, 2, 0).contiguous().numpy()


@pytest.fixture(scope="module")
def store() -> Signatures:
    return load_signatures()


@pytest.mark.parametrize("quality", [15, 50, 77, 96])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}, {"subsampling": 0}])
def test_libjpeg_is_known_at_any_quality(
    store: Signatures, pixels: np.ndarray, quality: int, options: dict[str, object]
) -> None:
    ranked = store.rank(read_structure(save(pixels, quality=quality, **options)))
    assert ranked[0].family == "libjpeg"
    assert any("Pillow" in name for name in ranked[0].alike)
    assert ranked[0].differs == ()


def test_programs_with_the_same_encoder_are_named_together(store: Signatures, pixels: np.ndarray) -> None:
    data = imagecodecs.jpeg8_encode(pixels, 70)
    alike = store.rank(read_structure(data))[0].alike
    assert {"Pillow", "cjpeg", "imagecodecs"} <= set(alike)


def test_a_lossless_optimization_by_mozjpeg_shows(store: Signatures, pixels: np.ndarray) -> None:
    data = mozjpeg_lossless_optimization.optimize(save(pixels, quality=70))
    ranked = store.rank(read_structure(data))
    assert ranked[0].family == "mozjpeg"
    assert store.rank(read_head(io.BytesIO(data)))[0].family == "mozjpeg"


def test_confidences_and_the_unknown_make_one(store: Signatures, pixels: np.ndarray) -> None:
    ranked = store.rank(read_structure(save(pixels)))
    confidences = [match.confidence for match in ranked]
    assert confidences == sorted(confidences, reverse=True)
    assert 0 < sum(confidences) < 1
    assert len(ranked) == len(store.families)


def test_what_nobody_wrote_is_unknown(store: Signatures, pixels: np.ndarray) -> None:
    tables = [[7 + (i * 5) % 40 for i in range(64)]] * 3
    data = save(pixels, qtables=tables, optimize=True)
    frame = data.index(b"\xff\xc0")
    identifiers = bytearray(data)
    for place, identifier in enumerate((7, 8, 9)):
        identifiers[frame + 10 + 3 * place] = identifier
        identifiers[identifiers.index(b"\xff\xda") + 5 + 2 * place] = identifier
    strange = segment(0xFE, b"written by hand") + segment(0xEC, b"strange")
    moved = bytes(identifiers[:2]) + strange + bytes(identifiers[frame:])  # no JFIF segment, tables gone
    ranked = store.rank(read_structure(moved))
    assert 1 - sum(match.confidence for match in ranked) > ranked[0].confidence


def test_each_signature_fits_itself(store: Signatures) -> None:
    for family in store.families:
        for signature in family.signatures:
            assert signature.command
            assert signature.version
            assert {"layout", "scans", "huffman", "tables", "components", "jfif"} <= set(signature.facts)


def test_extra_files_add_to_the_store(tmp_path: Path, pixels: np.ndarray) -> None:
    structure = read_structure(save(pixels, comment=b"made by me 12"))
    facts = {fact: sorted(values) for fact, values in facts_of(structure, {}).items()}
    mine = {"name": "mine", "version": "1", "command": "mine", "facts": facts}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"family": "mine", "title": "My own", "signatures": [mine]}))
    store = load_signatures([path])
    assert store.rank(structure)[0].family == "mine"
    assert store.rank(read_structure(save(pixels)))[0].family == "libjpeg"
    path.write_text(yaml.safe_dump({"family": "libjpeg", "title": "ignored", "signatures": [mine]}))
    family = next(family for family in load_signatures([path]).families if family.name == "libjpeg")
    assert family.title != "ignored"
    assert family.signatures[-1].name == "mine"
    assert family.signatures[0].name == "Pillow"


GOOD = {
    "family": "one",
    "title": "One",
    "signatures": [{"name": "a", "version": "1", "command": "a b", "facts": {"layout": ["SOS"]}}],
    "shapes": {"one": [" ".join(["16"] * 64)]},
}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("title", None, "title is missing"),
        ("families", 1, "families is no key"),
        ("family", 3, "family: expected a text, got '3'"),
        ("signatures", [], "signatures: expected a list of at least one"),
        ("signatures", [3], r"signatures\.0: expected keys and values"),
        ("signatures", [{"name": "a"}], r"signatures\.0\.command is missing"),
        (
            "signatures",
            [{"name": "a", "version": "1", "command": "b", "facts": {"sound": ["x"]}}],
            r"signatures\.0\.facts\.sound is no key",
        ),
        (
            "signatures",
            [{"name": "a", "version": "1", "command": "b", "facts": {"layout": [3]}}],
            r"signatures\.0\.facts\.layout\.0: expected a text",
        ),
        ("shapes", {"one": ["1 2 3"]}, r"shapes\.one\.0: expected 64 steps"),
        ("shapes", {"one": [" ".join(["0"] * 64)]}, r"shapes\.one\.0: expected 64 steps"),
    ],
)
def test_a_wrong_file_and_its_key_are_named(tmp_path: Path, key: str, value: object, said: str) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    assert read_family(path).shapes["one"].shape == (1, 64)
    content = {**GOOD, key: value}
    if value is None:
        del content[key]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match=rf"one\.yaml: {said}"):
        load_signatures([path])


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"- 1", b"", b"2020-99-99", b"[" * 5000])
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"bad\.yaml"):
        read_family(path)
    with pytest.raises(UsageError, match=r"absent\.yaml"):
        read_family(tmp_path / "absent.yaml")
