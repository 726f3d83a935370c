"""A third set of pictures, drawn here: text, line art, a user interface, a screenshot. All are our own."""

import math
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = (768, 512)
_SMOOTH = 4
"""Lines are drawn this much larger and shrunk."""
_TEXT = (
    "A photograph forgives what a page of text does not. Around black letters on white paper every lost "
    "coefficient shows as a gray wave, and the paper has no texture to hide it. Therefore a benchmark of "
    "photographs alone says little about scans, slides, maps and screenshots, which fill many folders. "
)
_WORDS = _TEXT.split()


def draw_text_pages(folder: Path) -> None:
    """Writes the pages as PNG files; the same bytes for the same version of Pillow."""
    folder.mkdir(parents=True, exist_ok=True)
    pages: dict[str, Callable[[], Image.Image]] = {
        "text-small": lambda: _text((11, 12, 13), "black", "white"),
        "text-sizes": lambda: _text((10, 14, 20, 28, 40), "black", "white"),
        "text-colors": lambda: _text((16, 22), "#203060", "#fff4d8"),
        "interface": _interface,
        "drawing": _drawing,
        "screenshot": _screenshot,
    }
    for name, draw in pages.items():
        draw().save(folder / f"{name}.png")


def _text(sizes: tuple[int, ...], ink: str, paper: str) -> Image.Image:
    """Paragraphs in turn of each size, down the page."""
    page = Image.new("RGB", SIZE, paper)
    draw = ImageDraw.Draw(page)
    top, turn = 16, 0
    while top < SIZE[1] - 16:
        size = sizes[turn % len(sizes)]
        top = _paragraph(draw, (24, top), SIZE[0] - 24, size=size, ink=ink, lines=4) + size // 2
        turn += 1
    return page


def _paragraph(
    draw: ImageDraw.ImageDraw, start: tuple[int, int], right: int, *, size: int, ink: str, lines: int
) -> int:
    """Writes lines of words and returns where the next paragraph may start."""
    font = ImageFont.load_default(size)
    left, top = start
    at = 0
    for _ in range(lines):
        line = ""
        while draw.textlength(line + _WORDS[at % len(_WORDS)], font=font) < right - left:
            line += _WORDS[at % len(_WORDS)] + " "
            at += 1
        draw.text((left, top), line, fill=ink, font=font)
        top += round(1.35 * size)
    return top


def _interface() -> Image.Image:
    """Flat colors, rounded buttons, icons, small labels."""
    page = Image.new("RGB", SIZE, "#eef1f6")
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, SIZE[0], 44), fill="#1f4fd8")
    draw.text((16, 10), "Pictures", fill="white", font=ImageFont.load_default(20))
    draw.rectangle((0, 44, 150, SIZE[1]), fill="#dfe5f0")
    for row, label in enumerate(("Inbox", "Albums", "Shared", "Archive", "Deleted", "Settings")):
        top = 60 + 34 * row
        draw.ellipse((14, top + 2, 30, top + 18), fill=("#e5484d", "#30a46c", "#f5a524")[row % 3])
        draw.text((42, top), label, fill="#1c2430", font=ImageFont.load_default(14))
    for index in range(6):
        left, top = 172 + 198 * (index % 3), 64 + 214 * (index // 3)
        draw.rounded_rectangle((left, top, left + 180, top + 196), 10, fill="white", outline="#c5cdd9")
        draw.rectangle((left + 12, top + 12, left + 168, top + 90), fill=f"hsl({60 * index}, 70%, 55%)")
        _paragraph(draw, (left + 12, top + 98), left + 168, size=11, ink="#3a4350", lines=3)
        draw.rounded_rectangle((left + 12, top + 158, left + 92, top + 184), 6, fill="#1f4fd8")
        draw.text((left + 30, top + 163), "Open", fill="white", font=ImageFont.load_default(13))
        draw.text((left + 112, top + 163), "Later", fill="#d01030", font=ImageFont.load_default(13))
    return page


def _drawing() -> Image.Image:
    """Thin black curves, hatching and colored strokes on white."""
    page = Image.new("RGB", (SIZE[0] * _SMOOTH, SIZE[1] * _SMOOTH), "white")
    draw = ImageDraw.Draw(page)
    middle_x, middle_y = page.width / 2, page.height / 2
    for ring in range(14):
        points = []
        for step in range(721):
            angle = math.tau * step / 720
            radius = (80 + 65 * ring) * (1 + 0.12 * math.sin((ring + 3) * angle))
            points.append((middle_x + 1.5 * radius * math.cos(angle), middle_y + radius * math.sin(angle)))
        color = ("black", "black", "#c01818", "black", "#1848c0")[ring % 5]
        draw.line(points, fill=color, width=3 + 2 * (ring % 4))
    for line in range(60):
        draw.line((40 + 12 * line, 40, 40 + 5 * line, 420), fill="black", width=4)
    draw.polygon([(2500, 1500), (2950, 1650), (2700, 1980)], outline="black", fill="#ffe066", width=8)
    return page.resize(SIZE, Image.Resampling.BOX)


def _screenshot() -> Image.Image:
    """A window with light text on dark beside a chart and a gradient."""
    page = Image.new("RGB", SIZE, "#1e1e1e")
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, SIZE[0], 28), fill="#3c3c3c")
    for index, color in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        draw.ellipse((10 + 20 * index, 8, 22 + 20 * index, 20), fill=color)
    font = ImageFont.load_default(13)
    colors = ("#569cd6", "#ce9178", "#6a9955", "#d4d4d4", "#c586c0")
    for row in range(26):
        draw.text((12, 36 + 18 * row), str(row + 1), fill="#858585", font=font)
        left = 44.0 + 18 * (row % 4)
        for word in range(4):
            text = _WORDS[(5 * row + word) % len(_WORDS)]
            draw.text((left, 36 + 18 * row), text, fill=colors[(row + word) % 5], font=font)
            left += draw.textlength(text + "  ", font=font)
    draw.rectangle((430, 48, 750, 270), fill="white")
    for bar in range(10):
        height = 30 + (bar * 67) % 150
        draw.rectangle((446 + 30 * bar, 258 - height, 466 + 30 * bar, 258), fill=colors[bar % 5])
    gradient = Image.linear_gradient("L").rotate(90).resize((320, 200))
    page.paste(
        Image.merge("RGB", (gradient, gradient.rotate(180), Image.new("L", (320, 200), 160))), (430, 290)
    )
    return page
