import io
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from imgcompress.errors import UsageError
from imgcompress.forensics.band_errors import color_weights, file_errors, magnitude_counts
from imgcompress.forensics.band_model import band_tables
from imgcompress.forensics.histograms import MOST, band_histograms
from imgcompress.forensics.psnr import FIT, PsnrEstimates, PsnrEstimator, document_psnr
from imgcompress.forensics.psnr_calibration import load_fit
from imgcompress.image.color import ycbcr_to_rgb
from imgcompress.image.picture import JpegSource
from imgcompress.image.read import read_picture
from imgcompress.image.sampling import SAMPLINGS
from imgcompress.quantization.tables import ijg_tables
from imgcompress.resources import resource_path

WORST = 3.0
"""dB, for a photograph of another kind than those of the fit at qualities 50 and up."""


@pytest.fixture(scope="module")
def estimator() -> PsnrEstimator:
    return PsnrEstimator()


def jpeg(pixels: np.ndarray, quality: int, subsampling: str = "4:2:0") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def source_of(encoded: bytes) -> JpegSource:
    source = read_picture(encoded).jpeg
    assert source is not None and source.coefficients is not None
    return source


def estimated(estimator: PsnrEstimator, encoded: bytes) -> PsnrEstimates:
    found = estimator.estimate_source(source_of(encoded))
    assert found is not None
    return found


def true_psnr(pixels: np.ndarray, encoded: bytes) -> tuple[float, float]:
    error = np.asarray(Image.open(io.BytesIO(encoded))).astype(float) - pixels
    luma = error @ (0.299, 0.587, 0.114) if error.ndim == 3 else error
    return tuple(10 * math.log10(255**2 / np.square(each).mean()) for each in (luma, error))


@pytest.mark.parametrize(("kind", "within"), [("lognormal", 0.12), ("laplacian", 0.3)])
@pytest.mark.parametrize("quality", [30, 60, 80, 92])
def test_the_error_of_drawn_coefficients_is_found(
    kind: str, within: float, quality: int, device: torch.device
) -> None:
    priors, _ = load_fit(resource_path(FIT), device)
    generator = np.random.default_rng(2)
    sizes = priors["gray"].mean.exp().cpu().numpy()
    table = ijg_tables(quality)[0].double()
    if kind == "laplacian":
        drawn = generator.laplace(0, sizes / math.sqrt(2), (1500, 64))
    else:
        deviations = np.exp(0.8 * generator.standard_normal((1500, 64)) - 0.8**2)
        drawn = generator.standard_normal((1500, 64)) * deviations * sizes
    steps = table.flatten().numpy()
    stored = np.round(drawn / steps)
    truth = np.square(stored * steps - drawn).mean()
    histograms = band_histograms(torch.from_numpy(stored).int().view(1500, 1, 8, 8))
    errors = file_errors(
        magnitude_counts(histograms[None, None]).to(device),
        table.flatten()[None, None].to(device),
        SAMPLINGS["gray"],
        priors["gray"],
        band_tables(device),
    )
    assert int(errors.evidence.argmax()) == 0  # plain rounding
    # The encoder's and the decoder's rounding of samples come on top.
    assert float(errors.error[0, 0, 0]) == pytest.approx(truth + 2 / 12, rel=within)


def test_color_weights_are_those_of_the_inverse_color_matrix() -> None:
    for component, weight in enumerate(color_weights()):
        step = torch.full((1, 3, 1, 1), 128.0)
        step[0, component] += 1
        off = ycbcr_to_rgb(step) - ycbcr_to_rgb(torch.full((1, 3, 1, 1), 128.0))
        assert float(off.square().mean()) == pytest.approx(weight, rel=1e-4)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_photographs_that_no_fit_has_seen(estimator: PsnrEstimator, subsampling: str) -> None:
    held = []
    for pixels in (data.astronaut(), data.coffee(), data.chelsea()):
        for quality in (50, 75, 90, 96):
            encoded = jpeg(pixels, quality, subsampling)
            found, true = estimated(estimator, encoded), true_psnr(pixels, encoded)
            for one, truth in zip((found.luma, found.rgb), true, strict=True):
                assert one.psnr == pytest.approx(truth, abs=WORST)
                held.append(one.low <= truth <= one.high)
    assert np.mean(held) >= 0.75


def test_a_gray_photograph(estimator: PsnrEstimator) -> None:
    pixels = np.asarray(Image.fromarray(data.coffee()).convert("L"))
    encoded = jpeg(pixels, 80)
    found = estimated(estimator, encoded)
    assert found.rgb == found.luma
    assert found.luma.psnr == pytest.approx(true_psnr(pixels, encoded)[0], abs=WORST)


