"""All kinds of pairs by name: ``harmless-...`` should pass, ``regression-...`` should be caught."""

import io
from collections.abc import Callable
from functools import partial
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rd.pictures import Pixels

from regression_pairs import colors, drawn, encoded, places


class Made(NamedTuple):
    """A reference and the file that is compared with it.

    Attributes:
        reference: pixels.
        test: the file.
        suffix: of the file, with its dot.
    """

    reference: Pixels
    test: bytes
    suffix: str


Make = Callable[[Pixels, Random], Made]
HARMLESS, REGRESSION = "harmless-", "regression-"


def png(pixels: Pixels, notes: PngInfo | None = None) -> bytes:
    """A lossless file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=notes, compress_level=1)
    return buffer.getvalue()


def _changed(change: Callable[[Pixels], Pixels]) -> Make:
    return lambda pixels, _: Made(pixels, png(change(pixels)), ".png")


def _placed(change: Callable[[Pixels, Random], Pixels]) -> Make:
    return lambda pixels, random: Made(pixels, png(change(pixels, random)), ".png")


def _encoded(encode: encoded.Encode, score: float, suffix: str) -> Make:
    return lambda pixels, _: Made(pixels, encoded.at_score(pixels, encode, score), suffix)


def _ours(score: float) -> Make:
    return lambda pixels, _: Made(pixels, encoded.ours(pixels, score), ".jpg")


def _with_notes(pixels: Pixels, _: Random) -> Made:
    notes = PngInfo()
    notes.add_text("Comment", "another program wrote this file")
    return Made(pixels, png(pixels, notes), ".png")


def _drawn(change: Callable[[drawn.Scene, Random], drawn.Scene], *, on_page: bool) -> Make:
    def make(pixels: Pixels, random: Random) -> Made:
        before = drawn.scene(random, pixels, on_page=on_page)
        after = change(before, random)
        return Made(drawn.draw(pixels, before), png(drawn.draw(pixels, after)), ".png")

    return make


def _antialiased(*, on_page: bool, fine: int = 8, smooth: bool = False, shift: float = 0.0) -> Make:
    """The same labels, drawn in another way."""

    def make(pixels: Pixels, random: Random) -> Made:
        labels = drawn.scene(random, pixels, on_page=on_page)
        by = (random.uniform(-shift, shift), random.uniform(-shift, shift))
        test = drawn.draw(pixels, labels, shift=by, fine=fine, smooth=smooth)
        return Made(drawn.draw(pixels, labels), png(test), ".png")

    return make


def _banded(pixels: Pixels, random: Random) -> Made:
    state = random.getstate()
    smooth = places.with_gradient(pixels, random, 4096)
    random.setstate(state)  # the same noise
    return Made(smooth, png(places.with_gradient(pixels, random, 16)), ".png")


def _kinds() -> dict[str, Make]:
    kinds: dict[str, Make] = {
        "harmless-metadata": _with_notes,
        "harmless-jpeg-90": _encoded(encoded.jpeg("4:4:4"), 90, ".jpg"),
        "harmless-jpeg-75": _encoded(encoded.jpeg("4:2:0"), 75, ".jpg"),
        "harmless-our-jpeg-90": _ours(90),
        "harmless-our-jpeg-75": _ours(75),
        "harmless-webp-75": _encoded(encoded.webp, 75, ".webp"),
        "harmless-avif-90": _encoded(encoded.avif, 90, ".avif"),
        "harmless-avif-75": _encoded(encoded.avif, 75, ".avif"),
    }
    for where, on_page in (("photo", False), ("page", True)):
        kinds[f"harmless-antialias-shift-{where}"] = _antialiased(on_page=on_page, shift=0.25)
        kinds[f"harmless-antialias-coarse-{where}"] = _antialiased(on_page=on_page, fine=2)
        kinds[f"harmless-antialias-filter-{where}"] = _antialiased(on_page=on_page, smooth=True)
    for degrees in (30, 60, 180):
        kinds[f"regression-hue-patch-{degrees}"] = _placed(partial(colors.turn_patch, degrees=degrees))
    for degrees in (5, 10, 30):
        kinds[f"regression-hue-{degrees}"] = _changed(partial(colors.turn_hue, degrees=degrees))
    kinds |= {
        "regression-chroma-swapped": _changed(colors.swap_chroma),
        "regression-chroma-shifted": _changed(colors.shift_chroma),
        "regression-gamma": _changed(colors.wrong_gamma),
        "regression-banding": _banded,
        "regression-block": _placed(places.block_glitch),
        "regression-blur": _placed(places.blur_region),
    }
    for where, on_page in (("photo", False), ("page", True)):
        for name, change in (
            ("word", drawn.with_other_word),
            ("price", lambda before, _: drawn.with_other_price(before)),
            ("mark-missing", lambda before, _: drawn.without_mark(before)),
            ("mark-moved", lambda before, _: drawn.with_mark_moved(before)),
        ):
            kinds[f"regression-{name}-{where}"] = _drawn(change, on_page=on_page)
    return kinds


KINDS = _kinds()


def make(kind: str, name: str, pixels: Pixels) -> Made:
    """The pair of a kind; the same every time.

    Args:
        kind: one of ``KINDS``.
        name: of the photograph; with the kind it decides about places and words.
        pixels: the photograph, at least 288 px wide and high.
    """
    made = KINDS[kind](pixels, Random(f"{kind}/{name}"))
    assert made.reference.dtype == np.uint8
    return made
