"""Visible contrast differences after ColorVideoVDP, for still pictures and made for descent.

Both pictures become light on a display, then three opponent channels (achromatic A, red-green, yellow-violet)
and a Laplacian pyramid of each. With e the difference of a band, r the original's band, L the background's
achromatic light (the next coarser level) and S the eye's contrast sensitivity at the band's frequency and L:

    u = |S e / L|^2.26 / (1 + M)                     M: masking by blurred |S r / L|^q of all three channels
    u = u / (1 + u / 367)                            what is far beyond the threshold counts less
    D = 4-norm over bands and channels of (mean over pixels of u^2)^(1/2)

What is left out of the published metric: time; the band of the mean light; the test picture's own background
and masking, for which the original's stand. So all weights are prepared once, and a comparison costs one
pyramid. Its gradients point where the whole metric's do (cosine .96 over 16 pairs of JPEG artifacts in crops
of Kodak pictures, against package cvvdp 0.5.7).

Source: R. K. Mantiuk, P. Hanji, M. Ashraf, Y. Asano, A. Chapiro, "ColorVideoVDP: A visual difference
predictor for image, video and display distortions", ACM Trans. Graphics 43(4), 2024; the constants are those
of its version 0.5.7 for the display "standard_4k". Sensitivities: castleCSF (M. Ashraf et al., Journal of
Vision 24(4), 2024), whose logarithm is fitted here by a parabola of log light from .5 to 220 cd/m2 (largest
error .03, that is 8 %).
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.perception.ssimulacra2 import RADIUS, blur, linear_planes
from imgcompress.perception.tiles import Window, level_means
from imgcompress.shapes import Float, Int, Shaped

_PEAK, _BLACK = 199.8, 0.598
"""cd/m2 of white above black, and of black with the room's light on it."""
# Rows: A, red-green, yellow-violet of linear sRGB (CIE 2006 cone fundamentals, DKL axes for D65 white).
_OPPONENT = (
    (0.23320, 0.72877, 0.08904),
    (0.12761, -0.08705, -0.03677),
    (-0.21476, -0.62631, 0.85141),
)
# log10 S = a (log10 L)^2 + b log10 L + c; a row for each band, from 37.7 cycles a degree down by halves.
_ACHROMATIC = (
    (-0.2033, 1.1198, -0.5737),
    (-0.1573, 0.8472, 0.9036),
    (-0.1291, 0.6801, 1.5229),
    (-0.1009, 0.5131, 1.8775),
    (-0.0727, 0.3460, 1.9632),
)
_RED_GREEN = tuple((-0.0891, 0.5281, at) for at in (0.6091, 1.1310, 1.4151, 1.6518, 1.8001))
_YELLOW_VIOLET = tuple((-0.0555, 0.4263, at) for at in (0.0032, 0.5248, 0.8072, 1.0471, 1.2103))
BANDS = len(_ACHROMATIC)
"""Coarser bands are beyond what 8x8 blocks get wrong: with four the gradients are nearly the same."""
_SMALLEST_SIDE = 2
"""Pixels on the shorter side of a level that can still be halved."""
_GAINS = (1.0, 1.45, 1.0)
_THRESHOLD_POWER = 2.2644
_MASK_BLURS = 4
"""They make a Gaussian of sigma 3 pixels."""
_MASK_POWERS = (1.3026, 2.8886, 3.6808)
_MASK_GAIN = 0.1601
# Row: the channel that masks; column: the one that is masked.
_CROSS_MASKING = ((0.8769, 0.0160, 0.0501), (5.9198, 1.2693, 0.1518), (14.0436, 0.4982, 0.6977))
_SATURATION = 366.6
_BAND_POWER = 4.0
# Keep gradients finite, in float32 too, where nothing differs; a hundredth of what anybody sees.
_EPSILON = 1e-4
_MASK_EPSILON = 1e-9
_REACH = _MASK_BLURS * (RADIUS - 1) + 4
"""How far a band's u sees to each side: through the mask's blurs, and a level that is halved and doubled."""


