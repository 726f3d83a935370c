"""Damage in one place: of pixels ``[height, width, 3]``, RGB, 0..255, uint8."""

from random import Random

import numpy as np
from PIL import Image, ImageFilter
from rd.pictures import Pixels


def block_glitch(pixels: Pixels, random: Random, side: int = 16) -> Pixels:
    """One 16x16 unit, on the grid, has what another one should have."""
    down, across = (length // side for length in pixels.shape[:2])
    first, second = random.sample(range(down * across), 2)
    (y, x), (other_y, other_x) = (
        (side * (number // across), side * (number % across)) for number in (first, second)
    )
    changed = pixels.copy()
    changed[y : y + side, x : x + side] = pixels[other_y : other_y + side, other_x : other_x + side]
    return changed


def blur_region(pixels: Pixels, random: Random, side: int = 96, radius: float = 2.0) -> Pixels:
    """One square is out of focus: of eight random places the one with most detail."""
    image = Image.fromarray(pixels)
    detail = np.asarray(image.convert("L").filter(ImageFilter.FIND_EDGES), dtype=np.float64)
    height, width = pixels.shape[:2]
    places = [(random.randint(0, height - side), random.randint(0, width - side)) for _ in range(8)]
    y, x = max(places, key=lambda place: detail[place[0] :, place[1] :][:side, :side].mean())
    box = (x, y, x + side, y + side)
    image.paste(image.filter(ImageFilter.GaussianBlur(radius)).crop(box), box)
    return np.array(image)


def with_gradient(pixels: Pixels, random: Random, levels: int) -> Pixels:
    """The upper quarter is a sky: a gradient between two blues, in so many steps."""
    height, width = pixels.shape[0] // 4, pixels.shape[1]
    top, bottom = np.array([60.0, 110.0, 190.0]), np.array([190.0, 215.0, 245.0])
    slope = np.linspace(0, 1, height)[:, None] + np.linspace(-0.05, 0.05, width)[None]
    shares = np.rint(np.clip(slope, 0, 1) * (levels - 1)) / (levels - 1)
    sky = top + shares[..., None] * (bottom - top)
    # As a camera's: noise of about one level hides the steps of 8 bits, and not those of fewer.
    noise = np.random.default_rng(random.randrange(2**32)).normal(0, 0.7, sky.shape[:2])[..., None]
    changed = pixels.copy()
    changed[:height] = np.clip(np.rint(sky + noise), 0, 255).astype(np.uint8)
    return changed
