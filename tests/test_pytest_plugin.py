import io
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from skimage import data

from imgcompress.comparison.given import as_picture
from imgcompress.comparison.reference_file import write_reference
from imgcompress.testing import assert_images_match

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parents[1]
PAGE = data.coffee()[:64, :96]
ONE_TEST = """
    from PIL import Image

    def test_page(image_references):
        image_references.check(Image.open("page.png"), profile="lossless")
"""


@pytest.fixture(scope="module", autouse=True)
def _libraries(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pytester forgets what modules its runs have imported, and numpy cannot be loaded twice."""
    path = tmp_path_factory.mktemp("first") / "a.png"
    write_reference(path, as_picture(PAGE, "picture"))
    for profile in ("legacy", "lossless"):
        with pytest.raises(AssertionError):
            assert_images_match(path, PAGE[::-1], profile=profile, heatmap=path.with_suffix(".heat.png"))


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder in which pytest finds the plugin by what pyproject.toml says about it."""
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"{name} = {module}" for name, module in entry_points["pytest11"].items()]
    facts = pytester.mkdir("site") / "plugin-0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 0\n")
    (facts / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))
    pytester.syspathinsert(facts.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(facts.parent), str(ROOT)]))
    _draw(pytester.path / "page.png")
    return pytester


def _draw(path: Path, level: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    samples = PAGE.copy()
    samples[8:24, 16:32] ^= np.uint8(level)
    Image.fromarray(samples).save(path)
    return samples


def test_nothing_heavy_is_imported_by_every_run_of_pytest() -> None:
    script = "import pytest, sys; before = set(sys.modules); import imgcompress.pytest_plugin\n"
    script += "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"imgcompress", *sys.stdlib_module_names}
    assert "imgcompress.pytest_plugin" not in done.stderr


def test_a_run_without_the_fixture_loads_no_library(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    project.makepyfile(
        """
        import sys

        def test_nothing():
            assert "imgcompress.pytest_plugin" in sys.modules
            assert not {"torch", "numpy", "PIL", "imgcompress.testing"} & set(sys.modules)
        """
    )
    project.runpytest_subprocess("-p", "imgcompress").assert_outcomes(passed=1)


def test_a_missing_reference_fails_and_tells_the_option(project: pytest.Pytester) -> None:
    project.makepyfile(ONE_TEST)
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*there is no reference references/test_page.png",
            "E*the picture: image_failures/test_page/picture.png",
            "E*to accept it: pytest --update-images",
        ]
    )
    assert not (project.path / "references").exists()
    kept = Image.open(project.path / "image_failures/test_page/picture.png")
    assert np.array_equal(np.array(kept), np.array(Image.open(project.path / "page.png")))


def test_what_is_stored_matches_until_it_changes(project: pytest.Pytester) -> None:
    project.makepyfile(ONE_TEST)
    stored = project.runpytest_inprocess("--update-images")
    stored.assert_outcomes(passed=1)
    stored.stdout.fnmatch_lines(["*image references*", "stored: references/test_page.png"])
    project.runpytest_inprocess().assert_outcomes(passed=1)
    assert not (project.path / "image_failures").exists()

    before = (project.path / "references/test_page.png").read_bytes()
    changed = _draw(project.path / "page.png", level=4)
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*the pictures do not match (profile lossless)",
            "E*max_error is 4.00, above 0",
            "E*reference: references/test_page.png",
            "E*heat map: image_failures/test_page/heatmap.png",
            "E*the picture: image_failures/test_page/picture.png",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")  # the traceback ends in the user's test
    assert (project.path / "references/test_page.png").read_bytes() == before
    kept = Image.open(project.path / "image_failures/test_page/picture.png")
    assert np.array_equal(np.array(kept), changed)
    assert Image.open(project.path / "image_failures/test_page/heatmap.png").width >= 96

    project.runpytest_inprocess("--update-images").assert_outcomes(passed=1)
    assert np.array_equal(np.array(Image.open(project.path / "references/test_page.png")), changed)
    project.runpytest_inprocess().assert_outcomes(passed=1)


