"""Seconds of one encode, alone on the machine: encoders take turns, round after round."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rd.encoders import EncoderSpec
from rd.pictures import PictureFile

QUALITY = 75
"""On each encoder's own scale."""


@dataclass(frozen=True)
class Timing:
    """One encoder.

    Attributes:
        encoder: its name.
        seconds_per_megapixel: median over pictures of the median over rounds.
        low, high: smallest and largest picture median.
        bits_per_pixel: mean over pictures.
    """

    encoder: str
    seconds_per_megapixel: float
    low: float
    high: float
    bits_per_pixel: float


def time_encoders(
    pictures: Sequence[PictureFile], specs: Sequence[EncoderSpec], rounds: int, threads: int
) -> list[Timing]:
    """Times every encoder on every picture, one after the other in this process, nothing from the cache."""
    import torch

    torch.set_num_threads(threads)
    encoders = {spec.name: spec.build() for spec in specs}
    seconds: dict[str, list[float]] = defaultdict(list)
    bits: dict[str, list[float]] = defaultdict(list)
    for picture in pictures:
        of_picture: dict[str, list[float]] = defaultdict(list)
        for turn in range(rounds + 1):
            for name, encode in encoders.items():
                result = encode(picture.pixels, QUALITY)
                if turn > 0:  # the first of a size warms up
                    of_picture[name].append(result.seconds / picture.megapixels)
                else:
                    bits[name].append(8 * len(result.data) / (picture.megapixels * 1e6))
        for name, values in of_picture.items():
            seconds[name].append(statistics.median(values))
    return [
        Timing(name, statistics.median(values), min(values), max(values), statistics.mean(bits[name]))
        for name, values in seconds.items()
    ]


def timing_table(timings: Sequence[Timing], rounds: int, threads: int) -> str:
    """Markdown."""
    lines = [
        f"One encode at quality {QUALITY} of each encoder's own scale, lossless optimization of the scans "
        f"included; {threads} torch threads; median over pictures of {rounds} interleaved rounds.",
        "",
        "| encoder | s/Mpx | over pictures | bits per pixel |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {t.encoder} | {t.seconds_per_megapixel:.3f} | {t.low:.3f}..{t.high:.3f} "
        f"| {t.bits_per_pixel:.2f} |"
        for t in timings
    ]
    return "\n".join(lines) + "\n"
