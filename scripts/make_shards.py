"""Makes data sets of shards to try things on: make_shards.py FOLDER OUT [--per-shard N].

OUT gets webdataset/000000.tar, ..., in which each picture has a .json and a .cls beside it, and
parquet/pictures.parquet, as Hugging Face's `datasets` lays it out, with the same in columns. A picture's
class is the folder it lies in. The same pictures always give the same files.
"""

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from imgcompress.dataset.names import IMAGE_SUFFIXES


@dataclass(frozen=True)
class Sample:
    key: str
    path: Path
    label: int
    note: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of pictures, searched recursively")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument(
        "--per-shard", type=int, default=100, metavar="N", help="pictures a tar (default: 100)"
    )
    options = parser.parse_args()
    classes, samples = list_samples(options.folder)
    if not samples:
        sys.exit(f"{options.folder}: no pictures found")
    shards = list(write_tars(samples, options.out / "webdataset", options.per_shard))
    file = write_parquet(samples, classes, options.out / "parquet", options.per_shard)
    print(f"{len(samples)} pictures: {len(shards)} tar shards in {shards[0].parent}, {file}")


def list_samples(folder: Path) -> tuple[list[str], list[Sample]]:
    """The names of the classes, and the pictures in the order of their paths."""
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    names = [path.relative_to(folder) for path in paths]
    classes = sorted({name.parent.as_posix() for name in names})
    samples = []
    for index, (path, name) in enumerate(zip(paths, names, strict=True)):
        note = json.dumps({"name": name.as_posix(), "bytes": path.stat().st_size})
        samples.append(Sample(f"{index:06}", path, classes.index(name.parent.as_posix()), note))
    return classes, samples


def write_tars(samples: list[Sample], folder: Path, per_shard: int) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(samples), per_shard)):
        shard = folder / f"{number:06}.tar"
        with tarfile.open(shard, "w") as tar:
            for sample in samples[start : start + per_shard]:
                add(tar, sample.key + sample.path.suffix.lower(), sample.path.read_bytes())
                add(tar, f"{sample.key}.json", sample.note.encode())
                add(tar, f"{sample.key}.cls", b"%d" % sample.label)
        yield shard


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # with neither a time nor an owner
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_parquet(samples: list[Sample], classes: list[str], folder: Path, per_group: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    features = {
        "image": {"_type": "Image"},
        "label": {"names": classes, "_type": "ClassLabel"},
        "note": {"dtype": "string", "_type": "Value"},
    }
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [("image", picture), ("label", pa.int64()), ("note", pa.string())]
    schema = pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})
    file = folder / "pictures.parquet"
    with parquet.ParquetWriter(file, schema) as writer:
        for start in range(0, len(samples), per_group):
            rows = [
                {
                    "image": {"bytes": sample.path.read_bytes(), "path": sample.path.name},
                    "label": sample.label,
                    "note": sample.note,
                }
                for sample in samples[start : start + per_group]
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    return file


if __name__ == "__main__":
    main()
