"""The score without a reference of pictures of any sizes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch

from imgcompress.errors import PictureError
from imgcompress.faults import as_picture_error
from imgcompress.forensics.score import ScoreModel
from imgcompress.image.picture import Picture

LEAST_SIDE = 64
"""Smaller pictures get no score: there is too little to go by, and they would all get about the same."""


def score_pictures(
    model: ScoreModel, pictures: Sequence[Picture], batch_megapixels: float
) -> list[float | PictureError | None]:
    """Estimates each picture's SSIMULACRA2 against its unknown original; alpha is not looked at.

    Args:
        model: on the device where the work is done.
        pictures: of any sizes and kinds; those of equal ones go through the model together.
        batch_megapixels: as many as hold no more than this.

    Returns:
        The estimates in order, or what went wrong; None for pictures too small to tell.
    """
    scores: dict[int, float | PictureError] = {}
    for batch in _batches(pictures, batch_megapixels):
        try:
            pixels = torch.stack([pictures[index].pixels for index in batch])
            found = model.score(pixels.to(model.device)).tolist()
            scores |= dict(zip(batch, found, strict=True))
        except Exception as error:  # a fault with one picture must not end the run
            scores |= dict.fromkeys(batch, as_picture_error(error))
    return [scores.get(index) for index in range(len(pictures))]


def _batches(pictures: Sequence[Picture], most_megapixels: float) -> Iterator[list[int]]:
    groups: dict[object, list[int]] = defaultdict(list)
    for index, picture in enumerate(pictures):
        if min(picture.height, picture.width) < LEAST_SIDE:
            continue
        groups[picture.pixels.shape, picture.pixels.dtype].append(index)
    for group in groups.values():
        first = pictures[group[0]]
        size = max(1, int(most_megapixels * 1e6 / (first.height * first.width)))
        yield from (group[start : start + size] for start in range(0, len(group), size))
