"""Prints how well an earlier JPEG compression is found: double_compression.py FOLDER... [OPTIONS].

FOLDER holds lossless pictures, or JPEG files: those are looked at as they are, and compressed again after a
reduction to a quarter, which removes the traces of the first time. AUC: how often a file with a past has more
evidence than one without, of all such pairs. Found: the confidence is 1/2 or more. --calibrate prints the
constants of the confidence, fitted to these trials.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from double_trials import ALIGNED, APART, CROP, OWN, PIXELS, SHIFTED, Trial, as_it_is, trials
from make_pairs import PHOTOS
from PIL import Image
from rd.encoders import installed_peers
from rd.options import size
from rd.pictures import LOSSLESS, Pixels
from scipy.optimize import minimize
from scipy.stats import rankdata

from imgcompress.forensics.earlier_steps import ALIGNED_CONFIDENCE, Confidence
from imgcompress.forensics.shifted_grid import PIXELS_CONFIDENCE

WITHIN = 2


def main(words: Sequence[str] | None = None) -> None:
    options = parse(words)
    torch.set_num_threads(1)
    encoders, missing = installed_peers()
    found: list[Trial] = []
    for path in paths(options.folders, options.limit):
        if path.suffix.lower() not in LOSSLESS:
            found += as_it_is(path.read_bytes())
        found += trials(pixels(path, options.crop), encoders, shifted=not options.aligned)
        print(path.name, file=sys.stderr)
    print(f"    scripts/double_compression {' '.join(words or sys.argv[1:])}")
    for sentence in missing:
        print(f"\n{sentence}")
    for lines in (aligned(found), others(found), shifted(found), decoded(found), alarms(found)):
        print("\n" + "\n".join(lines))
    if options.calibrate:
        print(f"\naligned: {calibrate([trial for trial in found if trial.way == ALIGNED])}")
        if not options.aligned:
            print(f"\npixels: {calibrate([trial for trial in found if trial.way != ALIGNED])}")


def paths(folders: Iterable[Path], limit: int | None) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted(p for p in folder.glob("*") if p.suffix.lower() in PHOTOS)[:limit]
    ]


def pixels(path: Path, crop: tuple[int, int] | None) -> Pixels:
    """RGB, cut from the middle; of a JPEG file reduced before."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    if path.suffix.lower() not in LOSSLESS:
        rgb = rgb.reduce(4)
    if crop is not None:
        width, height = (min(a, b) for a, b in zip(crop, rgb.size, strict=True))
        left, top = (rgb.width - width) // 2, (rgb.height - height) // 2
        rgb = rgb.crop((left, top, left + width, top + height))
    return np.array(rgb)


def confidence(trial: Trial) -> float:
    return (ALIGNED_CONFIDENCE if trial.way == ALIGNED else PIXELS_CONFIDENCE).of(trial.fit.evidence)


def auc(positive: Iterable[Trial], negative: Iterable[Trial]) -> float:
    """Area under the receiver's curve, ties half."""
    ours, others = [t.fit.evidence for t in positive], [t.fit.evidence for t in negative]
    ranks = rankdata(ours + others)[: len(ours)]
    return float((ranks.sum() - len(ours) * (len(ours) + 1) / 2) / (len(ours) * len(others)))


def share(found: Sequence[Trial], holds: Callable[[Trial], bool]) -> str:
    return f"{100 * np.mean([holds(trial) for trial in found]):.0f} %" if found else "-"


def near(trial: Trial) -> bool:
    return (
        trial.fit.quality is not None
        and trial.first is not None
        and abs(trial.fit.quality - trial.first) <= WITHIN
    )


def sure(trial: Trial) -> bool:
    return confidence(trial) >= 0.5


def select(found: Iterable[Trial], way: str, kind: str) -> list[Trial]:
    return [trial for trial in found if trial.way == way and trial.kind == kind]


def aligned(found: Sequence[Trial]) -> Iterator[str]:
    twice = select(found, ALIGNED, "twice")
    once = select(found, ALIGNED, "once, libjpeg-turbo")
    yield f"Same grid, libjpeg-turbo both times; without a past: {len(once)} files by it, all qualities."
    yield ""
    yield f"| q2 - q1 | files | AUC | found | first quality within {WITHIN} |"
    yield "|---|---|---|---|---|"
    groups = [(str(apart), [t for t in twice if t.second - t.first == apart]) for apart in APART]
    groups.append(("> 5, all", [t for t in twice if t.second - t.first > 5]))
    groups.append(("< 0, all", [t for t in twice if t.second - t.first < 0]))
    for name, these in groups:
        cells = (f"{auc(these, once):.3f}", share(these, sure), share(these, near))
        yield f"| {name} | {len(these)} | {' | '.join(cells)} |"


