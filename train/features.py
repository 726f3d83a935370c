"""All numbers that a fit or a report needs of a pair of pictures, computed once and kept on disk."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import piq
import torch
from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from imgcompress.errors import PictureError, UsageError
from imgcompress.image.color import as_rgb, rgb_to_gray
from imgcompress.image.read import read_picture
from imgcompress.image.write import write_atomically
from imgcompress.perception.cvvdp import CvvdpReference
from imgcompress.perception.masking import MaskedContrastReference
from imgcompress.perception.normalization import LAYER_ENERGIES, RELATIVE_EPSILON, WINDOW
from imgcompress.perception.ssimulacra2 import Ssimulacra2Reference
from imgcompress.perception.vgg import TAP_CHANNELS, VggFeatures, load_trunk
from imgcompress.perception.weights import file_sha256
from imgcompress.shapes import Float
from train.judgments import Item
from train.ssimulacra2_terms import COUNT, ssimulacra2_terms
from train.taps import EXPONENTS, FORMS, Original, compare, prepare

VERSION = 3
"""Of what else the numbers mean; part of their keys on disk."""
ENTRY_BYTES = 4 * (len(FORMS) * len(EXPONENTS) * sum(TAP_CHANNELS) + COUNT) + 4096

DISTANCES = ("ssimulacra2", "masked_contrast", "cvvdp")
"""Metrics of our own, 0 for equal pictures."""
SIMILARITIES = ("psnr", "ssim", "ms_ssim", "iw_ssim", "vif", "fsim", "sr_sim", "dss", "haarpsi", "vsi")
OTHER_DISTANCES = ("gmsd", "ms_gmsd", "mdsi")
SCALARS = (*DISTANCES, *SIMILARITIES, *OTHER_DISTANCES)
_PIQ: dict[str, tuple[Callable[..., Tensor], int]] = {
    "ssim": (piq.ssim, 16),
    "ms_ssim": (piq.multi_scale_ssim, 161),
    "iw_ssim": (piq.information_weighted_ssim, 161),
    "vif": (piq.vif_p, 48),
    "fsim": (piq.fsim, 16),
    "sr_sim": (piq.srsim, 48),
    "dss": (piq.dss, 32),
    "haarpsi": (piq.haarpsi, 16),
    "vsi": (piq.vsi, 16),
    "gmsd": (piq.gmsd, 16),
    "ms_gmsd": (piq.multi_scale_gmsd, 32),
    "mdsi": (piq.mdsi, 16),
}
"""All full-reference measures of piq that need no download, and the shortest side that they take."""


@dataclass(frozen=True)
class Features:
    """Numbers of all items, on the CPU.

    Attributes:
        taps: per form and layer [items, len(EXPONENTS), channels], means of squared differences.
        ssimulacra2_terms: [items, 108].
        scalars: [items] each, by the names in ``SCALARS``; NaN where a picture is too small for a metric.
    """

    taps: dict[str, tuple[Tensor, ...]]
    ssimulacra2_terms: Float[Tensor, "items 108"]
    scalars: dict[str, Tensor]


class FeatureCache:
    """Features on disk, by the content of both pictures and of the trunk; a run that was cut off goes on.

    Args:
        folder: where the files lie, about 50 kB a pair.
        trunk: the VGG16 weights.
        max_megabytes: above it, the entries that were not used for longest go.
        max_megapixels: larger pictures are refused; VGG16's first layers take about 800 bytes a pixel.
    """

    def __init__(
        self, folder: Path, trunk: Path, max_megabytes: float = 1000.0, max_megapixels: float = 8.5
    ) -> None:
        self._folder = folder
        self._trunk_path = trunk
        self._trunk_hash = file_sha256(trunk)
        self._max_bytes = max_megabytes * 1e6
        self._max_megapixels = max_megapixels
        self._trunk: VggFeatures | None = None
        self._reference: tuple[Path, _Reference] | None = None

    def features(self, items: Sequence[Item], *, progress: bool = True) -> Features:
        """Features of all items, computed where they are not on disk.

        Args:
            items: pairs of pictures.
            progress: whether a bar is shown on stderr while anything is computed.

        Raises:
            UsageError: a picture can't be read, is too small, too large or not of its reference's size (the
                message names file, row and column); or the items alone need more than ``max_megabytes``.
        """
        if len(items) * ENTRY_BYTES > self._max_bytes:
            raise UsageError(
                f"{len(items)} pairs need {len(items) * ENTRY_BYTES / 1e6:.0f} MB of cache, "
                f"more than max_megabytes ({self._max_bytes / 1e6:g})"
            )
        files = {path for item in items for path in (item.reference, item.test)}
        hashes = {path: file_sha256(path) for path in files}
        paths = [self._path(hashes[item.reference], hashes[item.test]) for item in items]
        # Studies may share pairs: each is looked at once.
        pairs = dict(zip(paths, items, strict=True))
        entries = {path: entry for path in pairs if (entry := _read(path)) is not None}
        missing = sorted(pairs.keys() - entries.keys(), key=lambda path: str(pairs[path].reference))
        for path in track(
            missing,
            "features",
            console=Console(stderr=True),
            disable=not (progress and missing),
            show_speed=False,
        ):
            entries[path] = self._compute(pairs[path])
            write_atomically(path, save(entries[path]))
        self._reference = None
        for path in pairs:
            os.utime(path)
        self._prune()
        stacked = {name: torch.stack([entries[path][name] for path in paths]) for name in entries[paths[0]]}
        return Features(
            {form: tuple(stacked[f"{form}.{layer}"] for layer in range(3)) for form in FORMS},
            stacked["ssimulacra2_terms"],
            {name: stacked[name] for name in SCALARS},
        )

    @property
    def trunk_sha256(self) -> str:
        """Hash of the trunk's file."""
        return self._trunk_hash

    def _path(self, reference: str, test: str) -> Path:
        # What the forms mean is part of it: a new constant makes new features.
        forms = f"{RELATIVE_EPSILON} {LAYER_ENERGIES} {WINDOW}"
        state = f"{VERSION} {forms} {reference} {test} {self._trunk_hash}".encode()
        key = hashlib.sha256(state).hexdigest()[:40]
        return self._folder / key[:2] / f"{key}.safetensors"

    def _compute(self, item: Item) -> dict[str, Tensor]:
        if self._trunk is None:
            self._trunk = load_trunk(self._trunk_path)
        if self._reference is None or self._reference[0] != item.reference:
            self._reference = None  # two at once would double the memory
            self._reference = (
                item.reference,
                _Reference(self._trunk, self._read_picture(item, item.reference)),
            )
        reference = self._reference[1]
        test = self._read_picture(item, item.test)
        if test.shape != reference.rgb.shape:
            sizes = [f"{picture.shape[3]} x {picture.shape[2]}" for picture in (test, reference.rgb)]
            raise UsageError(f"{item.place}: {item.test} is {sizes[0]} pixels, its reference {sizes[1]}")
        return reference.compare(self._trunk, test)

    def _read_picture(self, item: Item, path: Path) -> Tensor:
        try:
            picture = read_picture(path.read_bytes(), self._max_megapixels)
        except (OSError, PictureError) as error:
            raise UsageError(f"{item.place}: {path}: {error}") from error
        if min(picture.height, picture.width) < 16:
            raise UsageError(
                f"{item.place}: {path}: {picture.width} x {picture.height} pixels; 16 are needed"
            )
        scale = 255.0 if picture.pixels.dtype == torch.uint8 else 65535.0
        return as_rgb(picture.pixels.to(torch.float32)[None] / scale)

    def _prune(self) -> None:
        entries = [(path.stat(), path) for path in self._folder.glob("??/*.safetensors")]
        total = sum(stat.st_size for stat, _ in entries)
        for stat, path in sorted(entries, key=lambda entry: entry[0].st_mtime):
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size


