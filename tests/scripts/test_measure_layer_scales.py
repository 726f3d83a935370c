from pathlib import Path

import numpy as np
import pytest
from measure_layer_scales import energies, layer_scales, numbers, picture

from imgcompress.perception.normalization import LAYER_ENERGIES, LAYER_SCALES
from imgcompress.perception.vgg import load_trunk
from imgcompress.resources import default_trunk


# Of all pairs of references these two have JPEGs that are most nearly average: within 8.7 % in every form.
@pytest.mark.shared
def test_the_scales_are_about_what_two_average_pictures_measure(shared: Path):
    folder = shared / "judgments/tid2013_jpeg"
    trunk = load_trunk(default_trunk())
    measured = layer_scales(folder, trunk, ["I11.png", "I19.png"], shrink=2)
    assert list(measured) == list(LAYER_SCALES)
    for form, scales in measured.items():
        np.testing.assert_allclose(scales, LAYER_SCALES[form][2], rtol=0.09)
    found = energies(trunk(picture(folder / "ref" / "I11.png")))
    assert all(1 / 2 < energy / expected < 2 for energy, expected in zip(found, LAYER_ENERGIES, strict=True))


def test_numbers_have_three_digits():
    assert numbers(np.array([0.38453, 116.76])) == "0.385, 117"
