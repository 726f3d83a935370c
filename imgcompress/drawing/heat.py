"""Colors for maps."""

import numpy as np
from numpy.typing import NDArray

# Dark violet over red and orange to pale yellow: brightness rises evenly, so it reads without color too.
_RAMP = np.array([(8, 4, 30), (88, 16, 110), (188, 55, 84), (249, 142, 8), (252, 255, 164)], dtype=np.float32)


def heat_colors(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A map in the ramp's colors.

    Args:
        values: rows, columns; 0 (dark violet) to 1 (pale yellow), what is beyond is clipped.

    Returns:
        Rows, columns, RGB.
    """
    stops = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(values, stops, _RAMP[:, channel]) for channel in range(3)], axis=-1).astype(
        np.uint8
    )
