import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.stats
import torch
from PIL import Image
from skimage import data
from skimage.feature import graycomatrix, graycoprops

from imgcompress.forensics.blockiness import blockiness_features, boundary_phases
from imgcompress.forensics.dct_decay import DCT_NAMES, NOTHING, dct_features
from imgcompress.forensics.features import NAMES, features
from imgcompress.forensics.glcm import GLCM_NAMES, LEVELS, co_occurrence, glcm_features
from imgcompress.forensics.pyramid import PYRAMID_NAMES, laplacian, pyramid_features

DIAGONAL = 2**0.5


def _gray(photo: torch.Tensor) -> torch.Tensor:
    return photo.float().mean(0).round()[None]


def _as_jpeg(luma: torch.Tensor, quality: int) -> torch.Tensor:
    import io

    buffer = io.BytesIO()
    Image.fromarray(luma[0].to(torch.uint8).numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).float()[None]


def test_the_laplacian_is_scipys_and_so_are_its_variance_and_skewness(
    photo: torch.Tensor, device: torch.device
) -> None:
    luma = _gray(photo)
    expected = scipy.ndimage.laplace(luma[0].numpy().astype(np.float64), mode="nearest")
    np.testing.assert_allclose(laplacian(luma.double())[0].numpy(), expected, atol=1e-9)
    found = dict(zip(PYRAMID_NAMES, pyramid_features(luma.to(device))[0].tolist(), strict=True))
    assert found["laplacian_variance_0"] == pytest.approx(np.log2(1 + expected.var()), rel=1e-5)
    assert found["laplacian_skewness_0"] == pytest.approx(scipy.stats.skew(expected, axis=None), rel=1e-4)
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    blurred = scipy.ndimage.correlate1d(
        scipy.ndimage.correlate1d(luma[0].numpy().astype(np.float64), kernel, 0, mode="nearest"),
        kernel,
        1,
        mode="nearest",
    )
    second = scipy.ndimage.laplace(blurred[::2, ::2], mode="nearest")
    assert found["laplacian_variance_1"] == pytest.approx(np.log2(1 + second.var()), rel=1e-5)
    assert found["laplacian_skewness_1"] == pytest.approx(scipy.stats.skew(second, axis=None), rel=1e-4)


def test_co_occurrence_is_that_of_scikit_image(photo: torch.Tensor, device: torch.device) -> None:
    luma = _gray(photo)
    levels = (luma[0].to(torch.uint8).numpy() >> 3).astype(np.uint8)
    found = co_occurrence(luma.to(device)).cpu()[0]
    statistics = dict(zip(GLCM_NAMES, glcm_features(luma.to(device))[0].tolist(), strict=True))
    for row, distance in enumerate((1, 2)):
        matrices = [
            graycomatrix(levels, [length], [angle], LEVELS, symmetric=True, normed=True)
            for length, angle in (
                (distance, 0),
                (distance * DIAGONAL, np.pi / 4),
                (distance, np.pi / 2),
                (distance * DIAGONAL, 3 * np.pi / 4),
            )
        ]
        for column, matrix in enumerate(matrices):
            # Direction and opposite are the same in a symmetric matrix.
            np.testing.assert_allclose(found[row, column].numpy(), matrix[:, :, 0, 0], atol=1e-12)

        def mean(name: str, matrices: list[np.ndarray] = matrices) -> float:
            return float(np.mean([graycoprops(matrix, name)[0, 0] for matrix in matrices]))

        assert statistics[f"glcm_contrast_{distance}"] == pytest.approx(
            np.log2(1 + mean("contrast")), rel=1e-5
        )
        assert statistics[f"glcm_homogeneity_{distance}"] == pytest.approx(mean("homogeneity"), rel=1e-5)
        assert statistics[f"glcm_correlation_{distance}"] == pytest.approx(mean("correlation"), rel=1e-5)
        bits = np.mean([scipy.stats.entropy(matrix[:, :, 0, 0], base=2, axis=None) for matrix in matrices])
        assert statistics[f"glcm_entropy_{distance}"] == pytest.approx(bits, rel=1e-5)


def test_the_offset_of_the_grid_is_found_wherever_the_picture_was_cut() -> None:
    whole = _as_jpeg(_gray(torch.from_numpy(data.astronaut()).permute(2, 0, 1)), 60)
    for down, across in [(row, 3 * row % 8) for row in range(8)] + [(0, 5), (5, 0)]:
        cut = whole[:, down : down + 384, across : across + 384]
        assert boundary_phases(cut).argmax(1).item() == -across % 8
        assert boundary_phases(cut.mT).argmax(1).item() == -down % 8


