import os
from pathlib import Path

import pytest

from imgcompress.config import Format
from imgcompress.dataset.names import IMAGE_SUFFIXES, SUFFIXES
from imgcompress.dataset.selection import Selection
from imgcompress.dataset.sources import Listing
from imgcompress.errors import UsageError


def tree(root: Path, *names: str, content: bytes = b"") -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def outputs(source: Path, destination: Path) -> dict[str, str]:
    root = source if source.is_dir() else source.parent
    return {
        str(entry.source.relative_to(root)): str(entry.output("jpeg").relative_to(destination))
        for entry in Listing(source, destination)
    }


def test_the_tree_is_kept_in_sorted_order(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "b/c/2.png", "a.png", "b/1.webp", "b/c/1.tif", "z.jpg", "notes.txt")
    entries = list(Listing(root, tmp_path / "out"))
    assert [str(e.source.relative_to(root)) for e in entries] == [
        "a.png", "b/1.webp", "b/c/1.tif", "b/c/2.png", "z.jpg",
    ]  # fmt: skip
    assert [str(e.output("jpeg").relative_to(tmp_path / "out")) for e in entries] == [
        "a.jpg", "b/1.jpg", "b/c/1.jpg", "b/c/2.jpg", "z.jpg",
    ]  # fmt: skip
    assert [str(e.copy.relative_to(tmp_path / "out")) for e in entries] == [
        "a.png", "b/1.webp", "b/c/1.tif", "b/c/2.png", "z.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.jpeg", "a.JPEG", "a.jpe", "a.JFIF"])
def test_a_jpegs_suffix_stays(name: str, tmp_path: Path) -> None:
    (entry,) = Listing(tree(tmp_path / "in", name), tmp_path / "out")
    assert entry.output("jpeg") == entry.copy == tmp_path / "out" / name


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "b.png"], ["a.jpg", "b.jpg"]),
        (["a.png", "a.webp"], ["a.png.jpg", "a.webp.jpg"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png.jpg"]),
        (["A.JPG", "a.png"], ["A.JPG", "a.png.jpg"]),
        (["a.jpeg", "a.png"], ["a.jpeg", "a.jpg"]),
        (["a.jpg", "a.png", "a.png.jpg"], ["a.jpg", "a.png.jpg.jpg", "a.png.jpg"]),
        (["a.png", "a.png.tif", "a.webp"], ["a.png.jpg.jpg", "a.png.jpg", "a.webp.jpg"]),
        (["x/a.png", "y/a.webp"], ["x/a.jpg", "y/a.jpg"]),
        (["a.b.c.png"], ["a.b.c.jpg"]),
        ([".png.png"], [".png.jpg"]),
        (["a.jpg/x.png", "a.png"], ["a.jpg/x.jpg", "a.png.jpg"]),
        (["A.jpg", "a.jpg", "a.jpg.png"], ["A.jpg", "a.jpg.jpg.jpg", "a.jpg.jpg"]),
    ],
)
def test_clashes(names: list[str], expected: list[str], tmp_path: Path) -> None:
    found = outputs(tree(tmp_path / "in", *names), tmp_path / "out")
    assert [found[name] for name in names] == expected


def test_a_jpegs_copy_goes_where_its_output_goes(tmp_path: Path) -> None:
    entries = list(Listing(tree(tmp_path / "in", "A.jpg", "a.jpg"), tmp_path / "out"))
    assert [entry.copy.name for entry in entries] == ["A.jpg", "a.jpg.jpg"]
    assert [entry.copy.name for entry in Listing(tmp_path / "in", None)] == ["A.jpg", "a.jpg"]


