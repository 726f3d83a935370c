import numpy as np

from imgcompress.drawing.heat import heat_colors


def test_colors_grow_brighter_and_are_clipped() -> None:
    colors = heat_colors(np.array([[-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0]], dtype=np.float32))[0].astype(int)
    assert (colors[0] == colors[1]).all() and (colors[-1] == colors[-2]).all()
    assert (np.diff(colors[1:-1].sum(axis=1)) > 50).all()
