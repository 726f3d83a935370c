"""A server of its own process, for the scripts that ask it things."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        pid: its process.
        url: where it answers.
    """

    pid: int
    url: str

    @property
    def resident_megabytes(self) -> float:
        """Memory of the process that is in use (Linux)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) / 1024


@contextmanager
def running(words: Sequence[str]) -> Iterator[Server]:
    """Runs ``python WORDS --port=0`` until the context ends; its log must be uvicorn's."""
    with tempfile.TemporaryFile("w+") as log:
        path = str(Path(__file__).resolve().parents[1])
        command = [sys.executable, *words, "--port=0"]
        process = subprocess.Popen(
            command, stderr=log, env=os.environ | {"PYTHONPATH": f"{path}:{path}/scripts"}
        )
        try:
            while True:
                log.seek(0)
                text = log.read()
                if match := re.search(r"running on (http://\S+)", text):
                    break
                if process.poll() is not None:
                    raise SystemExit(text)
                time.sleep(0.1)
            yield Server(process.pid, match[1])
        finally:
            process.terminate()
            process.wait()
