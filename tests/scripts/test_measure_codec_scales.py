from pathlib import Path

import pytest
from measure_codec_scales import CODECS, SIDE, center, mean_score


# Of seven pictures these two come nearest to the mean of all together.
@pytest.mark.shared
@pytest.mark.parametrize("name", ["webp", "aom", "svt"])
def test_the_scale_is_about_what_two_pictures_measure(name: str, shared: Path):
    pictures = [center(shared / f"photos/kodak/kodim{number:02d}.png") for number in (1, 12)]
    assert all(picture.pixels.shape == (3, SIDE, SIDE) for picture in pictures)
    codec = CODECS[name]
    assert mean_score(codec, pictures, codec.quality_of_score(76.0), "420") == pytest.approx(76.0, abs=2)