class _Reference:
    """A reference, prepared for all metrics."""

    def __init__(self, trunk: VggFeatures, rgb: Tensor) -> None:
        self.rgb = rgb
        self._taps: Original = prepare(trunk, rgb)
        self._metrics: dict[str, Callable[[Tensor], Tensor]] = {
            "ssimulacra2": Ssimulacra2Reference(rgb).distance,
            "masked_contrast": MaskedContrastReference(rgb).distance,
            "cvvdp": CvvdpReference(rgb).distance,
        }

    @torch.no_grad()
    def compare(self, trunk: VggFeatures, test: Tensor) -> dict[str, Tensor]:
        means = compare(trunk, self._taps, test)
        values = {
            f"{form}.{layer}": mean for form, layers in means.items() for layer, mean in enumerate(layers)
        }
        values["ssimulacra2_terms"] = ssimulacra2_terms(self.rgb, test)
        for name, distance in self._metrics.items():
            values[name] = distance(test)[0]
        error = rgb_to_gray(test) - rgb_to_gray(self.rgb)
        values["psnr"] = (-10 * error.square().mean().log10()).clamp(max=100)
        for name, (measure, smallest) in _PIQ.items():
            is_large = min(test.shape[-2:]) >= smallest
            values[name] = measure(test, self.rgb, data_range=1.0) if is_large else torch.tensor(torch.nan)
        return {name: value.to("cpu", torch.float32).contiguous() for name, value in values.items()}


def _read(path: Path) -> dict[str, Tensor] | None:
    """An entry, or None where there is none or a damaged one."""
    try:
        return load(path.read_bytes())
    except (FileNotFoundError, SafetensorError):
        return None
