import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcompress.dataset.names import (
    SUFFIXES,
    FolderNames,
    format_of_name,
    formats_of,
    output_names,
    output_names_in_place,
)

NAME = st.builds(
    lambda stems, suffix: "".join(stems) + suffix,
    st.lists(st.sampled_from(["a", "A", ".png", ".jpg", ".avif", "b"]), min_size=1, max_size=3),
    st.sampled_from([".png", ".PNG", ".jpg", ".JPG", ".jpeg", ".tif", ".webp", ".avif", ".AVIF", ""]),
)
NAMES = st.lists(NAME, min_size=1, max_size=8, unique=True).map(sorted)
FORMATS = st.sampled_from(list(SUFFIXES))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("jpeg", ["a.jpg", "b.JPEG", "c.png.jpg", "c.webp.jpg"]),
        ("webp", ["a.webp", "b.webp", "c.png.webp", "c.webp"]),
        ("avif", ["a.avif", "b.avif", "c.png.avif", "c.webp.avif"]),
        ("png", ["a.png", "b.png", "c.png", "c.webp.png"]),
    ],
)
def test_names_by_format(form: str, expected: list[str]) -> None:
    names = ["a.tif", "b.JPEG", "c.png", "c.webp"]
    assert output_names(names, form) == dict(zip(names, expected, strict=True))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "a.png.avif"], ["a.png.avif.avif", "a.png.avif"]),
        (["a.png", "a.png.avif.jpg"], ["a.png.avif.avif", "a.png.avif.jpg.avif"]),
        (["a.png", "a.png.jpg.avif"], ["a.png.avif", "a.png.jpg.avif"]),
        (["a.png", "a.png.AVIF"], ["a.png.avif.avif", "a.png.AVIF"]),
        (["A.png", "a.png"], ["A.png.avif", "a.png.avif"]),
        (["A.jpg", "a.png"], ["A.jpg.avif", "a.png.avif"]),
        (["a.png"], ["a.avif"]),
    ],
)
def test_names_in_place_by_format(names: list[str], expected: list[str]) -> None:
    assert output_names_in_place(names, "avif") == dict(zip(names, expected, strict=True))


def test_a_folder_of_that_name_is_avoided_in_place() -> None:
    others = ["a.avif", "b.png.AVIF"]
    assert list(output_names_in_place(["a.png", "b.png", "b.tif"], "avif", others).values()) == [
        "a.png.avif", "b.png.avif.avif", "b.tif.avif",
    ]  # fmt: skip


def test_formats_of_a_run() -> None:
    assert formats_of("auto") == ("jpeg", "webp", "avif") and formats_of("avif") == ("avif",)
    assert [format_of_name(name) for name in ("a.JPE", "a.apng", "a.tif", ".png")] == [
        "jpeg",
        "png",
        None,
        None,
    ]


@given(NAMES, FORMATS)
def test_no_two_sources_share_a_name(names: list[str], form: str) -> None:
    taken: dict[str, str] = {}
    for name, output in output_names(names, form).items():
        assert output.casefold() not in taken, (name, output, taken[output.casefold()])
        taken[output.casefold()] = name
        others = {other.casefold() for other in names} - {name.casefold()}
        assert output.casefold() not in others, (name, output)
        assert format_of_name(output) == form and (output == name or output.endswith(SUFFIXES[form][0]))


@given(NAMES, st.booleans(), st.data())
def test_whatever_each_picture_becomes_no_two_share_a_name(
    names: list[str], in_place: bool, data: st.DataObject
) -> None:
    folder = FolderNames(names, in_place=in_place)
    forms = data.draw(st.fixed_dictionaries({name: st.none() | FORMATS for name in names}))
    became = {
        name: folder.copy(name) if form is None else folder.output(name, form) for name, form in forms.items()
    }
    assert len(set(became.values())) == len(names)
    sources = {name.casefold(): name for name in names}
    for name, output in became.items():
        # Nor may a later run, in which another picture is kept, find its place taken.
        assert output == name or output not in names
        if not in_place and format_of_name(output) is not None:
            others = [other for of, other in became.items() if of != name]
            assert output.casefold() not in map(str.casefold, others)
            assert sources.get(output.casefold(), name).casefold() == name.casefold()


@given(NAMES, st.data())
def test_names_in_place_stay_when_a_part_is_done(names: list[str], data: st.DataObject) -> None:
    whole = {form: output_names_in_place(names, form) for form in SUFFIXES}
    done = {name: data.draw(FORMATS) for name in data.draw(st.sets(st.sampled_from(names)))}
    now = {name: whole[done[name]][name] if name in done else name for name in names}
    assert len(set(now.values())) == len(names)
    for form in SUFFIXES:
        again = output_names_in_place(sorted(now.values()), form)
        for name in names:
            if name not in done:
                assert again[name] == whole[form][name]
            elif done[name] == form:
                assert again[now[name]] == now[name]
