"""Prints a report as a table and draws its largest saving: show_report.py REPORT.jsonl PICTURE.png."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from imgcompress.dataset.side_by_side import save_side_by_side


def main(report: Path, picture: Path) -> None:
    records = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    table = Table(box=None)
    for heading in ("picture", "status", "pixels", "before", "after", "saved", "scores"):
        table.add_column(heading, no_wrap=True)
    for record in records:
        saved = ""
        if record["bytes_out"] is not None:
            saved = f"{100 - 100 * record['bytes_out'] / record['bytes_in']:.1f} %"
        table.add_row(
            Path(record["source"]).name,
            record["status"],
            f"{record['width']}x{record['height']}",
            f"{record['bytes_in']:,}",
            f"{record['bytes_out'] or 0:,}",
            saved,
            ", ".join(f"{name} {value:.3f}" for name, value in record["scores"].items()),
        )
    console = Console(width=120)
    console.print(table)
    done = [record for record in records if record["status"] == "recompressed"]
    bytes_in, bytes_out = (sum(record[key] for record in done) for key in ("bytes_in", "bytes_out"))
    console.print(f"{len(done)} recompressed: {bytes_in:,} -> {bytes_out:,} bytes")
    best = max(done, key=lambda record: record["bytes_in"] - record["bytes_out"])
    save_side_by_side(Path(best["source"]), Path(best["output"]), picture)
    console.print(f"original, result, where the bits went, where the difference is: {picture}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
