"""How a picture is laid out as a JPEG: its sampling, its grid of blocks, its tables."""

from dataclasses import dataclass

import torch

from imgcompress.image.color import pad_to
from imgcompress.image.picture import Picture
from imgcompress.image.planes import pixels_from_planes, planes_from_pixels
from imgcompress.image.sampling import SAMPLINGS, Sampling
from imgcompress.perception.ssimulacra2 import ssimulacra2

# Fitted on 384x384 crops of all 24 Kodak pictures, by bytes at equal SSIMULACRA2 of 82 to 92 with one round
# of the loop: where these ask for 4:4:4 it took -17 to +2 % of the bytes, elsewhere -10 to +12 %, mostly +3.
HIGH_SCORE = 86.0
"""Below this score subsampled chroma is always cheaper."""
LEAST_SUBSAMPLED_SCORE = 92.7
"""4:2:0 pays if a picture of which nothing but chroma's samples were thinned out scores this or more."""
LEAST_MARGIN = 1.5
"""And by how much it must be above the score that is aimed at."""
_STRIP_PIXELS = 1_000_000


@dataclass(frozen=True)
class Layout:
    """What the pictures of one batch have in common.

    Attributes:
        sampling: the layout of the frame that is written.
        padded_size: height and width in whole MCUs, pixels.
        on_source_grid: the coefficients come from the source JPEG itself, not from its pixels.
        table_of_component: the number of each component's table; three where a source JPEG has different
            ones for Cb and Cr.
    """

    sampling: Sampling
    padded_size: tuple[int, int]
    on_source_grid: bool
    table_of_component: tuple[int, ...]


def choose_layout(
    picture: Picture, subsampling: str, score: float, device: torch.device | str = "cpu"
) -> Layout:
    """Decides how a picture is coded; pictures with equal layouts can share a batch.

    A source JPEG that keeps its sampling is recompressed on its own grid, from its stored coefficients.

    Args:
        picture: the source.
        subsampling: "444", "422", "420" or "auto".
        score: SSIMULACRA2 that is aimed at, about.
        device: where pixels are looked at to choose, if they are.
    """
    source = picture.jpeg
    if picture.is_gray:
        name = "gray"
    elif subsampling != "auto":
        name = subsampling
    elif source is not None:
        name = source.subsampling if source.subsampling in SAMPLINGS else "444"
    else:
        name = "444" if score >= HIGH_SCORE and _needs_all_chroma(picture, score, device) else "420"
    sampling = SAMPLINGS[name]
    on_source_grid = source is not None and source.coefficients is not None and source.subsampling == name
    table_of_component: tuple[int, ...] = (0, 1, 1)[: sampling.components]
    if on_source_grid and source is not None and not torch.equal(source.tables[1:2], source.tables[2:3]):
        table_of_component = (0, 1, 2)
    padded_size = sampling.padded_size(picture.height, picture.width)
    return Layout(sampling, padded_size, on_source_grid, table_of_component)


@torch.no_grad()
def _needs_all_chroma(picture: Picture, score: float, device: torch.device | str) -> bool:
    """Whether thinning out chroma alone already does too much damage, by the mean score of strips."""
    least = max(LEAST_SUBSAMPLED_SCORE, score + LEAST_MARGIN)
    if least >= 100:
        return True
    rows = max(16, _STRIP_PIXELS // picture.width // 16 * 16)
    scores = []
    sampling = SAMPLINGS["420"]
    for strip in torch.split(picture.pixels, rows, dim=1):
        height, width = strip.shape[1:]
        pixels = pad_to(strip[None].to(device, torch.float32), *sampling.padded_size(height, width))
        thinned = pixels_from_planes(planes_from_pixels(pixels, sampling), sampling).clamp(0, 255)
        score_of_strip = ssimulacra2(*(each[..., :height, :width] / 255 for each in (pixels, thinned)))
        scores.append(height * score_of_strip.item())
    return sum(scores) < least * picture.height
