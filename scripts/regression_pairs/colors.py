"""Changes of color: of pixels ``[height, width, 3]``, RGB, 0..255, uint8."""

from random import Random

import numpy as np
from numpy.typing import NDArray
from rd.pictures import Pixels

# Luma and color differences of JFIF (ITU-T T.871, clause 7).
_LUMA = np.array([0.299, 0.587, 0.114])
_BLUE, _RED = 1.772, 1.402
_COLORFUL = 20.0
"""Mean length of (Cb, Cr) of a place where a change of hue can be seen at all."""


def split(pixels: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Luma 0..255 and the color differences around 0."""
    values = pixels.astype(np.float64)
    luma = values @ _LUMA
    return luma, (values[..., 2] - luma) / _BLUE, (values[..., 0] - luma) / _RED


def join(luma: NDArray[np.float64], blue: NDArray[np.float64], red: NDArray[np.float64]) -> Pixels:
    """RGB of this luma: colors that do not exist lose saturation rather than change their luma."""
    difference = np.stack([_RED * red, np.zeros_like(luma), _BLUE * blue], -1)
    difference[..., 1] = -(difference @ _LUMA) / _LUMA[1]
    room = np.where(difference > 0, 255.0 - luma[..., None], luma[..., None])
    fits = room / np.maximum(np.abs(difference), 1e-9)
    share = np.minimum(1.0, fits.min(-1, keepdims=True))
    return np.clip(np.rint(luma[..., None] + share * difference), 0, 255).astype(np.uint8)


def turn_hue(pixels: Pixels, degrees: float) -> Pixels:
    """Another hue, the same luma."""
    luma, blue, red = split(pixels)
    turned = (blue + 1j * red) * np.exp(1j * np.deg2rad(degrees))
    return join(luma, turned.real, turned.imag)


def turn_patch(pixels: Pixels, random: Random, degrees: float, side: int = 32) -> Pixels:
    """Another hue in one square, at a random place that has color (the most colorful of 200 if none has)."""
    _, blue, red = split(pixels)
    strength = np.hypot(blue, red)
    height, width = pixels.shape[:2]
    places = [(random.randint(0, height - side), random.randint(0, width - side)) for _ in range(200)]

    def color(place: tuple[int, int]) -> float:
        y, x = place
        return float(strength[y : y + side, x : x + side].mean())

    y, x = next((place for place in places if color(place) >= _COLORFUL), max(places, key=color))
    changed = pixels.copy()
    changed[y : y + side, x : x + side] = turn_hue(pixels[y : y + side, x : x + side], degrees)
    return changed


def swap_chroma(pixels: Pixels) -> Pixels:
    """Cb where Cr belongs, and the other way round."""
    luma, blue, red = split(pixels)
    return join(luma, red, blue)


def shift_chroma(pixels: Pixels, by: int = 8) -> Pixels:
    """Both color planes one block to the right of the luma; the first block is repeated."""
    luma, *planes = split(pixels)
    columns = np.maximum(np.arange(luma.shape[1]) - by, 0)
    return join(luma, *(plane[:, columns] for plane in planes))


def wrong_gamma(pixels: Pixels) -> Pixels:
    """Made for a gamma of 2.2, shown as if for 1.8."""
    return np.rint(255 * (pixels / 255.0) ** (1.8 / 2.2)).astype(np.uint8)