def test_names_in_place(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a.png", "b.png", "b.webp", "c.png", "c.webp.jpg", "d.jpeg", "d.png")
    tree(root, "e.1.png", "e.2.png", "e.txt")
    tree(root, "f", content=b"GIF89a")
    assert [entry.output("jpeg").name for entry in Listing(root, None)] == [
        "a.jpg", "b.png.jpg", "b.webp.jpg", "c.png.jpg", "c.webp.jpg", "d.jpeg", "d.png.jpg",
        "e.1.jpg", "e.2.jpg", "f.jpg",
    ]  # fmt: skip


def test_each_format_has_its_names(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a.png", "b.JPG", "c.webp", "d.avif", "d.tif", "e.tar")
    names = {
        form: [entry.output(form).name for entry in Listing(root, tmp_path / "out")] for form in SUFFIXES
    }
    assert names == {
        "jpeg": ["a.jpg", "b.JPG", "c.jpg", "d.avif.jpg", "d.tif.jpg", "e.tar"],
        "webp": ["a.webp", "b.webp", "c.webp", "d.avif.webp", "d.tif.webp", "e.tar"],
        "avif": ["a.avif", "b.avif", "c.avif", "d.avif", "d.tif.avif", "e.tar"],
        "png": ["a.png", "b.png", "c.png", "d.avif.png", "d.tif.png", "e.tar"],
    }


def test_the_places_of_a_run(tmp_path: Path) -> None:
    root, out = tree(tmp_path / "in", "a.jpg", "b.png", "c.tar"), tmp_path / "out"

    def places(destination: Path | None, form: Format) -> list[list[str]]:
        return [[path.name for path in entry.places] for entry in Listing(root, destination, format=form)]

    assert places(out, "jpeg") == [["a.jpg"], ["b.jpg", "b.png"], ["c.tar"]]
    assert (
        places(out, "avif") == places(None, "avif") == [["a.avif", "a.jpg"], ["b.avif", "b.png"], ["c.tar"]]
    )
    assert places(out, "png") == [["a.png", "a.jpg"], ["b.png"], ["c.tar"]]
    assert places(out, "auto") == [
        ["a.jpg", "a.webp", "a.avif"], ["b.jpg", "b.webp", "b.avif", "b.png"], ["c.tar"],
    ]  # fmt: skip
    assert [path.name for path in next(iter(Listing(root, out))).former_places] == [
        "a.jpg", "a.webp", "a.avif", "a.png",
    ]  # fmt: skip
    assert next(iter(Listing(root, None))).former_places == ()


MAGIC = {
    "jpeg": b"\xff\xd8\xff\xe0",
    "png": b"\x89PNG\r\n\x1a\n",
    "webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "avif": b"\0\0\0\x1cftypavif",
    "tiff": b"II*\0",
    "big tiff": b"MM\0+",
    "gif": b"GIF89a",
}


@pytest.mark.parametrize("kind", MAGIC)
def test_a_magic_number_makes_a_candidate(kind: str, tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "scan", "data.bin", content=MAGIC[kind] + bytes(20))
    tree(root, "text", "readme.md", content=b"RIFF but no picture at all")
    assert outputs(root, tmp_path / "out") == {"scan": "scan.jpg", "data.bin": "data.jpg"}


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_a_suffix_makes_a_candidate_whatever_is_inside(suffix: str, tmp_path: Path) -> None:
    root = tree(tmp_path / "in", f"a{suffix.upper()}", content=b"words")
    (name,) = outputs(root, tmp_path / "out").values()
    assert name == (f"a{suffix.upper()}" if suffix in SUFFIXES["jpeg"] else "a.jpg")


def test_temporary_files_are_ignored(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", ".imgcompress-0123.tmp", "a.png", content=MAGIC["jpeg"])
    assert list(outputs(root, tmp_path / "out")) == ["a.png"]


def test_one_file(tmp_path: Path) -> None:
    tree(tmp_path / "in", "a.png", "b.png")
    assert outputs(tmp_path / "in" / "a.png", tmp_path / "out") == {"a.png": "a.jpg"}
    assert outputs(tmp_path / "in" / "a.png", tmp_path / "in" / "out") == {"a.png": "a.jpg"}


def test_one_file_is_named_as_in_its_folder(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a.jpg", "a.png", "b.jpg", "b.dat", "c.tar")
    for name, expected in (("a.png", "a.png.jpg"), ("b.dat", "b.dat.jpg"), ("c.tar", "c.tar")):
        for place in (None, tmp_path / "out"):
            (entry,) = Listing(root / name, place)
            assert entry.output("jpeg").name == expected
    tree(root, "b.dat.jpg")
    (entry,) = Listing(root / "b.dat", tmp_path / "out")
    assert entry.output("jpeg").name == "b.dat.jpg.jpg" and entry.output("avif").name == "b.dat.avif.avif"


def test_links(tmp_path: Path) -> None:
    elsewhere = tree(tmp_path / "elsewhere", "x.png", "y.png")
    root = tree(tmp_path / "in", "a.png")
    (root / "folder").symlink_to(elsewhere)
    (root / "folder.jpg").symlink_to(elsewhere)
    (root / "circle").symlink_to(root)
    (root / "file.png").symlink_to(elsewhere / "x.png")
    (root / "nowhere.png").symlink_to(tmp_path / "missing.png")
    assert list(outputs(root, tmp_path / "out")) == ["a.png", "file.png", "nowhere.png"]
    linked = tmp_path / "link"
    linked.symlink_to(root)
    assert list(outputs(linked, tmp_path / "out")) == ["a.png", "file.png", "nowhere.png"]
    problems = {entry.key: entry.problem for entry in Listing(linked, None)}
    assert problems == {"a.png": None} | dict.fromkeys(("file.png", "nowhere.png"), "a link is not replaced")
    (entry,) = Listing(root / "file.png", None)
    assert entry.problem == "a link is not replaced"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_is_no_candidate(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a.png")
    os.mkfifo(root / "pipe.jpg")
    os.mkfifo(root / "pipe")
    assert list(outputs(root, tmp_path / "out")) == ["a.png"]
    (root / "list.txt").write_text("pipe.jpg\npipe\na.png\n")
    for place in (None, tmp_path / "out"):
        for source, problems in (
            ("list.txt", ["not a regular file", "not a regular file", None]),
            ("pipe.jpg", ["not a regular file"]),
        ):
            assert [entry.problem for entry in Listing(root / source, place)] == problems


def test_odd_lines_of_a_list(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a.png", "_absolute/b.png", "sub/c.png", content=b"words")
    (root / "circle").symlink_to(root / "circle")
    long = "x" * 300 + ".png"
    lines = (
        "n\0ul.png",
        "circle/x.png",
        ".",
        "/",
        "sub",
        "_Absolute/b.png",
        "_absolute/b.png",
        f"{root}/_absolute/b.png",
        long,
    )
    (root / "list.txt").write_text("\n".join((*lines, "a.png")))
    for place in (None, tmp_path / "out"):
        entries = {
            entry.key: entry.problem for entry in Listing(root / "list.txt", place, Selection(min_bytes=1))
        }
        assert entries == {
            "n\\0ul.png": "a path with a NUL byte",
            "circle/x.png": None,
            ".": "not a regular file",
            "_absolute": "not a regular file",
            "sub": "not a regular file",
            "_Absolute/b.png": "a path that begins with '_absolute', the place of absolute ones",
            "_absolute/b.png": "a path that begins with '_absolute', the place of absolute ones",
            long: None,
            "a.png": None,
        }


def test_absolute_paths_of_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tree(tmp_path / "x", "a.png") / "a.png"
    relative = elsewhere.relative_to("/").as_posix()
    root = tree(tmp_path / "in", relative, "b.png")
    (tmp_path / "link").symlink_to(root)
    (root / "list.txt").write_text(f"{elsewhere}\n{relative}\n{root}/b.png\n")
    monkeypatch.chdir(tmp_path)
    for source in (root, tmp_path / "link", Path("in"), Path("link")):
        entries = list(Listing(source / "list.txt", tmp_path / "out"))
        assert [entry.key for entry in entries] == [f"_absolute/{relative}", relative, "b.png"]
        places = [
            entry.output("jpeg").relative_to(tmp_path / "out").with_suffix("").as_posix() for entry in entries
        ]
        assert places == [f"_absolute/{relative[:-4]}", relative[:-4], "b"]
        assert [entry.source.samefile(path) for entry, path in zip(
            entries, (elsewhere, root / relative, root / "b.png"), strict=True
        )] == [True] * 3  # fmt: skip


def test_a_line_that_comes_again_is_skipped(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "sub/a.png", "b.png")
    (root / "way").symlink_to(root / "sub")
    (root / "list.txt").write_text(f"b.png\nsub/a.png\n./b.png\n{root}/b.png\nway/a.png\n")
    listing = Listing(root / "list.txt", tmp_path / "out")
    keys = ["b.png", "sub/a.png", "way/a.png"]
    assert [[entry.key for entry in listing] for _ in range(2)] == [keys, keys]
    assert [entry.key for entry in Listing(root / "list.txt", None)] == keys[:2]


@pytest.mark.parametrize("in_place", [True, False])
def test_a_list_is_named_by_what_is_there_now(in_place: bool, tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a.png")
    (root / "list.txt").write_text("a.png\n")
    listing = Listing(root / "list.txt", None if in_place else tmp_path / "out")
    assert [entry.output("jpeg").name for entry in listing] == ["a.jpg"]
    tree(root, "a.webp")
    assert [entry.output("jpeg").name for entry in listing] == ["a.png.jpg"]


def test_a_folder_that_cannot_be_listed_is_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "in", "a.png", "locked/b.png")
    scandir = os.scandir

    def refuse(path: str | Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(outputs(root, tmp_path / "out")) == ["a.png", "locked"]


def test_an_empty_folder_and_nothing_at_all(tmp_path: Path) -> None:
    tree(tmp_path / "in", "notes.txt")
    with pytest.raises(UsageError, match="no pictures found"):
        Listing(tmp_path / "in", tmp_path / "out")
    with pytest.raises(UsageError, match=r"missing: no such file or folder"):
        Listing(tmp_path / "missing", tmp_path / "out")
    with pytest.raises(UsageError, match="too long"):
        Listing(tmp_path / ("x" * 300), tmp_path / "out")


@pytest.mark.parametrize("place", ["in", "in/sub", "in/new/deep", "in/../in", "link", "link/new"])
def test_a_destination_in_the_source(place: str, tmp_path: Path) -> None:
    tree(tmp_path / "in", "a.png", "sub/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(UsageError, match="destination"):
        Listing(tmp_path / "in", tmp_path / place)
    assert not (tmp_path / "in" / "new").exists()


def test_a_destination_that_is_a_file(tmp_path: Path) -> None:
    tree(tmp_path, "in/a.png", "out")
    with pytest.raises(UsageError, match="not a folder"):
        Listing(tmp_path / "in", tmp_path / "out")


def test_one_file_into_its_own_folder(tmp_path: Path) -> None:
    tree(tmp_path / "in", "a.png")
    with pytest.raises(UsageError, match="own folder"):
        Listing(tmp_path / "in" / "a.png", tmp_path / "in")


def test_a_destination_around_the_source(tmp_path: Path) -> None:
    root = tree(tmp_path / "data" / "raw", "a.png", "x/b.png")
    assert outputs(root, tmp_path / "data") == {"a.png": "a.jpg", "x/b.png": "x/b.jpg"}
    tree(root, "raw/a.png")  # its copy would be data/raw/a.png
    problems = {entry.key: entry.problem for entry in Listing(root, tmp_path / "data")}
    assert problems["a.png"] is problems["x/b.png"] is None
    assert "lies inside the source" in (problems["raw/a.png"] or "")


def test_a_destination_that_leads_back_by_a_link(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "x/a.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").symlink_to(root / "x")
    (entry,) = Listing(root, tmp_path / "out")
    assert "lies inside the source" in (entry.problem or "")


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), ["a.png", "b.jpg", "sub/a.png", "sub/c.jpg"]),
        (Selection(include=("*.png",)), ["a.png", "sub/a.png"]),
        (Selection(include=("sub/*", "b*")), ["b.jpg", "sub/a.png", "sub/c.jpg"]),
        (Selection(exclude=("sub/*", "*.jpg")), ["a.png"]),
        (Selection(min_bytes=3), ["b.jpg", "sub/c.jpg"]),
    ],
)
def test_a_selection(selection: Selection, expected: list[str], tmp_path: Path) -> None:
    for name, data in {"a.png": b"..", "b.jpg": b"...", "sub/a.png": b"..", "sub/c.jpg": b"...."}.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    assert [entry.key for entry in Listing(tmp_path / "in", tmp_path / "out", selection)] == expected


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"sample": 0}, {"min_bytes": -1}], ids=lambda options: next(iter(options))
)
def test_a_selection_of_nothing_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        Selection(**options)


def test_a_selection_that_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").touch()
    with pytest.raises(UsageError, match="selection leaves none"):
        Listing(tmp_path / "in", tmp_path / "out", Selection(exclude=("*",)))


def test_maps_have_the_sources_names(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "x/a.png", "x/a.webp", "b.jpg")
    entries = list(Listing(root, tmp_path / "out", maps=tmp_path / "maps"))
    names = [str(entry.map.relative_to(tmp_path / "maps")) for entry in entries if entry.map]
    assert names == ["b.jpg.png", "x/a.png.png", "x/a.webp.png"]
    assert [entry.map for entry in Listing(root, tmp_path / "out")] == [None] * 3


def test_places_where_maps_cannot_go(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a.png", "a", "sub/file.png", content=b"GIF89a")
    (tmp_path / "file").write_bytes(b"")
    for place, message in (
        ("in", "maps is the source's own folder"),
        ("in/maps", "maps lies inside the source"),
        ("file", "maps is not a folder"),
        ("out", "could replace outputs"),
        ("out/sub", "could replace outputs"),
    ):
        with pytest.raises(UsageError, match=message):
            Listing(root, tmp_path / "out", maps=tmp_path / place)


def test_a_map_that_would_replace_a_source(tmp_path: Path) -> None:
    root = tree(tmp_path / "data" / "raw", "a.jpg", "raw/a.jpg")
    entries = {entry.key: entry for entry in Listing(root, tmp_path / "out", maps=tmp_path / "data")}
    assert entries["a.jpg"].problem is None
    assert "lies inside the source" in (entries["raw/a.jpg"].problem or "")


def test_a_list(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "b.png", "b.webp", "sub/a.jpg", "sub/c.tar")
    elsewhere = tree(tmp_path / "elsewhere", "d.png") / "d.png"
    (root / "list.txt").write_text(f"sub/a.jpg\n\nb.png\n{elsewhere}\nsub/c.tar\nmissing.png\n../up.png\n")
    entries = list(Listing(root / "list.txt", tmp_path / "out"))
    below = elsewhere.relative_to("/").as_posix()
    assert [entry.key for entry in entries] == [
        "sub/a.jpg", "b.png", f"_absolute/{below}", "sub/c.tar", "missing.png", "../up.png",
    ]  # fmt: skip
    # Named as in a run over the folder, where b.webp claims b.jpg, too.
    assert [entry.output("jpeg").relative_to(tmp_path / "out").as_posix() for entry in entries[:5]] == [
        "sub/a.jpg", "b.png.jpg", f"_absolute/{below[:-4]}.jpg", "sub/c.tar", "missing.png.jpg",
    ]  # fmt: skip
    assert [entry.is_shard for entry in entries[:4]] == [False, False, False, True]
    assert "'..'" in (entries[5].problem or "") and not any(entry.problem for entry in entries[:5])


def test_in_place(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a.jpg", "a.png", "sub/b.png", "sub/c.tar")
    tree(root, ".imgcompress/report.jpg")
    entries = list(Listing(root, None))
    assert [entry.output("jpeg").relative_to(root).as_posix() for entry in entries] == [
        "a.jpg", "a.png.jpg", "sub/b.jpg", "sub/c.tar",
    ]  # fmt: skip
    assert all(entry.in_place and entry.copy == entry.source and not entry.problem for entry in entries)
    assert entries[2].key_of(entries[2].output("jpeg")) == "sub/b.jpg"


def test_listing_is_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "in", *(f"{folder}/{name}.png" for folder in "abc" for name in "xy"))
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(Path(path).name), scandir(path))[1])
    entries = iter(Listing(root, tmp_path / "out"))
    listed.clear()
    assert next(entries).key == "a/x.png" and listed == ["in", "a"]
    assert [entry.key for entry in entries] == ["a/y.png", "b/x.png", "b/y.png", "c/x.png", "c/y.png"]
