import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgcompress.image.jpeg_file import parse_jpeg
from imgcompress.image.sampling import SAMPLINGS

SIDES = st.integers(1, 4000)


@given(st.sampled_from(sorted(SAMPLINGS)), SIDES, SIDES)
def test_padding_is_the_least_that_holds_whole_mcus(name: str, height: int, width: int) -> None:
    sampling = SAMPLINGS[name]
    rows, columns = sampling.padded_size(height, width)
    assert rows % sampling.mcu_height == columns % sampling.mcu_width == 0
    assert 0 <= rows - height < sampling.mcu_height and 0 <= columns - width < sampling.mcu_width
    assert sampling.padded_size(rows, columns) == (rows, columns)


@given(st.sampled_from(sorted(SAMPLINGS)), SIDES, SIDES)
def test_the_padding_has_as_many_blocks_as_its_mcus(name: str, height: int, width: int) -> None:
    sampling = SAMPLINGS[name]
    rows, columns = sampling.padded_size(height, width)
    mcus = (rows // sampling.mcu_height, columns // sampling.mcu_width)
    for component in range(sampling.components):
        horizontal, vertical = sampling.factors(component)
        padded = sampling.block_grid(component, rows, columns)
        assert padded == (mcus[0] * vertical, mcus[1] * horizontal)
        real = sampling.block_grid(component, height, width)
        assert 1 <= real[0] <= padded[0] and 1 <= real[1] <= padded[1]


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (17, 33), (257, 265)])
@pytest.mark.parametrize(("name", "option"), [("444", 0), ("422", 1), ("420", 2), ("gray", None)])
def test_the_frame_that_libjpeg_writes(name: str, option: int | None, size: tuple[int, int]) -> None:
    height, width = size
    buffer = io.BytesIO()
    options = {} if option is None else {"subsampling": option}
    Image.new("L" if name == "gray" else "RGB", (width, height)).save(buffer, "JPEG", **options)
    header = parse_jpeg(buffer.getvalue())
    sampling = SAMPLINGS[name]
    assert header.subsampling == name
    for component in range(sampling.components):
        assert sampling.block_grid(component, height, width) == header.block_grid(component)
        written = header.components[component]
        assert sampling.factors(component) == (written.horizontal, written.vertical)


def test_component_sizes_are_rounded_up() -> None:
    assert SAMPLINGS["420"].component_size(1, 7, 9) == (4, 5)
    assert SAMPLINGS["422"].component_size(2, 7, 9) == (7, 5)
    assert SAMPLINGS["440"].component_size(2, 7, 9) == (4, 9)
    assert SAMPLINGS["420"].component_size(0, 7, 9) == (7, 9)
