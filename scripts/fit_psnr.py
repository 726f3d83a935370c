"""Fits what imgcompress/forensics/psnr.py reads: fit_psnr.py FOLDER ... --output FILE.

FOLDERS hold photographs: lossless ones count as originals, JPEGs after being shrunk threefold and fivefold.
Spectra of all of them, at several sizes, give the prior. Then files of three encoders at several qualities
are estimated with priors that have not seen their photograph, and the calibration is fitted to what is off.
Printed is how far off files of photographs are that neither prior nor calibration has seen.
"""

import argparse
from pathlib import Path

import torch
from psnr.fitting import Counted, Seen, fit_calibration, fit_prior, joined, judged, seen
from psnr.report import Judged, error_table
from psnr.samples import ENCODERS, QUALITIES, SAMPLINGS, Sample, originals, samples
from psnr.spectra import spectra

from imgcompress.forensics.dead_zone import TableKind
from imgcompress.forensics.psnr_calibration import Calibration, save_fit

ENCODER_NAMES = tuple(ENCODERS)
PRIORS = ("444", "422", "440", "420")
FOLDS = 5
CROP = (512, 384)
COVERAGE = 0.9


def main() -> None:
    options = parse()
    whole = originals(options.folders, None, options.limit)
    rows = {name: spectra(whole, name) for name in PRIORS}
    priors = {name: fit_prior(row) for name, (row, _) in rows.items()}
    photographs = sorted({picture.name for picture in whole})
    folds = [set(photographs[start::FOLDS]) for start in range(min(FOLDS, len(photographs)))]

    pictures = originals(options.folders, CROP, options.limit)
    files = [Counted.of(each) for each in samples(pictures, QUALITIES, ENCODER_NAMES)]
    parts, order = [], []
    for name in SAMPLINGS:
        row, names = rows[name]
        for fold in folds:
            prior = fit_prior(row[torch.tensor([each not in fold for each in names])])
            held = [each for each in files if each.sample.subsampling == name and each.sample.name in fold]
            parts.append(seen(held, prior, name))
            order += [each.sample for each in held]
    everything = joined(parts)
    calibration, tables = with_reach(fit_calibration(everything), everything, folds, order)
    save_fit(options.output, priors, calibration)
    print(f"{options.output}: {len(everything.names)} files of {len(photographs)} photographs.\n\n{tables}")


def with_reach(
    calibration: Calibration, everything: Seen, folds: list[set[str]], order: list[Sample]
) -> tuple[Calibration, str]:
    """The reach that holds 90 % of the errors of fits without the photograph, and tables of those errors."""
    errors = torch.zeros(2, *everything.truth.shape, dtype=torch.float64)
    scales = torch.zeros_like(errors)
    for fold in folds:
        inside = torch.tensor([name in fold for name in everything.names])
        others = fit_calibration(everything.rows(torch.nonzero(~inside)[:, 0]))
        held = everything.rows(torch.nonzero(inside)[:, 0])
        for index, each in enumerate((held, held.unrecognized())):
            errors[index, inside], scales[index, inside] = judged(others, each)
    known, other = (
        torch.quantile(error.abs() / scale, COVERAGE, dim=0)
        for error, scale in zip(errors, scales, strict=True)
    )
    reach = known[:, None].repeat(1, len(TableKind))
    reach[:, TableKind.OTHER] = other
    tables = []
    for title, error, half in (
        ("Tables recognized", errors[0], scales[0] * known),
        ("Tables ignored", errors[1], scales[1] * other),
    ):
        rows = [
            _judged(sample, *of_file)
            for sample, *of_file in zip(order, error.tolist(), half.tolist(), strict=True)
        ]
        tables.append(f"{title}, out of fold:\n\n{error_table(rows)}")
    return calibration._replace(reach=reach), "\n\n".join(tables)


def _judged(sample: Sample, error: list[float], half: list[float]) -> Judged:
    (luma, rgb), (luma_half, rgb_half) = error, half
    return Judged(
        sample.encoder,
        sample.quality,
        luma,
        luma - luma_half,
        luma + luma_half,
        rgb,
        rgb - rgb_half,
        rgb + rgb_half,
        sample.document - sample.luma,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", help="photographs")
    parser.add_argument("--output", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--limit", type=int, help="photographs of each folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
