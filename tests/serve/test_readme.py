"""The README's examples, as they are printed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from imgcompress.image.containers import format_of
from tests.serve.fakes import picture_file
from tests.serve.test_process import running

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks_of(heading: str) -> list[str]:
    section = README.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def test_curl_commands(tmp_path: Path) -> None:
    if shutil.which("curl") is None and os.environ.get("CI") != "1":
        pytest.skip("curl is not installed")
    [command], commands = (block.splitlines() for block in blocks_of("Serve"))
    program, *options = command.split()
    assert program == ".venv/bin/imgcompress" and options.pop(0) == "serve"
    (tmp_path / "out" / "samples").mkdir(parents=True)
    for name in set(re.findall(r"(?:samples|images)/(\w+\.\w+)", "\n".join(commands))):
        form = {".png": "PNG", ".jpg": "JPEG"}[Path(name).suffix]
        (tmp_path / "out" / "samples" / name).write_bytes(picture_file(form, (64, 48)))
    root = options.index("--root") + 1
    options[root] = str(tmp_path / options[root])
    with running(tmp_path, *options, f"--cache={tmp_path / 'cache'}", "--max-encodes=10") as server:
        # What is told to curl here changes no word of a command.
        (tmp_path / ".curlrc").write_text(
            f'connect-to = "127.0.0.1:8080:127.0.0.1:{server.port}"\nwrite-out = "%{{stderr}}%{{http_code}}"\n'
        )
        routes = set()
        for line in commands:
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=tmp_path,
                env=os.environ | {"CURL_HOME": str(tmp_path)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "200"), (line, done.stdout, done.stderr)
            routes |= set(re.findall(r"127\.0\.0\.1:8080/(\w+)", line))
            for name in re.findall(r"-o (\S+)", line):
                form = format_of((tmp_path / name).read_bytes())
                assert form == {"jpg": "jpeg"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
                assert re.search(rf"(?i)content-type: image/{form}", done.stdout)
    assert routes == {"compress", "images", "compare", "inspect", "metrics"}
