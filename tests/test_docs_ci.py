"""docs/ci.md works as printed."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image
from skimage import data

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "ci.md"

# Without the repository there is no document to test.
pytestmark = pytest.mark.skipif(not DOCUMENT.is_file(), reason="docs/ is not here")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def _environment(**more: str) -> dict[str, str]:
    """This environment in place of the installed package."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PYTHONPATH": str(ROOT), "PATH": path} | more


def _bash(script: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As GitHub's runner calls a step that names no shell."""
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env=_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """References, a program that makes pictures, and what it makes."""
    photo = data.coffee()[100:260, 200:440]
    for folder in ("references/pages", "made/pages"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(photo).save(tmp_path / folder / "home.png")
        Image.fromarray(photo[::-1]).save(tmp_path / folder / "about.png")
    program = tmp_path / "make_pictures"
    program.write_text('#!/bin/sh\ncp -r made "$1"\n')
    program.chmod(0o755)
    return tmp_path


def _spoil(path: Path) -> None:
    samples = np.array(Image.open(path))
    samples[64:96, 64:96] = samples[64:96, 64:96, ::-1]
    Image.fromarray(samples).save(path)


def _run_workflow(folder: Path) -> list["subprocess.CompletedProcess[str]"]:
    """Of all steps that run commands but the installation; as on GitHub none follows one that failed."""
    steps: list[dict[str, Any]] = yaml.safe_load(_blocks("yaml")[0])["jobs"]["compare"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step]
    assert scripts.pop(0) == "pip install imgcompress"
    done = []
    for script in scripts:
        done.append(_bash(script, folder, GITHUB_STEP_SUMMARY=str(folder / "summary.md")))
        if done[-1].returncode:
            break
    return done


def test_the_workflow_has_what_github_asks_for() -> None:
    workflow = yaml.safe_load(_blocks("yaml")[0])
    assert set(workflow) == {"name", True, "permissions", "jobs"}  # YAML 1.1 takes "on" for a boolean
    steps = workflow["jobs"]["compare"]["steps"]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps if "uses" in step)


def test_the_workflow_passes_where_nothing_got_worse(repository: Path) -> None:
    made, compared = _run_workflow(repository)
    assert (made.returncode, compared.returncode) == (0, 0), compared.stderr
    assert "::" not in compared.stdout + compared.stderr
    assert "2 of 2 pictures passed" in (repository / "summary.md").read_text()
    (suite,) = ElementTree.parse(repository / "pictures" / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "0")


def test_the_workflow_fails_and_shows_where_a_picture_got_worse(repository: Path) -> None:
    _spoil(repository / "made/pages/home.png")
    made, compared = _run_workflow(repository)
    assert (made.returncode, compared.returncode) == (0, 1), compared.stderr
    (annotation,) = re.findall("^::.*$", compared.stdout + compared.stderr, re.MULTILINE)
    assert annotation.startswith(
        "::error file=references/pages/home.png,title=pages/home.png%3A failed::ssim"
    )
    assert "pages/home.png | failed" in (repository / "summary.md").read_text()
    (suite,) = ElementTree.parse(repository / "pictures" / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    assert "pages/home.png" in (repository / "pictures" / "index.html").read_text("utf-8")
    drawings = [path for path in (repository / "pictures" / "heat").rglob("*") if path.is_file()]
    assert {path.name for path in drawings} == {"home.png.png", "about.png.png"}
    assert {Image.open(path).format for path in drawings} == {"PNG"}

    (update,) = _blocks("bash")
    accepted = _bash(update, repository)
    assert accepted.returncode == 0, accepted.stderr
    shutil.rmtree(repository / "screenshots")
    _, compared = _run_workflow(repository)
    assert compared.returncode == 0


def test_the_codes_of_the_table(repository: Path) -> None:
    (repository / "made/pages/home.png").rename(repository / "made/pages/start.png")
    assert _run_workflow(repository)[-1].returncode == 1
    shutil.rmtree(repository / "screenshots")
    Image.new("RGB", (10, 10)).save(repository / "made/pages/home.png")
    assert _run_workflow(repository)[-1].returncode == 2


def test_gitlab_and_jenkins_run_the_same_command() -> None:
    *_, compare, _ = yaml.safe_load(_blocks("yaml")[0])["jobs"]["compare"]["steps"]
    words = compare["run"].replace("\\\n", " ").split()
    job = yaml.safe_load(_blocks("yaml")[1])["pictures"]
    (jenkins,) = re.findall("sh '(.*)'", _blocks("groovy")[0])
    for script in (job["script"][-1], jenkins):
        assert script.split() == words[: len(script.split())]
    assert job["script"][:-1] == ["pip install imgcompress", "./make_pictures screenshots"]
    assert job["artifacts"]["reports"]["junit"] in words


def test_pytest_s_examples_work(tmp_path: Path) -> None:
    page, copy = _blocks("python")
    (failure,) = _blocks("text")
    (tmp_path / "tests").mkdir()
    file = tmp_path / "tests" / "test_page.py"
    file.write_text(f"{page}\n\n{copy}")

    def run(*options: str) -> "subprocess.CompletedProcess[str]":
        # By name, as the package may not be installed but lie beside its tests.
        command = [sys.executable, "-m", "pytest", "-p", "imgcompress.pytest_plugin", "--rootdir=.", *options]
        # Installed, the plugin must not be there twice.
        environment = _environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    stored = run("--update-images")
    assert stored.returncode == 0, stored.stdout
    names = {path.name for path in (tmp_path / "tests" / "references").iterdir()}
    assert names == {f"test_page-{width}{kind}.png" for width in (320, 640) for kind in ("", "--gray")}
    file.write_text(file.read_text().replace("Total: 42", "Total: 43"))
    failed = run("-k", "test_page and 320")
    assert failed.returncode == 1
    said = [line for line in failed.stdout.splitlines() if line.startswith("E ")]
    expected = textwrap.dedent(failure).splitlines()
    assert _without_numbers(said) == _without_numbers(expected)


def _without_numbers(lines: list[str]) -> list[str]:
    """Scores depend a little on the machine and on how Pillow draws letters."""
    return [re.sub(r"-?\d+(\.\d+)?", "#", line) for line in lines]
