"""Pictures with captions, beside and below each other."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from imgcompress.drawing.fitting import TEXT_SIZE, font, one_line
from imgcompress.drawing.legend import GROUND, INK, MARGIN

CAPTION_HEIGHT = TEXT_SIZE + 9
NARROWEST = 200
"""A caption has this width at least, in pixels, however narrow its picture is."""


def captioned(image: Image.Image, caption: str) -> Image.Image:
    """A picture below a line of text; what does not fit is cut off."""
    width = max(NARROWEST, image.width)
    sheet = Image.new("RGB", (width, image.height + CAPTION_HEIGHT), GROUND)
    ImageDraw.Draw(sheet).text((0, 3), one_line(caption, width), fill=INK, font=font())
    sheet.paste(image, (0, CAPTION_HEIGHT))
    return sheet


def row(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures beside each other, their upper edges on one line."""
    width = sum(image.width for image in images) + MARGIN * (len(images) - 1)
    sheet = Image.new("RGB", (width, max(image.height for image in images)), GROUND)
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + MARGIN
    return sheet


def column(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other, their left edges on one line."""
    width = max(image.width for image in images)
    height = sum(image.height for image in images) + MARGIN * (len(images) - 1)
    sheet = Image.new("RGB", (width, height), GROUND)
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height + MARGIN
    return sheet


def framed(image: Image.Image) -> Image.Image:
    """A picture with a margin around it."""
    sheet = Image.new("RGB", (image.width + 2 * MARGIN, image.height + 2 * MARGIN), GROUND)
    sheet.paste(image, (MARGIN, MARGIN))
    return sheet