def others(found: Sequence[Trial]) -> Iterator[str]:
    yield "Other encoders, same grid: the nearest IJG quality, which need not be the number asked for."
    yield ""
    yield "| encoders | q1, q2 | found | median quality |"
    yield "|---|---|---|---|"
    for kind in sorted({trial.kind for trial in found if ", then " in trial.kind}):
        these = select(found, ALIGNED, kind)
        for pair in sorted({(t.first, t.second) for t in these}):
            some = [t for t in these if (t.first, t.second) == pair]
            middle = np.median([t.fit.quality for t in some if t.fit.quality is not None])
            yield f"| {kind} | {pair[0]}, {pair[1]} | {share(some, sure)} | {middle:.0f} |"


def shifted(found: Sequence[Trial]) -> Iterator[str]:
    twice, once = select(found, SHIFTED, "twice"), select(found, SHIFTED, "once")
    if not twice:
        return
    columns, rows = CROP
    yield f"{columns} columns and {rows} rows cut off between; without a past: {len(once)} files."
    yield ""
    yield f"| q2 - q1 | files | AUC | found | offset right | first quality within {WITHIN} |"
    yield "|---|---|---|---|---|---|"
    groups = [("<= -20", -99, -20), ("-15 to -5", -15, -5), ("0", 0, 0), ("10", 10, 10), ("20 to 45", 20, 45)]
    right = ((-rows) % 8, (-columns) % 8)
    for name, low, high in groups:
        these = [t for t in twice if low <= t.second - t.first <= high]
        cells = (
            f"{auc(these, once):.3f}" if these else "-",
            share(these, sure),
            share(these, lambda t: t.offset == right),
            share(these, near),
        )
        yield f"| {name} | {len(these)} | {' | '.join(cells)} |"


def decoded(found: Sequence[Trial]) -> Iterator[str]:
    kinds = ("was a JPEG", "was a JPEG, cropped")
    never = [t for t in found if t.way == PIXELS and t.kind not in kinds]
    if not never:
        return
    yield f"Decoded pixels without a file's tables; without a past: {len(never)} pictures."
    yield ""
    yield f"| picture | quality | files | AUC | found | quality within {WITHIN} |"
    yield "|---|---|---|---|---|---|"
    for kind in kinds:
        for first in sorted({t.first for t in select(found, PIXELS, kind)}):
            these = [t for t in select(found, PIXELS, kind) if t.first == first]
            cells = (f"{auc(these, never):.3f}", share(these, sure), share(these, near))
            yield f"| {kind} | {first} | {len(these)} | {' | '.join(cells)} |"


def alarms(found: Sequence[Trial]) -> Iterator[str]:
    yield "False alarms: files without a past that are said to have one."
    yield ""
    yield "| looked at | file | files | false alarms | most evidence, nats | highest confidence |"
    yield "|---|---|---|---|---|---|"
    for way in (ALIGNED, SHIFTED, PIXELS):
        for kind in dict.fromkeys(t.kind for t in found if t.way == way and t.first is None):
            these = [t for t in select(found, way, kind) if t.first is None]
            most = max(these, key=lambda trial: trial.fit.evidence)
            yield (
                f"| {way} | {kind} | {len(these)} | {sum(map(sure, these))} | {most.fit.evidence:.0f} "
                f"| {confidence(most):.2f} |"
            )


def calibrate(found: Sequence[Trial]) -> Confidence:
    """Logistic regression on the logarithm of the evidence, files with and without a past weighing the same.

    Pairs of the same quality teach nothing and are left out, as are files whose past is unknown.
    """
    known = [trial for trial in found if trial.kind != OWN]
    these = [trial for trial in known if trial.first is None or trial.first != trial.second]
    past = np.array([trial.first is not None for trial in these])
    logarithm = np.log1p([trial.fit.evidence for trial in these])
    weight = np.where(past, 0.5 / past.mean(), 0.5 / (1 - past.mean()))

    def loss(numbers: np.ndarray) -> float:
        score = numbers[0] * (logarithm - numbers[1])
        return float((weight * np.logaddexp(0, np.where(past, -score, score))).mean())

    slope, middle = minimize(loss, (1.0, 3.0), method="Nelder-Mead").x
    return Confidence(round(float(slope), 2), round(float(middle), 2))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="photographs")
    parser.add_argument("--crop", type=size, metavar="WxH", help="cut from the middle")
    parser.add_argument("--limit", type=int, metavar="N", help="this many pictures of each folder")
    parser.add_argument("--aligned", action="store_true", help="leave out what is looked at in pixels")
    parser.add_argument("--calibrate", action="store_true", help="fit the confidence to these trials")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
