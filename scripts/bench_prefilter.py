"""Whether WebP and AVIF gain from pictures that are changed for them: bench_prefilter.py FOLDER [OPTIONS].

`blur S` mixes a 3x3 binomial blur in where the attention map is below its mean, `sharpen S` the contrary, in
proportion. `descend S` encodes twice: the second time the picture is moved against the gradient of the JPEG
loop's objective at what the first one showed, by S times that encoding's root mean square error. What is
printed are BD-rates against the picture as it is, percent, mean over pictures; positive: more bytes.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from bench_rd import run
from rd.at_target import judges
from rd.bdrate import Curve, bd_rate
from rd.measure import prepare_workers
from rd.options import size
from rd.pictures import PictureFile, list_pictures
from rd.scores import Metric, as_tensor, metrics
from torch import Tensor

from imgcompress.config import AttentionConfig, AvifConfig, ObjectiveConfig, WebpConfig
from imgcompress.dataset.attention_picture import attention_of
from imgcompress.formats.avif import AvifCodec
from imgcompress.formats.codec import Codec
from imgcompress.formats.webp import WebpCodec
from imgcompress.image.color import rgb_to_gray
from imgcompress.image.picture import Picture
from imgcompress.perception.objective import MixedObjective

NOMINAL = (55.0, 65.0, 75.0, 82.0, 88.0)
WAYS = (("blur", 0.25), ("blur", 0.5), ("sharpen", 0.25), ("descend", 0.03), ("descend", 0.1))
CODECS: dict[str, Codec] = {"webp": WebpCodec(WebpConfig()), "avif": AvifCodec(AvifConfig())}


@dataclass(frozen=True)
class Task:
    """What a worker does: one picture in one format."""

    picture: PictureFile
    form: str

    @property
    def title(self) -> str:
        """For the line of progress."""
        return f"{self.picture.name}, {self.form}"


@dataclass(frozen=True)
class Rate:
    """A way's BD-rate by metric on one picture."""

    form: str
    way: str
    rates: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crop", type=size, default=(384, 384), metavar="WxH", help="cut from the middle")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    options = parser.parse_args()
    prepare_workers(1)
    pictures = list_pictures(options.folder, options.crop, options.limit)
    rates = run(measure, [Task(picture, form) for picture in pictures for form in CODECS], options.jobs)
    names = [metric.title for metric in used()]
    print(f"\n`scripts/bench prefilter {' '.join(sys.argv[1:])}`: {len(pictures)} pictures\n")
    print("| format | way | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 2) + "|")
    for form in CODECS:
        for way in dict.fromkeys(rate.way for rate in rates):
            own = [rate.rates for rate in rates if (rate.form, rate.way) == (form, way)]
            cells = [f"{np.nanmean([rate[metric.name] for rate in own]):+.1f}" for metric in used()]
            print(f"| {form} | {way} | " + " | ".join(cells) + " |")


def used() -> list[Metric]:
    """SSIMULACRA2, and metrics that the objective does not hold as they are."""
    others = [metric for metric in metrics(vgg=False)[0] if metric.name in ("butteraugli", "cvvdp")]
    return [judges()[1], *others]


def measure(task: Task) -> list[Rate]:
    """All ways on one picture."""
    codec = CODECS[task.form]
    original = as_tensor(task.picture.pixels)
    plain = curves(task, lambda quality: encode(codec, original, quality))
    rates = []
    for name, strength in WAYS:
        if name == "descend":
            way = descending(codec, original, strength)
        else:
            filtered = filtered_by_map(original, strength if name == "blur" else -strength)
            way = lambda quality, filtered=filtered: encode(codec, filtered, quality)  # noqa: E731
        changed = curves(task, way)
        found = {metric: bd_rate(changed[metric], plain[metric]) for metric in plain}
        rates.append(Rate(task.form, f"{name} {strength:g}", found))
    return rates


def curves(task: Task, way: Callable[[float], bytes]) -> dict[str, Curve]:
    """Bytes and scores of a way, by metric."""
    codec, pixels = CODECS[task.form], task.picture.pixels
    files = [way(codec.quality_of_score(nominal)) for nominal in NOMINAL]
    shown = [codec.decode(data).pixels.permute(1, 2, 0).numpy() for data in files]
    return {
        metric.name: Curve(
            [len(data) for data in files], [metric.axis(metric.measure(pixels, each)) for each in shown]
        )
        for metric in used()
    }


def encode(codec: Codec, rgb: Tensor, quality: float) -> bytes:
    pixels = (rgb[0] * 255).round().clamp(0, 255).byte()
    return codec.encode(Picture(pixels, "png"), quality, codec.samplings[0], None)


def filtered_by_map(rgb: Tensor, strength: float) -> Tensor:
    """Blurred (or, below 0, sharpened) in proportion to how far attention lies below 0.5."""
    attention = attention_of(rgb_to_gray(rgb) * 255, AttentionConfig())
    share = 2 * strength * (0.5 - attention).clamp(min=0)
    share = F.interpolate(share[:, None], size=rgb.shape[-2:], mode="bilinear")
    row = torch.tensor([0.25, 0.5, 0.25])
    kernel = (row[:, None] * row).expand(3, 1, 3, 3)
    blurred = F.conv2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return rgb + share * (blurred - rgb)


def descending(codec: Codec, rgb: Tensor, strength: float) -> Callable[[float], bytes]:
    """Encodes, looks at the damage, and encodes what is moved against it."""
    objective = MixedObjective(rgb, ObjectiveConfig())

    def way(quality: float) -> bytes:
        first = codec.decode(encode(codec, rgb, quality)).pixels[None] / 255
        shown = first.requires_grad_()
        (gradient,) = torch.autograd.grad(objective(shown).sum(), shown)
        error = (shown.detach() - rgb).square().mean().sqrt()
        moved = rgb - strength * error * gradient / gradient.square().mean().sqrt()
        return encode(codec, moved, quality)

    return way


if __name__ == "__main__":
    main()
