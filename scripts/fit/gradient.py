"""Descends the predicted bits at equal damage over the seven numbers of a table shape.

Through soft quantization, with a smooth model of the bits, and the closed loop's objective D:

    J = mean over pictures and reference steps of  log bits + k log D,   k = -d log bits / d log D

k is the slope along the reference step where the descent begins: a scale of all steps moves along it and
gains nothing, so that a change of J is one of log bits at equal D. Dead zone, trellis, loop and deringing
take no part.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from rd.bdrate import Curve, bd_rate
from rd.pictures import PictureFile
from torch import Tensor

from fit.shapes import RATIO_BOUNDS, TILT_BOUNDS, TILTS, shape_of
from imgcompress.config import Config
from imgcompress.encode import Encoder
from imgcompress.image.dct import inverse_dct
from imgcompress.image.picture import Picture
from imgcompress.image.planes import pixels_from_planes
from imgcompress.layout import choose_layout
from imgcompress.quantization.quantize import Rounding, dequantize, quantize, round_half_away
from imgcompress.quantization.rates import code_length_estimates, symbol_counts
from imgcompress.quantization.soft import SoftRounding, expected_ac_bits, laplacian_bits
from imgcompress.quantization.tables import MAX_STEP, TableShape, imgcompress_tables, whole_steps


@dataclass(frozen=True)
class MixedRounding:
    """Annealed below 2, straight through beyond: right in the steps for few coefficients, too.

    The annealed slope of one coefficient in its step is off by up to some ``|c / q|``, which averages out
    over many small ones, but not over the DC of a thousand blocks. Straight through misses what becomes 0.

    Attributes:
        temperature: of the annealed part.
    """

    temperature: float = 0.1

    def __call__(self, values: Tensor) -> Tensor:
        small = SoftRounding("annealed", self.temperature)(values)
        return torch.where(values.abs() < 2, small, SoftRounding("straight_through")(values))


class Scene:
    """A picture ready to be quantized softly.

    Args:
        picture: what it shows.
        config: names the objective and the subsampling.
    """

    def __init__(self, picture: PictureFile, config: Config) -> None:
        self.name = picture.name
        source = Picture(torch.from_numpy(picture.pixels).permute(2, 0, 1).contiguous(), "png")
        # Without rounds there would be no objective; none is run.
        looped = replace(config, loop=replace(config.loop, rounds=1))
        encoder = Encoder(looped, torch.device("cpu"))
        self._prepared = encoder.prepare([source], choose_layout(source, config.subsampling, 0.0))

    def log_bits_and_damage(
        self, numbers: Tensor, step: float, rounding: Rounding, rounded: bool = False
    ) -> Tensor:
        """Log bits and log D, ``[2]``, differentiable in the numbers of the shape.

        Args:
            numbers: of the shape, ``[7]``.
            step: the reference step.
            rounding: of the coefficients.
            rounded: whether the tables are rounded, as those of a file are.
        """
        prepared = self._prepared
        assert prepared.objective is not None
        meant = imgcompress_tables(
            torch.tensor([step]),
            prepared.shares,
            chroma_area=prepared.layout.sampling.chroma_area,
            shape=numbers,
        )
        tables = whole_steps(meant) if rounded else meant.clamp(1, MAX_STEP)
        steps = [tables[:, number] for number in prepared.layout.table_of_component]
        values, decoded = [], []
        for plane, table in zip(prepared.coefficients, steps, strict=True):
            values.append(quantize(plane, table, rounding=rounding))
            decoded.append(inverse_dct(dequantize(values[-1], table)))
        pixels = pixels_from_planes(tuple(decoded), prepared.geometry.sampling)
        damage = prepared.objective((pixels / 255).clamp(0, 1))
        return torch.cat((torch.log(self._bits(values, steps)), damage))

    def _bits(self, values: Sequence[Tensor], steps: Sequence[Tensor]) -> Tensor:
        """AC by the code lengths of these very values, DC by the entropy of its differences."""
        geometry = self._prepared.geometry
        # The lengths are the best ones for these counts: to first order their own change costs nothing.
        with torch.no_grad():
            whole = [round_half_away(plane).to(torch.int16) for plane in values]
            counts = symbol_counts(whole, geometry.sampling, geometry.heights, geometry.widths)
            lengths = code_length_estimates(counts)
        bits = torch.zeros(1)
        for component, plane in enumerate(values):
            ac_table = 1 if component == 0 else 3
            bits = bits + expected_ac_bits(plane, lengths[:, ac_table]).sum((1, 2))
            coefficients = self._prepared.coefficients[component]
            bits = bits + laplacian_bits(coefficients, steps[component])[:, 0, 0]
        return bits


@dataclass(frozen=True)
class Descent:
    """What a descent found.

    Attributes:
        shape: the last one.
        start, end: J at the first and at the last shape.
        saving: what the last shape takes beside the first at equal D, percent, negative is fewer: the BD-rate
            of the model's own curves over the reference steps, mean over pictures.
        saving_rounded: the same with coefficients and steps rounded.
    """

    shape: TableShape
    start: float
    end: float
    saving: float
    saving_rounded: float


def descend(
    scenes: Sequence[Scene],
    start: TableShape,
    steps: Sequence[float],
    rounding: Rounding,
    *,
    iterations: int,
    rate: float,
) -> Descent:
    """Adam on tilts and logarithms of ratios.

    Args:
        scenes: the pictures.
        start: the first shape.
        steps: reference steps, at least two different ones.
        rounding: with gradients.
        iterations: gradients of J over all pictures and steps.
        rate: Adam's at first; it goes down to 0 along a line.

    Raises:
        ValueError: D does not grow with the steps on a picture, which then says nothing.
    """
    steps = sorted(steps)
    before = _curves(scenes, start, steps, rounding)
    slopes = []
    for scene, (log_bits, damage) in zip(scenes, before, strict=True):
        if (np.diff(damage) <= 0).any():
            raise ValueError(f"{scene.name}: coarser steps do not damage it")
        slopes.append(-np.gradient(log_bits, damage))
    count = len(scenes) * len(steps)
    free = _free(start).requires_grad_()
    adam = torch.optim.Adam([free], lr=rate)
    values = []
    # The last look takes no step.
    for iteration in range(iterations + 1):
        adam.zero_grad()
        adam.param_groups[0]["lr"] = rate * (1 - iteration / (iterations + 1))
        total = 0.0
        numbers = _numbers(free)
        for scene, slopes_of_scene in zip(scenes, slopes, strict=True):
            for step, slope in zip(steps, slopes_of_scene, strict=True):
                log_bits, damage = scene.log_bits_and_damage(numbers, step, rounding)
                term = (log_bits + float(slope) * damage) / count
                term.backward(retain_graph=True)
                total += float(term.detach())
        values.append(total)
        found = ", ".join(f"{number:.3f}" for number in numbers.tolist())
        print(f"{iteration}: J {total:.5f} at {found}", file=sys.stderr, flush=True)
        if iteration < iterations:
            adam.step()
            with torch.no_grad():
                free[:TILTS].clamp_(*TILT_BOUNDS)
                free[TILTS:].clamp_(*np.log(RATIO_BOUNDS).tolist())
    # As it will be written and read again; a float32 just beyond a bound is on it.
    last = shape_of([round(number, 4) for number in _numbers(free.detach()).tolist()])
    return Descent(
        last,
        values[0],
        values[-1],
        _saving(before, _curves(scenes, last, steps, rounding)),
        _saving(*(_curves(scenes, shape, steps, round_half_away, True) for shape in (start, last))),
    )


Curves = list[tuple[np.ndarray, np.ndarray]]
"""Log bits and log D over the reference steps, one pair a picture."""


@torch.no_grad()
def _curves(
    scenes: Sequence[Scene],
    shape: TableShape,
    steps: Sequence[float],
    rounding: Rounding,
    rounded: bool = False,
) -> Curves:
    numbers = torch.tensor(shape.numbers)
    curves = []
    for scene in scenes:
        points = [scene.log_bits_and_damage(numbers, step, rounding, rounded) for step in steps]
        log_bits, damage = torch.stack(points, dim=1).double().numpy()
        curves.append((log_bits, damage))
    return curves


def _saving(before: Curves, after: Curves) -> float:
    def rate_curve(log_bits: np.ndarray, damage: np.ndarray) -> Curve:
        return Curve(np.exp(log_bits).tolist(), (-damage).tolist())

    pairs = zip(after, before, strict=True)
    return float(np.mean([bd_rate(rate_curve(*new), rate_curve(*old)) for new, old in pairs]))


def _free(shape: TableShape) -> Tensor:
    numbers = torch.tensor(shape.numbers)
    return torch.cat((numbers[:TILTS], numbers[TILTS:].log()))


def _numbers(free: Tensor) -> Tensor:
    return torch.cat((free[:TILTS], free[TILTS:].exp()))
