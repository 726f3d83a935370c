"""A pair of pictures in a page: a slider between them, where they differ, the worst windows.

``pair.css`` and ``pair.js`` belong to it.
"""

import base64
from functools import cache
from html import escape
from io import BytesIO

from imgcompress.drawing.legend import DIMMED, color_bar, place_of, short_value
from imgcompress.drawing.pair import PairDrawing
from imgcompress.drawing.score_heat import MARKS
from imgcompress.perception.windows import Window

_BAR_WIDTH = 140
"""Colors in the legend's bar: two for each score."""


def pair_figure(
    drawing: PairDrawing, name: str, facts: str, words: tuple[str, str] = ("Before", "After")
) -> str:
    """The figure as HTML.

    Args:
        drawing: the pair.
        name: of the picture; escaped here.
        facts: HTML that stands below the name.
        words: what the two pictures are called.
    """
    name = escape(name)
    first, second = (escape(word) for word in words)
    size = f'width="{drawing.width}" height="{drawing.height}"'
    boxes = "".join(_box(window, number, drawing) for number, window in enumerate(drawing.worst, 1))
    return (
        f'<figure class="pair{" boxed" * bool(boxes)}"><div class="stage">'
        f'<img class="before" {size} alt="{name}, {first.lower()}" src="{_data_url(drawing.before)}">'
        f'<img class="after" {size} alt="{name}, {second.lower()}" src="{_data_url(drawing.after)}">'
        f'<svg class="over" viewBox="0 0 {drawing.width} {drawing.height}" aria-hidden="true">'
        f'<image class="heat" {size} preserveAspectRatio="none" href="{_data_url(drawing.heat)}"/>'
        f'<g class="boxes">{boxes}</g></svg>'
        f'<span class="tag left">{first}</span><span class="tag right">{second}</span>'
        '<input type="range" min="0" max="100" step="0.5" value="50" '
        f'aria-label="How much is {first.lower()}">'
        f'<span class="handle"></span></div><figcaption><p class="name">{name}</p>'
        f'<p class="toggles">{_toggle("heated", "Where it differs", False)}'
        f"{_toggle('boxed', 'Worst windows', True) if boxes else ''}</p>"
        f"{_legend()}{facts}</figcaption></figure>"
    )


def _toggle(kind: str, words: str, on: bool) -> str:
    """A button that gives the figure a class and takes it away."""
    pressed = "true" if on else "false"
    return (
        f'<button type="button" class="toggle" data-kind="{kind}" aria-pressed="{pressed}">{words}</button>'
    )


def _box(window: Window, number: int, drawing: PairDrawing) -> str:
    """A box and its value: above it, or inside where there is no room above."""
    place = f'x="{window.x}" y="{window.y}" width="{window.width}" height="{window.height}"'
    inside = ' class="inside"' if window.y < drawing.height / 20 else ""
    anchor, x = "start", window.x
    if x > drawing.width / 2:
        anchor, x = "end", x + window.width
    return (
        f'<rect class="edge" {place}/><rect {place}/><text x="{x}" y="{window.y}" text-anchor="{anchor}"'
        f"{inside}>{number}<tspan>: {short_value(window)}</tspan></text>"
    )


@cache
def _legend() -> str:
    """The scale of the heat; the same for all."""
    file = BytesIO()
    color_bar(_BAR_WIDTH).save(file, "PNG")
    bar = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    told = ", ".join(f"{score:.0f} {word}" for score, word in MARKS)
    texts = "".join(
        f'<text x="{100 * place_of(score):.1f}%" y="26">{score:.0f} {word}</text>' for score, word in MARKS
    )
    return (
        f'<svg class="legend" role="img" aria-label="Colors from the best to the worst SSIMULACRA2: {told}">'
        f'<rect width="100%" height="10" fill="rgb({DIMMED},{DIMMED},{DIMMED})"/>'
        f'<image width="100%" height="10" preserveAspectRatio="none" href="{bar}"/>{texts}</svg>'
    )


def _data_url(data: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(data).decode()
