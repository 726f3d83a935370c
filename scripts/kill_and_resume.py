"""Kills runs at random moments and lets them go on until all is done: kill_and_resume.py FOLDER... [OPTIONS].

Crops of the photographs in the FOLDERs are recompressed twice: once undisturbed, and once with SIGKILL after
SIGKILL. All files must be the same in the end, and no source may have changed. Exit code 1 if not.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets.crops import list_photos, make_crops

STATE = ".imgcompress"


def main() -> int:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="kill-and-resume-") as name:
        return compare(Path(name), options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="of photographs")
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--longest", type=int, default=320, metavar="PX", help="of a crop's side")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--in-place", action="store_true", help="replace the sources, with a backup")
    return parser.parse_args()


def compare(root: Path, options: argparse.Namespace) -> int:
    """Makes the pictures, runs twice, compares."""
    pictures = root / "pictures"
    make_crops(list_photos(options.folders), pictures, options.pictures, (64, options.longest))
    before = contents(pictures)

    calm = Try(root / "calm", pictures, options)
    code, start, seconds = calm.run(None)
    files, kills = calm.progress(), 0
    print(f"undisturbed: {options.pictures} pictures, {files} files, {seconds:.0f} s, exit code {code}")

    moments = random.Random(options.seed)
    killed = Try(root / "killed", pictures, options)
    for number in range(options.kills):
        # Most while pictures are written, some while the run starts.
        is_early = moments.random() < 0.2
        left = (seconds - start) * (1 - killed.progress() / calm.progress())
        longest = start if is_early else left / (options.kills - number)
        code, _, after = killed.run(moments.uniform(0, longest), is_early)
        kills += code == -signal.SIGKILL
        files, half = killed.progress(), len(killed.temporary())
        print(f"run {number + 1}: exit code {code} after {after:.1f} s, {files} files, {half} temporary")
    code, _, _ = killed.run(None)
    print(f"last run: exit code {code}; {kills} of {options.kills} runs were killed")

    faults = differences(calm.results(), killed.results(), "the undisturbed run's outputs")
    faults += differences(before, contents(pictures), "the sources before")
    if options.in_place:
        faults += differences(calm.backup(), killed.backup(), "the undisturbed run's backup")
        faults += [f"{name}: a source is lost" for name in lost(before, killed.backup(), killed.results())]
    faults += [f"{path}: a temporary file is left" for path in killed.temporary()]
    print("\n".join(faults) or f"all {len(killed.results())} files are the same; every source is as it was")
    return 1 if faults or code != 0 else 0


class Try:
    """One destination, or one copy of the pictures that is recompressed in place."""

    def __init__(self, root: Path, pictures: Path, options: argparse.Namespace) -> None:
        self._root = root
        self._words = [f"--preset={options.preset}", f"--workers={options.workers}", "--device=cpu"]
        if options.in_place:
            shutil.copytree(pictures, root / "out")
            self._words += [str(root / "out"), "--in-place", f"--backup={root / 'backup'}"]
        else:
            self._words += [str(pictures), str(root / "out"), "--copy-others"]

    def run(self, delay: float | None, is_early: bool = False) -> tuple[int, float, float]:
        """Runs, and kills the run some time after its start or after its first new file.

        Args:
            delay: seconds; None to let it be.
            is_early: counted from the start.

        Returns:
            The exit code, seconds to the first new file, and seconds in all.
        """
        started, before = time.monotonic(), self.progress()
        command = [sys.executable, "-m", "imgcompress", "recompress", *self._words]
        with (self._root.parent / "log.txt").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while not is_early and process.poll() is None and self.progress() == before:
            time.sleep(0.05)
        first = time.monotonic() - started
        try:
            code = process.wait(delay)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            code = process.wait()
        return code, first, time.monotonic() - started

    def progress(self) -> int:
        """How many files there are, with those of the backup."""
        whole = (path for path in self._root.rglob("*") if path.suffix != ".tmp" and path.is_file())
        return sum(STATE not in path.parts for path in whole)

    def results(self) -> dict[str, str]:
        """Checksums of all that is to be kept."""
        found = contents(self._root / "out")
        return {name: checksum for name, checksum in found.items() if not name.endswith(".tmp")}

    def backup(self) -> dict[str, str]:
        """Checksums of the sources before they were replaced."""
        return contents(self._root / "backup")

    def temporary(self) -> list[str]:
        """Files that an interrupted write has left."""
        return [path.name for path in self._root.rglob("*.tmp")]


def contents(folder: Path) -> dict[str, str]:
    """Checksums by name, but for what runs note for themselves."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STATE not in path.parts
    }


def differences(expected: dict[str, str], found: dict[str, str], name: str) -> list[str]:
    """A line for each file that is not as it should be."""
    missing = [f"{path}: missing, but among {name}" for path in expected.keys() - found.keys()]
    more = [f"{path}: not among {name}" for path in found.keys() - expected.keys()]
    common = expected.keys() & found.keys()
    return missing + more + [f"{path}: not as in {name}" for path in common if expected[path] != found[path]]


def lost(before: dict[str, str], backup: dict[str, str], now: dict[str, str]) -> list[str]:
    """Sources that are neither in the backup nor where they were."""
    return [name for name, checksum in before.items() if checksum not in (backup.get(name), now.get(name))]


if __name__ == "__main__":
    sys.exit(main())