def test_an_update_leaves_alone_what_matches(project: pytest.Pytester) -> None:
    project.makepyfile(ONE_TEST.replace("lossless", "legacy"))
    project.runpytest_inprocess("--update-images").assert_outcomes(passed=1)
    before = (project.path / "references/test_page.png").read_bytes()
    _draw(project.path / "page.png", level=1)
    result = project.runpytest_inprocess("--update-images")
    result.stdout.no_fnmatch_line("stored:*")
    assert (project.path / "references/test_page.png").read_bytes() == before


@pytest.mark.parametrize("damage", ["size", "broken"])
def test_a_reference_that_cannot_be_compared_fails_and_can_be_replaced(
    project: pytest.Pytester, damage: str
) -> None:
    project.makepyfile(ONE_TEST)
    path = project.mkdir("references") / "test_page.png"
    if damage == "size":
        Image.new("RGB", (95, 64)).save(path)
    else:
        path.write_bytes((project.path / "page.png").read_bytes()[:300])
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    expected = (
        "the pictures are 95 x 64 and 96 x 64 pixels" if damage == "size" else "references/test_page.png"
    )
    result.stdout.fnmatch_lines([f"E*{expected}*", "E*to accept it: pytest --update-images"])
    project.runpytest_inprocess("--update-images").assert_outcomes(passed=1)
    project.runpytest_inprocess().assert_outcomes(passed=1)


def test_alpha_and_sixteen_bits_are_kept(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import numpy as np
        import torch

        SAMPLES = np.random.default_rng(0).integers(0, 65536, (20, 30, 4)).astype(np.uint16)

        def test_deep(image_references):
            image_references.check(SAMPLES, profile="lossless")
            planes = torch.from_numpy(SAMPLES).permute(2, 0, 1)
            image_references.check(planes, "as tensor", profile="lossless")
        """
    )
    project.runpytest_inprocess("--update-images").assert_outcomes(passed=1)
    samples = np.random.default_rng(0).integers(0, 65536, (20, 30, 4)).astype(np.uint16)
    for name in ("test_deep.png", "test_deep--as-tensor.png"):
        stored = imagecodecs.png_decode((project.path / "references" / name).read_bytes())
        assert np.array_equal(stored, samples)
    project.runpytest_inprocess().assert_outcomes(passed=1)


def test_every_test_and_name_has_a_file_that_every_system_can_hold(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from PIL import Image

        PAGE = Image.new("L", (16, 16))

        class TestPage:
            def test_page(self, image_references):
                image_references.check(PAGE)
                image_references.check(PAGE, "head / foot")

        @pytest.mark.parametrize("path", ["../a:b", "c\\u00e4*?", "x" * 300, "x" * 301])
        def test_page(image_references, path):
            image_references.check(PAGE, path)
        """
    )
    project.runpytest_inprocess("--update-images").assert_outcomes(passed=5)
    names = sorted(path.name for path in (project.path / "references").iterdir())
    assert names[:2] == ["TestPage-test_page--head-foot.png", "TestPage-test_page.png"]
    assert len(names) == 6
    assert all(len(name) < 220 and re.fullmatch(r"[A-Za-z0-9_.+=,-]+", name) for name in names)
    assert "test_page-..-a-b--..-a-b.png" in names


SHARED_BY_PARAMETERS = """
    import pytest

    @pytest.mark.parametrize("path", ["a/b", "a b"])
    def test_page(image_references, path):
        image_references.check(b"")
"""
SHARED_BUT_FOR_CASE = """
    def test_page(image_references):
        image_references.check(b"")

    def test_Page(image_references):
        image_references.check(b"")
"""


@pytest.mark.parametrize(
    ("tests", "names", "processes"),
    [
        (SHARED_BY_PARAMETERS, "*test_page?a b? and *test_page?a/b?", 0),
        (SHARED_BUT_FOR_CASE, "*test_Page and *test_page", 0),
        (SHARED_BUT_FOR_CASE, "*test_Page and *test_page", 2),
    ],
)
def test_tests_that_would_share_a_reference_are_an_error(
    project: pytest.Pytester, tests: str, names: str, processes: int
) -> None:
    project.makepyfile(tests)
    run = project.runpytest_subprocess if processes else project.runpytest_inprocess
    result = run("--update-images", f"--numprocesses={processes}")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines([f"{names} would share their references*"])
    assert not (project.path / "references").exists()


