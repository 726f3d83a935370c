"""What each piece of the perceptual model is worth: ablate_perception.py [OPTIONS].

One table of two parts. The distance: every settings file of configs/ablations/perception is laid over the
default fit, fitted from the cached features and judged out of fold. The attention map: bytes of `balanced`
at equal score on Kodak, with each of configs/ablations/attention-*.yaml and without the map, against the map
as it is. A run that was cut off goes on.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from rd.bdrate import summarize

ROOT = Path(__file__).resolve().parents[1]
ABLATIONS = ROOT / "configs" / "ablations"
DEFAULT = ROOT / "configs" / "train" / "default.yaml"
BYTES = {"ssimulacra2": "SSIMULACRA2", "butteraugli": "butteraugli 3-norm", "cvvdp": "ColorVideoVDP"}

Row = dict[str, str]


def main() -> None:
    options = parse()
    rows = {"default": fit("default", None, options)}
    for overlay in sorted((ABLATIONS / "perception").glob("*.yaml")):
        if missing := missing_judgments(overlay):
            print(f"{overlay.stem} is left out: {missing} is not there (scripts/make_pairs)", file=sys.stderr)
            continue
        rows[overlay.stem] = fit(overlay.stem, overlay, options)
    if not options.no_bytes:
        rows |= map_rows(options)
    print(table(rows))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "ablate", help="fits and measurements")
    parser.add_argument("--no-bytes", action="store_true", help="leave out the attention map, which encodes")
    parser.add_argument("--photographs", type=Path, default=ROOT.parent / "shared" / "photos" / "kodak")
    parser.add_argument("--limit", type=int, help="only the first N photographs")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes of the encodes")
    parser.add_argument(
        "train", nargs="*", help="after --: options for every fit, as for python -m train fit"
    )
    options = parser.parse_args()
    # Other commands get them, which run in the repository.
    options.out, options.photographs = options.out.resolve(), options.photographs.resolve()
    return options


def missing_judgments(overlay: Path) -> str | None:
    """A file of judgments that the settings name and that nobody has made yet."""
    data = yaml.safe_load(overlay.read_text(encoding="utf-8")).get("data", {})
    return next((file for file in data.get("judgments", []) if not (ROOT / file).is_file()), None)


def fit(name: str, overlay: Path | None, options: argparse.Namespace) -> Row:
    """The out-of-fold figures of one fit, a column a study and figure."""
    output = options.out / f"{name}.safetensors"
    configs = [DEFAULT] if overlay is None else [DEFAULT, overlay]
    run(
        [
            *("-m", "train", "fit"),
            *(f"--config={path}" for path in configs),
            f"--trainer.default_root_dir={options.out / name}",
            "--trainer.enable_progress_bar=false",
            *options.train,
            *(f"--output={output}", "--force"),
        ]
    )
    card = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    return {
        f"{study}, {figure}": "" if value is None else f"{value:.4f}"
        for study, figures in card["out_of_fold"].items()
        for figure, value in figures.items()
    }


def map_rows(options: argparse.Namespace) -> dict[str, Row]:
    """BD-rates of `balanced` with parts of the attention map, against all of it."""
    configs = [ABLATIONS / "no-map.yaml", *sorted(ABLATIONS.glob("attention-*.yaml"))]
    limit = [] if options.limit is None else [f"--limit={options.limit}"]
    run(
        [
            *(str(ROOT / "scripts" / "bench_rd.py"), str(options.photographs), "--no-peers"),
            *("--preset=balanced", *(f"--config={path}" for path in configs)),
            *("--crop=512x384", "--qualities=45,62,76,88", f"--jobs={options.jobs}", *limit),
            f"--out={options.out / 'map'}",
        ]
    )
    with (options.out / "map" / "rates.csv").open(encoding="utf-8", newline="") as file:
        rates = list(csv.DictReader(file))
    rows: dict[str, Row] = {}
    for encoder in dict.fromkeys(rate["encoder"] for rate in rates):
        row = rows.setdefault(encoder.removeprefix("ours: "), {})
        for metric, title in BYTES.items():
            mine = [
                float(r["bd_rate_percent"]) for r in rates if (r["encoder"], r["metric"]) == (encoder, metric)
            ]
            if mine:
                found = summarize(mine)
                row[f"bytes, {title}"] = f"{found.mean:+.2f} % [{found.low:+.2f}, {found.high:+.2f}]"
    return rows


def run(words: Sequence[str]) -> None:
    """Another command of the repository with this Python; what it prints goes to stderr."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=sys.stderr, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: ended with {done.returncode}")


def table(rows: dict[str, Row]) -> str:
    """Markdown; a cell is empty where a row has no such figure."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(row.get(column, "") for column in columns) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
