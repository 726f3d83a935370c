"""Fits the score without a reference to photographs: fit_score.py FOLDER... [OPTIONS].

FOLDERs hold photographs. Each is damaged in known ways, SSIMULACRA2 says how badly, and what decoded pixels
tell is fitted to that. The table's figures are of fits that have not seen the picture: pictures are dealt to
folds, and people's judgments of a picture (--judgments) are compared with the fit that left it out. With
--evaluate-only nothing is saved. --unseen FOLDER shows the saved score photographs that no fit has seen.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch
from make_pairs import list_photos
from rd.comparison import PEERS
from rd.encoders import LIBJPEG, installed_peers

from imgcompress.errors import UsageError
from imgcompress.forensics.features import NAMES
from imgcompress.forensics.natural_scene import NATURAL_SCENE_NAMES
from imgcompress.forensics.score import load_score_model, save_score_model, score_from_root
from train.judgments import Item, read_judgments
from train.score_data import Encode, Recipe, Sample, make_samples
from train.score_features import file_features
from train.score_fit import PLAIN, WORST, Data, FitSettings, deal, fit, out_of_fold, residuals
from train.score_table import Judged, figures, mean_absolute_error, table
from train.studies import convert_studies

ROOT = Path(__file__).resolve().parents[1]
OURS, BRISQUE = "all features", "BRISQUE's alone"


def main() -> None:
    options = parse()
    torch.set_num_threads(1)  # sums in another order give other last digits
    settings, recipe = FitSettings(), Recipe()
    encoders = other_encoders()
    samples = make_all(options.folders, options.cache, encoders, recipe)
    items = judged_items(options.judgments, options.cache)
    data = gather(samples, items, options.cache, settings)
    foretold = {
        OURS: out_of_fold(data, settings),
        BRISQUE: out_of_fold(data.with_features(NATURAL_SCENE_NAMES), settings),
    }
    of_samples = {name: values[: len(samples)] for name, values in foretold.items()}
    studies = judged(items, {name: values[len(samples) :] for name, values in foretold.items()})
    error = mean_absolute_error(samples, of_samples[OURS], WORST)
    pictures = len({sample.picture for sample in samples})
    print(
        f"Rank correlation (SROCC) with pictures that the fit had not seen, of {pictures} photographs in "
        f"{settings.folds} folds; mean absolute error over all samples: {error:.1f}.\n\n"
        f"{table(samples, of_samples, studies)}"
    )
    if not options.evaluate_only:
        about: dict[str, object] = {
            "command": f"scripts/fit_score {' '.join(map(str, options.folders))}",
            "samples": len(samples),
            "photographs": sorted({sample.picture for sample in samples}),
            "samples_sha256": hashlib.sha256(repr(samples).encode()).hexdigest(),
            "out_of_fold_srocc": figures(samples, of_samples[OURS], studies, OURS),
        }
        save(options.output, data, settings, foretold[OURS], about)
    if options.unseen is not None:
        show_unseen(options.unseen, options.output, options.cache, encoders, recipe)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="of photographs")
    parser.add_argument(
        "--judgments", type=Path, metavar="FOLDER", help="that holds TID2013's and MICT's JPEGs (../shared)"
    )
    parser.add_argument("--unseen", type=Path, metavar="FOLDER", help="of photographs not to be learned from")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "checkpoints" / "no_reference_score.safetensors"
    )
    parser.add_argument("--evaluate-only", action="store_true", help="save nothing")
    parser.add_argument("--cache", type=Path, default=ROOT / "out" / "train" / "score")
    return parser.parse_args()


def other_encoders() -> dict[str, Encode]:
    """Beside libjpeg-turbo; a word on stderr for each that is not installed."""
    peers, missing = installed_peers()
    for sentence in missing:
        print(sentence, file=sys.stderr)
    built = {spec.name: spec.build() for spec in peers if spec.name in PEERS and spec.name != LIBJPEG}
    return {
        name: lambda pixels, quality, encode=encode: encode(pixels, quality).data
        for name, encode in built.items()
    }


def make_all(folders: list[Path], cache: Path, encoders: dict[str, Encode], recipe: Recipe) -> list[Sample]:
    """The samples of all photographs.

    Raises:
        UsageError: there is no photograph, or two have one name.
    """
    photos = list_photos(folders, [])
    names = [photo.stem for photo in photos]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two photographs have the same name: {', '.join(twice)}")
    if len(photos) < 2:
        raise UsageError("at least two photographs are needed, one to learn from and one to judge by")
    return [sample for photo in photos for sample in make_samples(photo, cache / "samples", encoders, recipe)]


def judged_items(shared: Path | None, cache: Path) -> tuple[Item, ...]:
    """What people judged; nothing without a folder."""
    return () if shared is None else read_judgments(convert_studies(shared, cache / "studies")).items


def gather(samples: list[Sample], items: Sequence[Item], cache: Path, settings: FitSettings) -> Data:
    """Samples, which are learned from, and then judged pictures, which are not."""
    files = [*(cache / "samples" / sample.file for sample in samples), *(item.test for item in items)]
    pictures = [*(sample.picture for sample in samples), *(item.picture for item in items)]
    folds = deal(pictures, settings.folds, settings.seed)
    weights = [1.0 if sample.kind in PLAIN else settings.other_kinds for sample in samples]
    none = [0.0] * len(items)
    return Data(
        NAMES,
        file_features(files, cache / "features"),
        torch.tensor([*(sample.score for sample in samples), *none]),
        torch.tensor([*weights, *none]),
        torch.tensor([folds[picture] for picture in pictures]),
    )


def judged(items: Sequence[Item], foretold: dict[str, torch.Tensor]) -> list[Judged]:
    """The judged pictures, study by study."""
    studies = []
    for study in sorted({item.study for item in items}):
        rows = [index for index, item in enumerate(items) if item.study == study]
        studies.append(
            Judged(
                study,
                [items[row].score or 0.0 for row in rows],
                [items[row].quality or 0.0 for row in rows],
                {name: values[rows] for name, values in foretold.items()},
            )
        )
    return studies


def save(
    path: Path, data: Data, settings: FitSettings, foretold: torch.Tensor, about: dict[str, object]
) -> None:
    """Writes the fit to everything, and a card beside it."""
    model = fit(data, settings)
    model.residuals.copy_(residuals(data, foretold))
    save_score_model(path, model)
    card = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "settings": asdict(settings),
        "residuals": [round(value, 4) for value in model.residuals.tolist()],
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(f"\nsaved {path}")


def show_unseen(folder: Path, path: Path, cache: Path, encoders: dict[str, Encode], recipe: Recipe) -> None:
    """The table of the saved score for photographs that nothing was fitted to."""
    model = load_score_model(path)
    samples = make_all([folder], cache, encoders, recipe)
    raw = file_features([cache / "samples" / sample.file for sample in samples], cache / "features")
    found = score_from_root(model.roots(model.normalize(raw)))
    error = mean_absolute_error(samples, found, WORST)
    print(f"\n{folder.name}, the saved score; mean absolute error {error:.1f}:\n")
    print(table(samples, {OURS: found}, []))


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