def test_boundaries_stand_out_the_more_the_stronger_a_picture_is_compressed() -> None:
    original = _gray(torch.from_numpy(data.astronaut()).permute(2, 0, 1))
    strengths = [
        blockiness_features(_as_jpeg(original, quality)).sum().item() for quality in (90, 60, 30, 10)
    ]
    assert blockiness_features(original).sum().item() < strengths[0]
    assert strengths == sorted(strengths)


def test_dct_statistics_are_those_of_scipys_dct(photo: torch.Tensor, device: torch.device) -> None:
    luma = _as_jpeg(_gray(photo), 50)
    blocks = luma[0].numpy().astype(np.float64).reshape(50, 8, 75, 8).transpose(0, 2, 1, 3)
    blocks = blocks[:-1, :-1]  # as many as fit in wherever the grid begins
    coefficients = scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho")
    band = np.arange(8)
    rings = np.minimum(np.hypot(band[:, None], band).round(), 7)
    energy = np.array([np.square(coefficients[..., rings == ring]).mean() for ring in range(1, 8)])
    slope = scipy.stats.linregress(np.log2(np.arange(1, 8)), np.log2(energy + NOTHING**2)).slope
    found = dict(zip(DCT_NAMES, dct_features(luma.to(device))[0].tolist(), strict=True))
    assert found["dct_slope"] == pytest.approx(slope, rel=1e-5)
    for first, last in ((1, 2), (3, 4), (5, 7)):
        group = coefficients[..., (rings >= first) & (rings <= last)]
        assert found[f"dct_zeros_{first}_{last}"] == pytest.approx((np.abs(group) < NOTHING).mean(), abs=1e-4)


def test_the_grid_is_that_of_the_picture_not_of_its_corner(photo: torch.Tensor) -> None:
    whole = _as_jpeg(_gray(photo), 50)
    cut = whole[:, 3:, 5:]
    assert torch.allclose(dct_features(whole)[:, 2:], dct_features(cut)[:, 2:], atol=0.02)


def test_pictures_in_a_batch_have_the_features_they_have_alone(
    photo: torch.Tensor, device: torch.device
) -> None:
    pictures = torch.stack([photo, photo.flip(2), 255 - photo]).to(device)
    before = pictures.clone()
    together = features(pictures)
    alone = torch.cat([features(picture[None]) for picture in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert torch.equal(pictures, before)
    assert together.shape == (3, len(NAMES))
    assert len(set(NAMES)) == len(NAMES)


def test_gray_is_as_rgb_and_16_bits_are_as_8(photo: torch.Tensor) -> None:
    gray = photo[:1]
    expected = features(gray[None])
    torch.testing.assert_close(features(gray.expand(3, -1, -1)[None]), expected, rtol=1e-4, atol=1e-4)
    deep = (gray.to(torch.int32) * 257).to(torch.uint16)
    torch.testing.assert_close(features(deep[None]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 9), (8, 8), (17, 16), (40, 3)])
@pytest.mark.parametrize("value", [0, 77, 255])
def test_even_and_tiny_pictures_have_finite_features(size: tuple[int, int], value: int) -> None:
    even = torch.full((2, 3, *size), value, dtype=torch.uint8)
    found = features(even)
    assert found.isfinite().all()
    named = dict(zip(NAMES, found[0].tolist(), strict=True))
    assert named["laplacian_variance_0"] == 0
    assert named["laplacian_skewness_0"] == 0
    assert named["glcm_entropy_1"] == 0
    assert named["glcm_correlation_1"] == 1
    assert named["blockiness_across"] == 0
    noise = torch.randint(0, 256, (1, 3, *size), generator=torch.Generator().manual_seed(value))
    assert features(noise.to(torch.uint8)).isfinite().all()


def test_a_large_picture_is_looked_at_through_windows() -> None:
    one = torch.from_numpy(data.astronaut()).permute(2, 0, 1)
    large = one.tile(1, 5, 5)  # windows begin at 0, 1024 and 2048, where the picture does
    torch.testing.assert_close(features(large[None]), features(one[None]), rtol=1e-4, atol=1e-4)
    panorama = one.tile(1, 1, 10)[:, :600]
    assert features(panorama[None]).isfinite().all()
