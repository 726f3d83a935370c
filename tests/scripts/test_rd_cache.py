"""Results are made once for the same inputs, and again when anything about them changed."""

from pathlib import Path

from rd.cache import Cache, Encoded, digest, key_of, source_digest


class Maker:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def encoded(self) -> Encoded:
        self.calls += 1
        return Encoded(b"jpeg %d" % self.calls, 0.25)

    def score(self) -> float:
        self.calls += 1
        return 71.25


def test_keys_depend_on_every_value_and_not_on_the_order() -> None:
    assert key_of({"a": 1, "b": {"c": [2, 3]}}) == key_of({"b": {"c": [2, 3]}, "a": 1})
    keys = [
        key_of(settings)
        for settings in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": 1, "b": 1}, {"a": {"b": 1}})
    ]
    assert len(set(keys)) == len(keys)


def test_a_digest_knows_where_its_parts_end() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc") != digest(b"abc")


def test_an_encode_is_made_once(tmp_path: Path) -> None:
    maker = Maker()
    first = Cache(tmp_path).encoded("0a1b", maker.encoded)
    assert Cache(tmp_path).encoded("0a1b", maker.encoded) == first == Encoded(b"jpeg 1", 0.25)
    assert Cache(tmp_path).encoded("0a1c", maker.encoded) == Encoded(b"jpeg 2", 0.25)
    assert maker.calls == 2


def test_an_encode_cut_off_between_its_files_is_made_again(tmp_path: Path) -> None:
    maker = Maker()
    Cache(tmp_path).encoded("0a1b", maker.encoded)
    note = next(tmp_path.rglob("*.json"))
    note.unlink()
    assert Cache(tmp_path).encoded("0a1b", maker.encoded).data == b"jpeg 2"


def test_a_score_is_measured_once_and_no_part_file_stays(tmp_path: Path) -> None:
    maker = Maker()
    assert [Cache(tmp_path).score("ff00", maker.score) for _ in range(2)] == [71.25, 71.25]
    assert maker.calls == 1
    assert not list(tmp_path.rglob("*.part"))


def test_a_score_that_is_no_number_is_kept_too(tmp_path: Path) -> None:
    Cache(tmp_path).score("ff00", lambda: float("nan"))
    kept = Cache(tmp_path).score("ff00", lambda: 1.0)
    assert kept != kept  # noqa: PLR0124


def test_the_source_digest_sees_contents_names_and_new_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.py").write_text("x = 1")
    seen = [source_digest(tmp_path)]
    (tmp_path / "notes.txt").write_text("nothing")
    assert source_digest(tmp_path) == seen[0]
    (tmp_path / "deep" / "a.py").write_text("x = 2")
    seen.append(source_digest(tmp_path))
    (tmp_path / "deep" / "a.py").rename(tmp_path / "deep" / "b.py")
    seen.append(source_digest(tmp_path))
    (tmp_path / "c.py").write_text("")
    seen.append(source_digest(tmp_path))
    assert len(set(seen)) == 4
