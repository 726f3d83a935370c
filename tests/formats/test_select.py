from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from imgcompress.formats.select import (
    MEDIA_TYPES,
    PREFERRED,
    Accept,
    NotAcceptableError,
    acceptable_formats,
    select_format,
)

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
SAFARI = "image/webp,image/avif,image/jxl,image/heic,video/*;q=0.8,image/png,image/*;q=0.8,*/*;q=0.5"


@pytest.mark.parametrize(
    ("header", "depth", "alpha", "expected"),
    [
        (None, 8, False, "avif"),
        ("", 8, False, "avif"),
        (" , ,", 8, False, "avif"),
        ("*/*", 8, False, "avif"),
        (CHROME, 8, False, "avif"),
        (FIREFOX, 8, True, "avif"),
        (SAFARI, 8, False, "avif"),
        ("image/webp,image/jpeg", 8, False, "webp"),
        ("image/webp;q=0.9,image/jpeg", 8, False, "jpeg"),
        ("image/webp;q=0.9,image/jpeg", 8, True, "webp"),
        ("image/*,image/avif;q=0", 8, False, "webp"),
        ("image/*;q=0,image/jpeg;q=0.001", 8, False, "jpeg"),
        ("*/*;q=0.1, image/*;q=0.5, image/png;q=0.2", 8, False, "avif"),
        ("image/png", 8, False, "png"),
        ("image/png, image/jpeg", 8, True, "png"),
        ("image/png, image/jpeg", 8, False, "jpeg"),
        ("IMAGE/WEBP;Q=0.7", 8, False, "webp"),
        ("image/webp ; q=0.7", 8, False, "webp"),
        ("image/webp;;q=0.3,image/jpeg;q=0.5", 8, False, "jpeg"),
        ("image/webp;q=.3,image/jpeg;q=0.5", 8, False, "jpeg"),
        # what cannot be read is passed over
        ("image/webp;q=2,image/jpeg;q=0.1", 8, False, "jpeg"),
        ("image/webp;q=-1,image/jpeg;q=0.1", 8, False, "jpeg"),
        ("image/webp;q=nan,image/jpeg;q=0.1", 8, False, "jpeg"),
        ("image/webp;q=1e-1,image/jpeg;q=0.1", 8, False, "jpeg"),
        ("image/webp;q=,image/jpeg;q=0.1", 8, False, "jpeg"),
        ("*/webp,webp,image/,/,image/jpeg;q=0.1", 8, False, "jpeg"),
        ("words that say nothing", 8, False, "avif"),
        # parameters: such a range is for other media types; quoted ones may hold commas
        ('image/webp;v="a,b;q=1",image/jpeg;q=0.1', 8, False, "jpeg"),
        ('image/webp;v="a\\",b",image/jpeg;q=0.1', 8, False, "jpeg"),
        # depth: a tie only
        ("image/webp,image/avif", 16, False, "avif"),
        ("image/webp,image/avif;q=0.9", 16, False, "webp"),
        ("image/jpeg", 16, False, "jpeg"),
    ],
)  # fmt: skip
def test_choices(header: str | None, depth: int, alpha: bool, expected: str) -> None:
    assert select_format(header, depth, alpha, False) == expected


@pytest.mark.parametrize(
    ("header", "alpha", "animated"),
    [
        ("text/html", False, False),
        ("image/gif", False, False),
        ("*/*;q=0", False, False),
        ("image/jpeg;progressive=yes", False, False),
        ("image/jpeg", True, False),
        ("image/jpeg, image/png", False, True),
    ],
)
def test_nothing_fits(header: str, alpha: bool, animated: bool) -> None:
    with pytest.raises(NotAcceptableError, match="no format"):
        select_format(header, 8, alpha, animated)


def test_sizes_decide_between_equally_welcome_ones_only() -> None:
    sizes = {"avif": 300, "webp": 200, "jpeg": 100}
    assert acceptable_formats(Accept("*/*"), 8, False, False, sizes) == ["jpeg", "webp", "avif", "png"]
    assert select_format("image/avif,image/jpeg;q=0.9", 8, False, False, sizes=sizes) == "avif"
    assert select_format("*/*", 10, False, False, sizes=sizes) == "avif"
    assert select_format("*/*", 8, True, False, sizes=sizes) == "webp"
    assert select_format("*/*", 8, False, False, sizes={"webp": 200}) == "webp"


def test_time_is_linear_in_hostile_headers() -> None:
    # Each of these takes hours where the pattern backtracks.
    for hostile in (
        "; " * 30_000 + '"',
        ';a="' + '\\"' * 30_000,
        '"' * 60_000,
        "image/webp" + ";\t" * 30_000 + "(",
    ):
        assert 0 <= Accept("image/webp" + hostile).weight("webp") <= 1


RANGES = ("*/*", "image/*", "text/*", "text/html", *(MEDIA_TYPES[form] for form in (*PREFERRED, "gif")))
WEIGHTS = st.integers(0, 1000).map(lambda value: value / 1000)
HEADERS = st.dictionaries(st.sampled_from(RANGES), WEIGHTS, min_size=1)
PICTURES = st.tuples(st.sampled_from([8, 10, 12, 16]), st.booleans(), st.booleans())


def header_of(weights: dict[str, float]) -> str:
    return ", ".join(f"{name};q={weight:g}" for name, weight in weights.items())


@given(HEADERS, PICTURES, st.randoms())
def test_what_is_chosen(weights: dict[str, float], picture: tuple[int, bool, bool], random: object) -> None:
    header = header_of(weights)
    # An outside witness for weights and precedence.
    witness = parse_accept_header(header, MIMEAccept)
    formats = acceptable_formats(Accept(header), *picture)
    _, has_alpha, animated = picture
    for form in PREFERRED:
        weight = Accept(header).weight(form)
        assert weight == pytest.approx(witness.quality(MEDIA_TYPES[form]))
        able = not (has_alpha and form == "jpeg") and not (animated and form in ("jpeg", "png"))
        assert (form in formats) == (weight > 0 and able)
    assert [Accept(header).weight(form) for form in formats] == sorted(
        (Accept(header).weight(form) for form in formats), reverse=True
    )
    elements = header.split(", ")
    random.shuffle(elements)  # type: ignore[attr-defined]
    assert acceptable_formats(Accept(",".join(elements)), *picture) == formats


@given(HEADERS, st.dictionaries(st.sampled_from(PREFERRED), st.integers(1, 100)))
def test_a_smaller_one_is_never_passed_by(weights: dict[str, float], sizes: dict[str, int]) -> None:
    accept = Accept(header_of(weights))
    formats = acceptable_formats(accept, 8, False, False, sizes)
    for first, second in product(sizes, sizes):
        both = first in formats and second in formats
        if both and accept.weight(first) == accept.weight(second) and sizes[first] < sizes[second]:
            assert formats.index(first) < formats.index(second)


@given(st.text(alphabet='image/*webpq=01.;, \t"\\x', max_size=60))
def test_any_header_is_read(header: str) -> None:
    assert 0 <= Accept(header).weight("webp") <= 1
