import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from imgcompress.comparison.annotations import append_summary, commands, summary
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.errors import UsageError


def _read(line: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as GitHub's runner takes it apart.

    Source: actions/runner, src/Runner.Common/ActionCommand.cs, the form that begins with ``::``.
    """
    match = re.fullmatch(r"::(\w+)(?: ([^\r\n]*?))?::([^\r\n]*)", line)
    assert match is not None
    properties = dict(part.split("=", 1) for part in match[2].split(",") if part)
    escapes = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))
    for key, value in properties.items():
        for code, character in escapes:
            value = value.replace(code, character)  # noqa: PLW2901
        properties[key] = value
    message = match[3]
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        message = message.replace(code, character)
    return match[1], properties, message


def _extra(count: int) -> list[Compared]:
    return [Compared(f"{n}.png", Outcome.EXTRA, None, Path(f"{n}.png")) for n in range(count)]


def test_what_did_not_pass_is_an_error_and_notes_are_notices(results: list[Compared]) -> None:
    found = [_read(line) for line in commands(results, {})]
    assert [level for level, _, _ in found] == ["error"] * 4 + ["notice"]
    _, properties, message = found[0]
    assert properties == {
        "file": "references/bad.png",
        "title": r"pages/bad, 100%:\x1b[31m\n|<b>&`.png: failed",
    }
    assert message.splitlines()[:2] == ["ssimulacra2 is 61.20, below 70", "a window has 12.50, below 40"]
    assert "12.50 at (64, 32), 64 x 64" in message
    assert found[2][1]["file"] == r"screenshots/new\udcff\uffff.png"
    assert found[3][2].startswith("the test cannot be read: ends\\x00 early\n")
    assert found[4][2].endswith("\nnote: turned")


def test_the_escapes_are_github_s() -> None:
    name = "100 %: a, b%0A"
    (line,) = commands([Compared(name, Outcome.ERROR, None, Path("x"), error=name)], {})
    assert line == "::error file=x,title=100 %25%3A a%2C b%250A%3A error::100 %25: a, b%250A%0Atest: x"


def test_files_are_named_from_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: list[Compared]
) -> None:
    (tmp_path / "web").mkdir()
    monkeypatch.chdir(tmp_path / "web")
    found = _read(commands(results, {"GITHUB_WORKSPACE": str(tmp_path)})[0])
    assert found[1]["file"] == "web/references/bad.png"
    elsewhere = _read(commands(results, {"GITHUB_WORKSPACE": str(tmp_path / "other")})[0])
    assert elsewhere[1]["file"] == "references/bad.png"


@pytest.mark.parametrize(("count", "lines"), [(0, 0), (10, 10), (11, 10), (500, 10)])
def test_no_more_annotations_than_github_shows(count: int, lines: int) -> None:
    found = [_read(line) for line in commands(_extra(count), {})]
    assert len(found) == lines
    if count > 10:
        assert found[-1][1] == {"title": f"{count - 9} more pictures did not pass"}
        assert found[-1][2].startswith("9.png\n10.png")


def test_the_summary_is_a_table_that_no_name_can_break(results: list[Compared]) -> None:
    text = summary(results)
    assert text.startswith("### imgcompress compare: 2 of 6 pictures passed\n")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inline = [token for token in tokens if token.type == "inline"]
    cells = ["".join(child.content for child in token.children or ()) for token in inline]
    assert not any(child.type == "html_inline" for token in inline for child in token.children or ())
    assert len(cells) == 1 + 4 + 4 * 4
    assert cells[5:9] == [
        r"pages/bad, 100%:\x1b[31m\n|<b>&`.png",
        "failed",
        "ssimulacra2 is 61.20, below 70; a window has 12.50, below 40",
        "ssimulacra2 61.20, psnr nan",
    ]


def test_the_summary_is_bounded_and_needs_no_table_where_all_passed(results: list[Compared]) -> None:
    assert summary(_extra(101)).count("\n| ") == 101  # with the head
    assert "and 1 more" in summary(_extra(101))
    assert len(summary(_extra(5000)).encode()) < 1 << 20
    assert "|" not in summary(results[:1])


def test_the_summary_is_added_to_the_step_s_only(tmp_path: Path, results: list[Compared]) -> None:
    file = tmp_path / "summary.md"
    file.write_text("before\n", encoding="utf-8")
    append_summary(results, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text(encoding="utf-8") == "before\n" + summary(results)
    append_summary(results, {})
    append_summary(results, {"GITHUB_STEP_SUMMARY": ""})
    with pytest.raises(UsageError, match="GITHUB_STEP_SUMMARY"):
        append_summary(results, {"GITHUB_STEP_SUMMARY": str(tmp_path)})
