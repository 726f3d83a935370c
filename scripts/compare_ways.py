"""Recompresses the same pictures in all ways there are and compares: compare_ways.py FOLDER... [OPTIONS].

Crops of the photographs in the FOLDERs are recompressed as a folder of files, as a WebDataset of tar shards
and as a Parquet file; with --ray each of these by --engine ray, too. Every picture must have the same bytes
in all of them, and labels and side files must be as they were. Exit code 1 if not.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from datasets.crops import list_photos, make_crops
from make_shards import list_samples, write_parquet, write_tars
from pyarrow import parquet

STATE = ".imgcompress"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="of photographs")
    parser.add_argument("--pictures", type=int, default=120)
    parser.add_argument("--longest", type=int, default=320, metavar="PX", help="of a crop's side")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--ray", action="store_true", help="by --engine ray, too, on two actors")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="compare-ways-") as name:
        return compare(Path(name), options)


def compare(root: Path, options: argparse.Namespace) -> int:
    """Makes the pictures in three layouts, recompresses each, compares."""
    pictures = root / "files"
    make_crops(list_photos(options.folders), pictures, options.pictures, (64, options.longest), labels=False)
    classes, samples = list_samples(pictures)
    list(write_tars(samples, root / "tars", per_shard=50))
    write_parquet(samples, classes, root / "parquet", per_group=50)
    engines = ["local", "ray"] if options.ray else ["local"]
    results = {}
    faults = []
    for engine in engines:
        for layout, read in (("files", read_files), ("tars", read_tars), ("parquet", read_parquet)):
            out = root / f"{layout}-{engine}"
            words = [f"--preset={options.preset}", "--device=cpu", f"--engine={engine}", "--workers=2"]
            command = [sys.executable, "-m", "imgcompress", "recompress", *words, root / layout, out]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                sys.exit(done.stderr)
            before, _ = read(root / layout)
            results[layout, engine], rest = read(out)
            saved = 100 - 100 * sum(map(len, results[layout, engine])) / sum(map(len, before))
            print(
                f"{layout}, {engine}: {len(before)} pictures, {saved:.1f} % saved, {len(rest)} other values"
            )
            if rest != read(root / layout)[1]:
                faults.append(f"{layout}, {engine}: labels or side files differ")
    first = results["files", "local"]
    for way, found in results.items():
        differing = sum(one != other for one, other in zip(first, found, strict=True))
        if differing:
            faults.append(f"{', '.join(way)}: {differing} pictures differ from those of the folder")
    print("\n".join(faults) or "every picture is the same in all of them, and all else as it was")
    return 1 if faults else 0


def read_files(folder: Path) -> tuple[list[bytes], list[object]]:
    """Pictures in order, and nothing else."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and STATE not in path.parts)
    return [path.read_bytes() for path in paths], []


def read_tars(folder: Path) -> tuple[list[bytes], list[object]]:
    """Pictures, and names and contents of the side files; names without a picture's suffix."""
    pictures, rest = [], []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                file = tar.extractfile(info)
                assert file is not None
                if info.name.endswith((".json", ".cls")):
                    rest.append((path.name, info.name, file.read()))
                else:
                    pictures.append(file.read())
                    rest.append((path.name, info.name.partition(".")[0]))
    return pictures, rest


def read_parquet(folder: Path) -> tuple[list[bytes], list[object]]:
    """Pictures, and the rows of all other columns with the schema."""
    table = parquet.read_table(folder / "pictures.parquet", partitioning=None)
    pictures = [cell["bytes"] for cell in table["image"].to_pylist()]
    return pictures, [str(table.schema), *table.drop_columns("image").to_pylist()]


if __name__ == "__main__":
    sys.exit(main())
