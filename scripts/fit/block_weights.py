"""Regresses the weights that the closed loop finds for blocks on the attention map's three cells.

    ln W = strength_32 M_32 + strength_16 M_16 + strength_8 M_8,    no strength below 0,

W and M each less its mean over the picture. W comes from a loop that starts without a map.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from rd.pictures import PictureFile
from scipy.optimize import nnls
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from imgcompress.config import AttentionConfig, Config
from imgcompress.encode import Encoder
from imgcompress.image.picture import Picture
from imgcompress.layout import choose_layout
from imgcompress.perception.attention import cell_maps

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """The blocks of one plane of one picture.

    Attributes:
        maps: M of the cells, ``[blocks, 3]``, less their means.
        log_weights: measured ln W, ``[blocks]``, less its mean.
    """

    maps: FloatArray
    log_weights: FloatArray

    def explained(self, strengths: FloatArray) -> float:
        """R^2: the share of the variance of ln W that the maps account for; below 0: worse than no map."""
        left = self.log_weights - self.maps @ strengths
        return float(1 - left.dot(left) / self.log_weights.dot(self.log_weights))


def measure_blocks(picture: PictureFile, config: Config, steps: Sequence[float]) -> list[list[Blocks]]:
    """Runs the loop over a picture.

    Args:
        picture: what it shows, in color, with an even number of blocks each way.
        config: the loop's settings.
        steps: reference steps.

    Returns:
        For every component, for every step.
    """
    source = Picture(torch.from_numpy(picture.pixels).permute(2, 0, 1).contiguous(), "png")
    encoder = Encoder(replace(config, attention=AttentionConfig(enabled=False)), torch.device("cpu"))
    prepared = encoder.prepare([source], choose_layout(source, config.subsampling, 0.0))
    assert prepared.luma is not None
    geometry = prepared.geometry
    real = [geometry.real_blocks(component, torch.device("cpu")) for component in range(3)]
    maps = cell_maps(prepared.luma, real[0])
    found: list[list[Blocks]] = [[], [], []]
    for step in steps:
        state = encoder.quantize(prepared, [step]).state
        for component, weights in enumerate(state.weights):
            own = adaptive_avg_pool2d(maps, geometry.padded_grid(component))
            # Of the start, W = 1, the mean of rounds has kept this much.
            share = 1 - 0.5**config.loop.rounds
            inside = real[component][0]
            each = Blocks(_centered(own[0, :, inside].T), _centered(weights[0, inside].log() / share))
            found[component].append(each)
    return found


def fit(blocks: Sequence[Blocks]) -> FloatArray:
    """The strengths of the three cells, none below 0, by least squares over all blocks."""
    maps = np.concatenate([each.maps for each in blocks])
    log_weights = np.concatenate([each.log_weights for each in blocks])
    return np.asarray(nnls(maps, log_weights)[0])


@dataclass(frozen=True)
class Validation:
    """Leaving pictures out, one after the other.

    Attributes:
        strengths: fitted to all.
        explained: R^2 of each picture by a fit to the others.
    """

    strengths: FloatArray
    explained: tuple[float, ...]


def validate(pictures: Sequence[Sequence[Blocks]]) -> Validation:
    """Fits to all pictures, and to all but each.

    Args:
        pictures: at least two; of each, its blocks at one or more steps.
    """
    explained = []
    for number, own in enumerate(pictures):
        others = [blocks for other, each in enumerate(pictures) if other != number for blocks in each]
        strengths = fit(others)
        explained.append(float(np.mean([blocks.explained(strengths) for blocks in own])))
    return Validation(fit([blocks for each in pictures for blocks in each]), tuple(explained))


def _centered(values: Tensor) -> FloatArray:
    numbers = values.double()
    centered: FloatArray = (numbers - numbers.mean(0)).numpy()
    return centered