class CvvdpReference:
    """Originals, prepared once for many comparisons; it holds about 30 bytes a pixel.

    Args:
        picture: RGB or gray, 0..1 or uint8, gamma-coded (sRGB).
        tiled: with bounded memory, as in :class:`~imgcompress.perception.ssimulacra2.Ssimulacra2Reference`.
    """

    def __init__(
        self, picture: Shaped[Tensor, "batch channels height width"], *, tiled: bool = False
    ) -> None:
        self._picture = picture if tiled else None
        self._weights: list[Tensor] = []
        if tiled:
            return
        self._light = level = _opponent_light(picture)
        for number in range(_band_count(*picture.shape[2:])):
            coarser = _halve(level)
            self._weights.append(_weights(level, coarser, number))
            level = coarser

    def distance(self, test: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
        """D of each picture; 0 for equal ones but for rounding, about 1 where differences begin to be seen.

        Args:
            test: of the originals' shape. Gradients are finite everywhere.
        """
        total = test.new_zeros(len(test))
        for means in self._band_means(test):
            total = total + means.pow(_BAND_POWER / 2).sum(1)
        return total.pow(1 / _BAND_POWER)

    def _band_means(self, test: Tensor) -> Iterator[Tensor]:
        """The mean of u^2 of each band's three channels."""
        if self._picture is not None:
            steps = [partial(_step, number) for number in range(_band_count(*test.shape[2:]))]
            yield from level_means(self._picture, test, steps, _REACH)
            return
        difference = _opponent_light(test) - self._light
        for weights in self._weights:
            coarser = _halve(difference)
            yield _visible(difference, coarser, weights).mean((2, 3))
            difference = coarser

    def select(self, rows: Int[Tensor, "kept"]) -> "CvvdpReference":
        """The same for some pictures of the batch.

        Args:
            rows: their places in the batch.
        """
        chosen = object.__new__(CvvdpReference)
        chosen._picture = None if self._picture is None else self._picture[rows]
        if self._picture is None:
            chosen._light = self._light[rows]
        chosen._weights = [weights[rows] for weights in self._weights]
        return chosen


def _band_count(height: int, width: int) -> int:
    """How often a picture can be halved, at least once."""
    bands = 1
    while bands < BANDS and min(height, width) >= 2 * _SMALLEST_SIDE - 1:
        height, width = -(-height // 2), -(-width // 2)
        bands += 1
    return bands


def _visible(difference: Tensor, coarser: Tensor, weights: Tensor) -> Tensor:
    """u^2 at each pixel."""
    seen = (difference - _double(coarser, difference)) * weights
    visible = (seen.square() + _EPSILON).pow(_THRESHOLD_POWER / 2)
    visible = visible / (1 + visible / _SATURATION)
    return visible.square()


def _step(number: int, originals: Tensor, tests: Tensor, own: Window) -> tuple[Tensor, Tensor, Tensor]:
    """The sums of u^2 in one band, and the next level of the originals' light and of the difference."""
    if number == 0:
        originals = _opponent_light(originals)
        tests = _opponent_light(tests) - originals
    coarser_originals, coarser_tests = _halve(originals), _halve(tests)
    weights = _weights(originals, coarser_originals, number)
    visible = _visible(tests, coarser_tests, weights)
    return visible[own].sum((2, 3)), coarser_originals, coarser_tests


def _opponent_light(picture: Tensor) -> Tensor:
    return _mix(_OPPONENT, linear_planes(picture) * _PEAK + _BLACK)


def _mix(rows: tuple[tuple[float, ...], ...], planes: Tensor) -> Tensor:
    """Each row a weighted sum of the planes."""
    matrix = torch.tensor(rows, dtype=planes.dtype, device=planes.device)
    return torch.einsum("rc,bchw->brhw", matrix, planes)


def _weights(level: Tensor, coarser: Tensor, number: int) -> Tensor:
    """What a difference in a band is multiplied by: sensitivity over background, less where it is masked."""
    background = _double(coarser, level)
    band, background = level - background, background[:, :1].clamp(min=0.01)
    log_light = background.log10()
    sensitivities = [
        gain * 10 ** ((a * log_light + b) * log_light + c)
        for gain, (a, b, c) in zip(
            _GAINS, (_ACHROMATIC[number], _RED_GREEN[number], _YELLOW_VIOLET[number]), strict=True
        )
    ]
    # All bands but the finest are doubled, as the pyramid halves their contrast.
    sensitivity = torch.cat(sensitivities, dim=1) * (2 if number else 1) / background
    spread = (band * sensitivity).abs()
    inside = torch.ones_like(spread[:1, :1])
    for _ in range(_MASK_BLURS):
        spread, inside = blur(spread), blur(inside)
    spread = (_MASK_GAIN * spread / inside).clamp(min=_MASK_EPSILON)
    masks = [channel.pow(power) for channel, power in zip(spread.unbind(1), _MASK_POWERS, strict=True)]
    masked_by = tuple(zip(*_CROSS_MASKING, strict=True))
    masking = _mix(masked_by, torch.stack(masks, dim=1))
    return sensitivity * (1 + masking).pow(-1 / _THRESHOLD_POWER)


def _halve(planes: Tensor) -> Tensor:
    """The next level: taps 1/20, 1/4, 2/5, 1/4, 1/20 around every second sample, edges repeated."""
    for dim in (-2, -1):
        padded = F.pad(planes, (2, 2, 0, 0) if dim == -1 else (0, 0, 2, 2), mode="replicate")
        taken = planes.shape[dim] - (planes.shape[dim] - 1) % 2
        first, second, third, fourth, fifth = (
            padded.narrow(dim, shift, taken).unfold(dim, 1, 2).squeeze(-1) for shift in range(5)
        )
        planes = 0.4 * third + 0.25 * (second + fourth) + 0.05 * (first + fifth)
    return planes


def _double(planes: Tensor, like: Tensor) -> Tensor:
    """The level before, from this one alone: the same taps with zeros between the samples, doubled."""
    for dim in (-2, -1):
        padded = F.pad(planes, (1, 1, 0, 0) if dim == -1 else (0, 0, 1, 1), mode="replicate")
        left, here, right = (padded.narrow(dim, shift, planes.shape[dim]) for shift in range(3))
        even = 0.8 * here + 0.1 * (left + right)
        odd = 0.5 * (here + right)
        pairs = torch.stack((even, odd), dim=-1 if dim == -1 else -2)
        planes = pairs.flatten(dim - 1, dim).narrow(dim, 0, like.shape[dim])
    return planes
