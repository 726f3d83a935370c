import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from imgcompress.forensics.earlier_steps import (
    ALIGNED_CONFIDENCE,
    BANDS,
    SPREADS,
    aligned_earlier,
    fit_steps,
)
from imgcompress.forensics.histograms import BANDS as ALL_BANDS
from imgcompress.forensics.histograms import VALUES, band_histograms
from imgcompress.image.jpeg_file import parse_jpeg, read_coefficients

ASTRONAUT, COFFEE = (Image.fromarray(picture()[:256, :384]) for picture in (data.astronaut, data.coffee))


def again(image: Image.Image, quality: int, **options: object) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, quality, **options)))


def encoded(image: Image.Image, quality: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def stored(file: bytes) -> tuple[torch.Tensor, torch.Tensor]:
    """Luma's histograms and table."""
    header = parse_jpeg(file)
    coefficients = read_coefficients(file, header)
    assert coefficients is not None
    return band_histograms(coefficients[0]), header.tables[0]


@pytest.mark.parametrize("image", [ASTRONAUT, COFFEE])
@pytest.mark.parametrize(("first", "second"), [(60, 90), (75, 80), (85, 70)])
def test_an_earlier_quality_and_its_steps_are_found(image: Image.Image, first: int, second: int) -> None:
    earlier = aligned_earlier(*stored(encoded(again(image, first), second)))
    assert earlier is not None and earlier.confidence > 0.7
    assert earlier.offset == (0, 0) and earlier.quality is not None
    assert abs(earlier.quality - first) <= 1
    # Pillow's own table of the first file is the witness.
    truth = parse_jpeg(encoded(image, first)).tables[0]
    known = earlier.steps > 0
    assert known.any()
    assert (earlier.steps == truth)[known].float().mean() > 0.8


def test_most_steps_show_when_the_second_quality_is_high() -> None:
    earlier = aligned_earlier(*stored(encoded(again(COFFEE, 60), 90)))
    truth = parse_jpeg(encoded(COFFEE, 60)).tables[0]
    assert earlier is not None
    assert (earlier.steps == truth).flatten()[list(BANDS)].sum() >= 20


@pytest.mark.parametrize("image", [ASTRONAUT, COFFEE])
@pytest.mark.parametrize("quality", [30, 75, 92, 100])
def test_once_or_twice_by_the_same_table_is_no_earlier_compression(image: Image.Image, quality: int) -> None:
    assert aligned_earlier(*stored(encoded(image, quality))) is None
    assert aligned_earlier(*stored(encoded(again(image, quality), quality))) is None


def test_a_first_table_that_is_not_the_standards_is_seen_band_by_band() -> None:
    table = [17] * 64
    earlier = aligned_earlier(*stored(encoded(again(COFFEE, -1, qtables=[table, table]), 93)))
    assert earlier is not None
    known = earlier.steps[earlier.steps > 0]
    assert len(known) > 10 and (known == 17).float().mean() > 0.8


def test_more_blocks_of_the_same_kind_do_not_count_for_more_than_their_limit() -> None:
    histograms, table = stored(encoded(again(COFFEE, 60), 75))
    many = [fit_steps(histograms * times, table, SPREADS).evidence for times in (100, 400)]
    assert many[1] == pytest.approx(many[0], rel=1e-6)


def test_flat_tiny_and_empty_pictures_claim_nothing() -> None:
    for size in ((8, 8), (1, 1), (64, 64), (300, 200)):
        assert aligned_earlier(*stored(encoded(Image.new("RGB", size, (90, 120, 30)), 80))) is None
    assert aligned_earlier(*stored(encoded(COFFEE.crop((0, 0, 16, 16)), 80))) is None
    nothing = torch.zeros(ALL_BANDS, VALUES, dtype=torch.int64)
    for step in (1, 255, 65535):
        assert aligned_earlier(nothing, torch.full((8, 8), step)) is None


def test_devices_agree(device: torch.device) -> None:
    histograms, table = stored(encoded(again(ASTRONAUT, 60), 90))
    here = fit_steps(histograms, table, SPREADS)
    there = fit_steps(histograms.to(device), table.to(device), SPREADS)
    assert there.evidence == pytest.approx(here.evidence, rel=1e-4)
    assert torch.equal(there.steps, here.steps)


def test_confidence_rises_with_evidence() -> None:
    found = [ALIGNED_CONFIDENCE.of(evidence) for evidence in (0.0, 1.0, 10.0, 100.0, 1e6)]
    assert found == sorted(found) and 0 <= found[0] < 0.1 and 0.9 < found[-1] <= 1


@pytest.mark.shared
def test_files_with_a_past_have_more_evidence_than_those_without(shared: Path) -> None:
    once, twice = [], []
    for path in sorted((shared / "photos" / "kodak").glob("*.png"))[::6]:
        image = Image.open(path).convert("RGB").crop((200, 100, 456, 292))
        for second in (70, 85):
            once.append(fit_steps(*stored(encoded(image, second)), SPREADS).evidence)
            for first in (45, second - 7):
                file = encoded(again(image, first), second)
                twice.append(fit_steps(*stored(file), SPREADS).evidence)
    wins = np.mean([[after > before for before in once] for after in twice])
    assert wins >= 0.97