def test_files_of_one_folder_share_it_and_those_of_others_do_not(project: pytest.Pytester) -> None:
    test = "def test_page(image_references):\n    image_references.check(b'')\n"
    for name in ("a/test_one.py", "a/test_two.py", "b/test_one.py"):
        path = project.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(test)
    result = project.runpytest_inprocess("--import-mode=importlib", "--update-images")
    result.assert_outcomes(errors=2, failed=1)
    result.stdout.fnmatch_lines(["*test_one.py::test_page and test_two.py::test_page would share*"])


def test_one_name_twice_in_a_test_is_an_error(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from PIL import Image

        def test_page(image_references):
            image_references.check(Image.new("L", (16, 16)), "a b")
            image_references.check(Image.new("L", (16, 16)), "a/B")
        """
    )
    result = project.runpytest_inprocess("--update-images")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_page--a-B.png has been checked in this test*"])


def test_folders_are_settings_and_an_option_goes_over_them(project: pytest.Pytester) -> None:
    path = project.path / "web" / "test_page.py"
    path.parent.mkdir()
    path.write_text(re.sub(r"^ {4}", "", ONE_TEST, flags=re.MULTILINE))
    project.makeini("[pytest]\nimage_references = golden/pages\nimage_failures = out\n")
    project.runpytest_inprocess().assert_outcomes(failed=1)
    assert (project.path / "out/web/test_page/picture.png").is_file()
    project.runpytest_inprocess("--image-failures=elsewhere").assert_outcomes(failed=1)
    assert (project.path / "elsewhere/web/test_page/picture.png").is_file()
    project.runpytest_inprocess("--update-images").assert_outcomes(passed=1)
    assert (project.path / "web/golden/pages/test_page.png").is_file()


def test_a_group_of_xdist_changes_no_names(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from PIL import Image

        @pytest.mark.xdist_group("pages")
        @pytest.mark.parametrize("level", [0, 50, 100, 150])
        def test_page(image_references, level):
            image_references.check(Image.new("L", (16, 16), level), profile="lossless")
        """
    )
    options = ("--numprocesses=1", "--dist=loadgroup")
    stored = project.runpytest_subprocess("--update-images", "--junitxml=junit.xml", *options)
    stored.assert_outcomes(passed=4)
    assert str(stored.stdout).count("stored: references/test_page-") == 4
    names = {path.name for path in (project.path / "references").iterdir()}
    assert names == {f"test_page-{level}.png" for level in (0, 50, 100, 150)}
    properties = ElementTree.parse(project.path / "junit.xml").iter("property")
    assert {item.get("value") for item in properties} == {f"references/{name}" for name in names}
    project.runpytest_inprocess().assert_outcomes(passed=4)


def test_what_is_no_picture_fails_without_a_reference(project: pytest.Pytester) -> None:
    project.makepyfile("def test_page(image_references):\n    image_references.check(b'no picture')\n")
    result = project.runpytest_inprocess("--update-images")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*PictureError: picture: *"])
    assert not (project.path / "references").exists()


def test_references_hold_what_is_seen_and_nothing_else(tmp_path: Path) -> None:
    files = []
    for date in ("2025:01:01 00:00:00", "2026:01:01 00:00:00"):
        exif = Image.Exif()
        exif[0x0112], exif[0x0132] = 8, date
        buffer = io.BytesIO()
        Image.fromarray(PAGE).save(buffer, "PNG", exif=exif)
        write_reference(tmp_path / "a.png", as_picture(buffer.getvalue(), "picture"))
        files.append((tmp_path / "a.png").read_bytes())
    assert files[0] == files[1]
    stored = Image.open(tmp_path / "a.png")
    assert not stored.getexif()
    assert np.array_equal(np.array(stored), np.rot90(PAGE))