def test_finer_files_are_estimated_higher(estimator: PsnrEstimator) -> None:
    found = [estimated(estimator, jpeg(data.coffee(), quality)) for quality in (20, 40, 60, 75, 85, 92, 97)]
    for worse, better in pairwise(found):
        assert worse.luma.psnr < better.luma.psnr
        assert worse.rgb.psnr < better.rgb.psnr


def test_a_second_generation_is_judged_alone(estimator: PsnrEstimator) -> None:
    once = np.asarray(Image.open(io.BytesIO(jpeg(data.coffee(), 40))))
    again = jpeg(once, 95)
    assert estimated(estimator, again).luma.psnr > true_psnr(data.coffee(), again)[0] + 5


def test_a_batch_gives_what_single_files_give(estimator: PsnrEstimator) -> None:
    sources = [source_of(jpeg(data.coffee(), quality)) for quality in (30, 90)]
    histograms = torch.stack(
        [torch.stack([band_histograms(each) for each in source.coefficients or ()]) for source in sources]
    )
    together = estimator.estimate(histograms, torch.stack([source.tables for source in sources]), "420")
    for one, source in zip(together, sources, strict=True):
        alone = estimator.estimate_source(source)
        assert alone is not None
        assert one.rgb.psnr == pytest.approx(alone.rgb.psnr, abs=1e-6)
    assert estimator.estimate(histograms[:0], torch.zeros(0, 3, 8, 8, dtype=torch.int64), "420") == []


@pytest.mark.parametrize("size", [(1, 1), (64, 64)])
@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_flat_pictures_get_a_wide_interval(
    estimator: PsnrEstimator, size: tuple[int, int], level: int, mode: str
) -> None:
    pixels = np.asarray(Image.new(mode, size, level if mode == "L" else (level,) * 3))
    found = estimated(estimator, jpeg(pixels, 75))
    for one in (found.luma, found.rgb):
        assert math.isfinite(one.psnr) and math.isfinite(one.low)
        assert one.high == 100
        assert one.high - one.low > 10


def test_fewer_blocks_widen_the_interval(estimator: PsnrEstimator) -> None:
    large, small = (estimated(estimator, jpeg(data.coffee()[:side, :side], 75)) for side in (256, 8))
    assert small.luma.high - small.luma.low > large.luma.high - large.luma.low + 3


def test_unknown_layouts(estimator: PsnrEstimator) -> None:
    tables = torch.ones(4, 8, 8, dtype=torch.int64)
    with pytest.raises(UsageError, match="subsampling"):
        estimator.estimate(torch.zeros(1, 4, 64, 2047, dtype=torch.int64), tables[None], "other")
    assert estimator.estimate_source(JpegSource("other", tables, False)) is None
    assert estimator.estimate_source(JpegSource("gray", tables[:1], False)) is None


def luma_histogram(*values: int) -> torch.Tensor:
    histogram = torch.zeros(64, 2 * MOST + 1, dtype=torch.int64)
    for value in values:
        histogram[9, MOST + value] += 1
    histogram[:, MOST] += 100
    histogram[0, MOST + 50] += 9  # DC plays no part
    return histogram


@pytest.mark.parametrize(
    ("values", "step", "expected"),
    [
        ((), 5, (0.0, 44.2, "above 42")),
        ((3, 3), 2, (0.0, 44.2, "above 42")),
        ((1, 2), 1, (0.5, 43.15, "above 42")),
        ((-1, 1), 10, (10.0, 37.1, "36.5 to 42")),
        ((-4, 4), 25, (100.0, 33.4, "below 36.5")),
    ],
)
def test_the_documents_rule(
    values: tuple[int, ...], step: int, expected: tuple[float, float, str], device: torch.device
) -> None:
    table = torch.full((8, 8), step, dtype=torch.int64)
    found = document_psnr(luma_histogram(*values).to(device), table.to(device))
    assert (found.spread, found.psnr) == pytest.approx(expected[:2])
    assert found.band == expected[2]


@pytest.mark.shared
def test_intervals_hold_on_photographs_outside_the_fit(shared, estimator: PsnrEstimator) -> None:
    held, off = [], []
    for path in sorted((shared / "photos" / "clic").glob("*.png")):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").crop((400, 400, 784, 784)))
        for quality in (35, 75, 95):
            encoded = jpeg(pixels, quality)
            found, true = estimated(estimator, encoded), true_psnr(pixels, encoded)
            for one, truth in zip((found.luma, found.rgb), true, strict=True):
                held.append(one.low <= truth <= one.high)
                off.append(abs(one.psnr - truth))
    assert np.mean(held) >= 0.75
    assert np.mean(off) < 2
