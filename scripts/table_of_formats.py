"""Runs the command line over folders of odd files and prints a table of statuses into docs/formats.md."""

import contextlib
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imgcompress.cli.program import main as imgcompress

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "formats.md"
FOLDERS = [ROOT.parent / "shared" / "formats" / name for name in ("weird", "corrupt", "deep")]
MARKER = "<!-- All below is written by scripts/table_of_formats. -->\n"


def records_of(folder: Path, *options: str) -> list[dict[str, Any]]:
    """What the command line reports of a folder's files, in their order."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.jsonl")
        words = ["recompress", str(folder), str(Path(scratch, "out")), "--report", str(report), *options]
        with contextlib.redirect_stdout(io.StringIO()):
            code = imgcompress(words)
        if code not in (0, 1):  # 1: some files failed
            sys.exit(code)
        return [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]


def table(name: str, records: Iterable[dict[str, Any]]) -> str:
    """A heading, counts, and a row a file. What is recompressed or not smaller has no sentence."""
    records = list(records)
    counts = Counter(f"{record['status']} ({record['reason']})" for record in records)
    lines = [f"## {name}: {len(records)} files", ""]
    lines += ["; ".join(f"{count} {words}" for words, count in sorted(counts.items())) + ".", ""]
    lines += ["| file | format | status | reason | why |", "|---|---|---|---|---|"]
    for record in records:
        cells = (
            Path(record["source"]).name,
            record["format"],
            record["status"],
            record["reason"],
            record["error"],
        )
        lines.append("| " + " | ".join(_cell(value) for value in cells) + " |")
    return "\n".join([*lines, ""])


def _cell(value: object) -> str:
    return "" if value is None else " ".join(str(value).split()).replace("|", "\\|")


def main(folders: list[Path]) -> None:
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARKER)[0]
    tables = [table(folder.name, records_of(folder)) for folder in folders]
    PAGE.write_text(by_hand + MARKER + "\n" + "\n".join(tables), encoding="utf-8")


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]] or FOLDERS)
