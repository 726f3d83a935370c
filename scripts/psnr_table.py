"""Prints how far off the estimated PSNR of JPEG files is: psnr_table.py FOLDER ... [OPTIONS].

FOLDERS hold photographs: lossless ones count as originals, JPEGs after being shrunk threefold and fivefold.
Each is encoded by every encoder at every quality at 4:2:0 and 4:4:4; the files' own coefficients and tables
are all that the estimate and the source document's rule are given. The package's fit has seen Kodak's and
the camera's photographs: use others, or see what scripts/fit_psnr prints.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import torch
from psnr.report import Judged, error_table
from psnr.samples import ENCODERS, QUALITIES, SAMPLINGS, Sample, originals, samples
from rd.options import integers, size, words

from imgcompress.errors import UsageError
from imgcompress.forensics.psnr import PsnrEstimator


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    pictures = originals(options.folders, options.crop, options.limit)
    made = samples(pictures, options.qualities, options.encoders, options.subsamplings)
    judged = list(judge(made, PsnrEstimator(fit=options.fit)))
    print(
        f"    scripts/psnr_table {' '.join(sys.argv[1:])}\n\n"
        f"{len(pictures)} pictures at {', '.join(options.subsamplings)}. Error: mean absolute error, dB; "
        f"held: intervals of 90 % that hold the truth; width of the interval, dB. The document's rule is "
        f"compared with luma.\n\n{error_table(judged)}"
    )


def judge(made: Iterator[Sample], estimator: PsnrEstimator) -> Iterator[Judged]:
    """Estimates all qualities of a picture by an encoder together."""
    for (_, encoder, subsampling), group in groupby(
        made, key=lambda each: (each.name, each.encoder, each.subsampling)
    ):
        files = list(group)
        found = estimator.estimate(
            torch.stack([each.histograms for each in files]),
            torch.stack([each.tables for each in files]),
            subsampling,
        )
        for file, estimate in zip(files, found, strict=True):
            luma, rgb = estimate.luma, estimate.rgb
            yield Judged(
                encoder,
                file.quality,
                *(value - file.luma for value in (luma.psnr, luma.low, luma.high)),
                *(value - file.rgb for value in (rgb.psnr, rgb.low, rgb.high)),
                file.document - file.luma,
            )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", help="photographs")
    parser.add_argument("--limit", type=int, help="photographs of each folder")
    parser.add_argument("--crop", type=size, metavar="WxH", help="cut from the middle")
    parser.add_argument("--qualities", type=integers, default=QUALITIES, metavar="NUMBERS")
    parser.add_argument("--encoders", type=words, default=tuple(ENCODERS), metavar="NAMES")
    parser.add_argument("--subsamplings", type=words, default=SAMPLINGS, metavar="NAMES")
    parser.add_argument(
        "--fit", type=Path, metavar="FILE", help="of scripts/fit_psnr; the package's if not given"
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))
