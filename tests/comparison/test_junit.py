import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from junitparser import Error, Failure, JUnitXml

from imgcompress.comparison.junit import write_junit
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.dataset.printable import printable
from imgcompress.errors import UsageError

# The part of junit-10.xsd (Jenkins' xunit plugin) that we use; the plugin refuses files that break it.
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "time", "tests", "failures", "errors", "skipped", "timestamp", "hostname", "id"},
    "testcase": {"name", "classname", "time", "group"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "system-out": set(),
}
REQUIRED = {"testsuite": {"name", "tests", "failures", "errors"}, "testcase": {"name"}}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase", "properties", "system-out", "system-err"},
    "testcase": {"skipped", "failure", "error", "system-out", "system-err"},
}


def _check(element: ElementTree.Element) -> None:
    names = set(element.attrib)
    assert names <= ATTRIBUTES[element.tag]
    assert names >= REQUIRED.get(element.tag, set())
    assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    assert all(re.fullmatch(r"\d+", element.get(key, "0")) for key in ("tests", "failures", "errors"))
    assert re.fullmatch(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?", element.get("time", ""))
    assert not (element.text or "").strip() or element.tag not in CHILDREN
    for child in element:
        _check(child)


def test_the_file_obeys_the_schema_and_counts_right(tmp_path: Path, results: list[Compared]) -> None:
    write_junit(tmp_path / "deep" / "junit.xml", iter(results), 1.5)
    root = ElementTree.parse(tmp_path / "deep" / "junit.xml").getroot()
    assert root.tag == "testsuites"
    _check(root)
    (suite,) = root
    for element in (root, suite):
        counts = [int(element.get(key, "")) for key in ("tests", "failures", "errors")]
        assert counts == [6, 3, 1]
    verdicts = [[child.tag for child in case if child.tag != "system-out"] for case in suite]
    assert verdicts == [[], ["failure"], ["failure"], ["failure"], ["error"], []]


def test_another_reader_finds_outcomes_scores_and_notes(tmp_path: Path, results: list[Compared]) -> None:
    write_junit(tmp_path / "junit.xml", results, 1.5)
    (suite,) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    cases = list(suite)
    assert (suite.tests, suite.failures, suite.errors, suite.time) == (6, 3, 1, 1.5)
    assert [case.is_passed for case in cases] == [True, False, False, False, False, True]
    assert [type(result) for case in cases for result in case.result] == [Failure, Failure, Failure, Error]
    (failure,) = cases[1].result
    assert failure.message == "ssimulacra2 is 61.20, below 70; a window has 12.50, below 40"
    assert failure.type == "failed"
    assert "ssimulacra2 61.20, psnr nan" in cases[1].system_out
    assert "12.50 at (64, 32), 64 x 64" in cases[1].system_out
    assert "note: the reference has a color profile" in cases[1].system_out
    assert "psnr 41.25" in cases[0].system_out


def test_what_xml_cannot_hold_becomes_its_escape(tmp_path: Path, results: list[Compared]) -> None:
    write_junit(tmp_path / "junit.xml", results, 0.0)
    names = [case.get("name") for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")]
    assert names[1] == r"pages/bad, 100%:\x1b[31m\n|<b>&`.png"
    assert names[3] == r"new\udcff\uffff.png"
    error = ElementTree.parse(tmp_path / "junit.xml").find(".//error")
    assert error is not None
    assert error.text == r"the test cannot be read: ends\x00 early"


def test_every_character_can_be_told_and_read_again(tmp_path: Path) -> None:
    name = "".join(map(chr, range(0x3000))) + "\ud800\udcff\ufffe\uffff\U0001f600\U0010ffff"
    write_junit(tmp_path / "junit.xml", [Compared(name, Outcome.EXTRA, None, Path("a"))], 0.0)
    (case,) = ElementTree.parse(tmp_path / "junit.xml").iter("testcase")
    assert case.get("name") == printable(name)
    assert all(character in case.get("name", "") for character in name if character.isprintable())


def test_no_results_are_a_suite_too(tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", [], 0.0)
    (suite,) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (suite.tests, suite.failures, suite.errors) == (0, 0, 0)


def test_a_file_that_cannot_be_written_is_named_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"--junit: folder cannot be written"):
        write_junit(tmp_path / "folder", [], 0.0)
