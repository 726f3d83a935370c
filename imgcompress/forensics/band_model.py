"""How a band of a photograph looks once it is quantized: odds of each value, and the error that is left.

Within a block a DCT coefficient is nearly Gaussian; its variance differs from block to block. Here the
logarithm of its deviation is normally distributed over the blocks, with a spread. Everything is in units of
the quantization step, so that one set of tables serves every band of every file.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from imgcompress.shapes import Float

MAGNITUDES = 128
"""Magnitudes told apart; larger ones count as one, whose error is that of an even density."""
SPREADS = (0.2, 0.5, 0.8, 1.1, 1.4)
"""Standard deviations, over blocks, of the logarithm of a coefficient's deviation."""
THRESHOLDS = (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.05)
"""Magnitudes, in steps, below which a value becomes zero; all others are rounded."""
_LOG_SIZES = (-5.0, 5.4)
_SPACING = 0.2
_NODES = 25


class BandTables(NamedTuple):
    """Of each threshold, spread and size. A size is a root mean square in steps.

    Attributes:
        log_sizes: natural logarithms, evenly spaced.
        log_odds: of each magnitude; the last entry is all from MAGNITUDES on.
        error: mean squared error, in squared steps.
        slope: mean derivative of the error to the quantizer's input: -1 where all is zero, 0 at fine steps.
    """

    log_sizes: Float[Tensor, "sizes"]
    log_odds: Float[Tensor, "thresholds spreads sizes magnitudes"]
    error: Float[Tensor, "thresholds spreads sizes"]
    slope: Float[Tensor, "thresholds spreads sizes"]


def band_tables(device: torch.device | str = "cpu") -> BandTables:
    """The tables, float64.

    For a Gaussian of deviation d and t = y / d, mass, first absolute moment and second moment within
    |x| < y are erf(t / sqrt 2), d sqrt(2 / pi) (1 - exp(-t^2 / 2)) and
    d^2 (mass - t sqrt(2 / pi) exp(-t^2 / 2)).
    An interval that is quantized to n adds second - 2 n first + n^2 mass to the error.

    Args:
        device: where the tables are to be.
    """
    count = round((_LOG_SIZES[1] - _LOG_SIZES[0]) / _SPACING) + 1
    log_sizes = torch.linspace(*_LOG_SIZES, count, dtype=torch.float64, device=device)
    nodes = torch.linspace(-4, 4, _NODES, dtype=torch.float64, device=device)
    shares = torch.softmax(-nodes.square() / 2, 0)
    exponents = torch.tensor(SPREADS, dtype=torch.float64, device=device)[:, None] * nodes
    exponents = exponents - torch.logsumexp(2 * exponents + shares.log(), 1, keepdim=True) / 2
    zero_edges = torch.tensor(THRESHOLDS, dtype=torch.float64, device=device)
    edges = torch.cat((zero_edges, torch.arange(1, MAGNITUDES, dtype=torch.float64, device=device) + 0.5))
    shape = (len(SPREADS), count, len(edges))
    mass, first, second, density = (torch.zeros(shape, dtype=torch.float64, device=device) for _ in range(4))
    root = math.sqrt(2 / math.pi)
    for exponent, share in zip(exponents.unbind(1), shares, strict=True):
        deviation = (log_sizes + exponent[:, None]).exp()[..., None]
        reach = edges / deviation
        bell, within = root * torch.exp(-reach.square() / 2), torch.erf(reach / math.sqrt(2))
        mass += share * within
        first += share * deviation * (root - bell)
        second += share * deviation.square() * (within - reach * bell)
        density += share * bell / deviation
    values = torch.arange(MAGNITUDES, dtype=torch.float64, device=device)
    found = []
    for index in range(len(THRESHOLDS)):
        zero = slice(index, index + 1)
        inside = []
        for each in (mass, first, second):
            moments = torch.cat((each[..., zero], each[..., len(THRESHOLDS) :]), -1)
            inside.append(torch.diff(moments, dim=-1, prepend=torch.zeros_like(moments[..., :1])))
        beyond = 1 - mass[..., -1:]
        within = (inside[2] - 2 * values * inside[1] + values.square() * inside[0]).sum(-1)
        error = within + beyond[..., 0] / 12
        jumps = density[..., index] + density[..., len(THRESHOLDS) :].sum(-1)
        slope = (jumps + beyond[..., 0] - 1).clamp(-1, 0)
        found.append((torch.cat((inside[0], beyond), -1).clamp_min(1e-30).log(), error, slope))
    return BandTables(log_sizes, *(torch.stack(each) for each in zip(*found, strict=True)))
