"""What the bands of photographs hold before they are quantized: the samples behind the estimate's prior."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from imgcompress.image.color import downsample_chroma, rgb_to_ycbcr, upsample_chroma, ycbcr_to_rgb
from imgcompress.image.dct import forward_dct
from imgcompress.image.sampling import SAMPLINGS
from psnr.samples import Original

SCALES = (0.67, 1, 2, 3)
"""Every photograph at several sizes: the same scene at another scale has another spectrum."""


def band_coefficients(pixels: Tensor, name: str) -> list[Tensor]:
    """The unquantized coefficients that an encoder with this sampling sees, [blocks, 64] a component."""
    sampling = SAMPLINGS[name]
    planes = rgb_to_ycbcr(pixels).unbind(1)[: sampling.components]
    found = []
    for index, plane in enumerate(planes):
        if index > 0:
            plane = downsample_chroma(plane, sampling.horizontal, sampling.vertical)  # noqa: PLW2901
        whole = plane[:, : plane.shape[1] // 8 * 8, : plane.shape[2] // 8 * 8]
        found.append(forward_dct(whole.round()).reshape(-1, 64))
    return found


def log_spectrum(pixels: Tensor, name: str) -> Tensor:
    """Logarithms of the root mean square of each band of each component, and of the error in RGB of
    chroma at fewer samples, if there is any.

    Args:
        pixels: [1, 3, height, width], 0..255, multiples of 16.
        name: of SAMPLINGS.

    Returns:
        [64 components (+ 1)], float64.
    """
    sampling = SAMPLINGS[name]
    bands = torch.cat([each.double().square().mean(0) for each in band_coefficients(pixels, name)])
    if sampling.chroma_area == 1:
        return bands.sqrt().log()
    planes = rgb_to_ycbcr(pixels)
    factors = sampling.horizontal, sampling.vertical
    chroma = [upsample_chroma(downsample_chroma(planes[:, i], *factors), *factors) for i in (1, 2)]
    lost = ycbcr_to_rgb(torch.stack((planes[:, 0], *chroma), 1)) - pixels
    return torch.cat((bands, lost.double().square().mean()[None])).sqrt().log()


def scaled(original: Original) -> list[Tensor]:
    """An original at several sizes, [1, 3, height, width], float32 of 0..255, whole MCUs."""
    sizes = []
    for factor in SCALES:
        image = Image.fromarray(original.pixels)
        if factor != 1:
            size = round(image.width / factor), round(image.height / factor)
            image = image.resize(size, Image.Resampling.BICUBIC)
        width, height = (side // 16 * 16 for side in image.size)
        raw = torch.frombuffer(bytearray(image.crop((0, 0, width, height)).tobytes()), dtype=torch.uint8)
        sizes.append(raw.view(height, width, 3).permute(2, 0, 1)[None].float())
    return sizes


def spectra(pictures: Sequence[Original], name: str) -> tuple[Tensor, list[str]]:
    """The log spectra of pictures at all sizes, one a row, and the photograph that each is of."""
    rows, names = [], []
    for picture in pictures:
        for pixels in scaled(picture):
            rows.append(log_spectrum(pixels, name))
            names.append(picture.name)
    return torch.stack(rows), names
