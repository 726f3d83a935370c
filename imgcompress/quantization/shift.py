"""Quantization by powers of two: a right shift of the magnitude instead of a division.

The source of the idea keeps integers on a CPU without fast division, and shifts by 5 in smooth and by 3 in
textured blocks. On tensors a shift needs a conversion to integers first; ``scripts/bench speed`` measures
what is left of the gain. Default tables never use these steps: a step of 32 in smooth areas is visible.
"""

import torch
from torch import Tensor

from imgcompress.shapes import Int

SHIFTS = {"smooth": 5, "texture": 3}
"""Shifts of the source document; it gives none for edges."""


def quantize_by_shift(
    coefficients: Int[Tensor, "*shape"], shifts: Int[Tensor, "*#shape"]
) -> Int[Tensor, "*shape"]:
    """Divides integers by ``2 ** shifts``, toward zero, by shifting the magnitude and restoring the sign.

    Args:
        coefficients: int32.
        shifts: int32, 0 to 30, broadcast against the coefficients.

    Returns:
        int32, equal to ``trunc(coefficients / 2 ** shifts)``.
    """
    return torch.sign(coefficients) * (coefficients.abs() >> shifts)
