import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from imgcompress.quantization.shift import SHIFTS, quantize_by_shift


@given(st.lists(st.tuples(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(0, 30)), min_size=1))
def test_equals_division_that_truncates(pairs: list[tuple[int, int]]) -> None:
    values, shifts = (torch.tensor(column, dtype=torch.int32) for column in zip(*pairs, strict=True))
    expected = [math.trunc(value / 2**shift) for value, shift in pairs]
    assert quantize_by_shift(values, shifts).tolist() == expected


def test_the_sign_is_kept_where_a_plain_shift_would_floor() -> None:
    values = torch.tensor([-33, -32, -31, -1, 0, 1, 31, 32, 33], dtype=torch.int32)
    assert quantize_by_shift(values, torch.tensor([5], dtype=torch.int32)).tolist() == [
        -1, -1, 0, 0, 0, 0, 0, 1, 1,
    ]  # fmt: skip
    assert (values >> 5).tolist()[2] == -1


def test_one_shift_a_block(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(-1024, 1024, (2, 3, 4, 8, 8), generator=generator, dtype=torch.int32)
    kinds = torch.tensor([SHIFTS["smooth"], SHIFTS["texture"]], dtype=torch.int32)
    shifts = kinds[torch.randint(0, 2, (2, 3, 4, 1, 1), generator=generator)]
    result = quantize_by_shift(values.to(device), shifts.to(device)).cpu()
    assert result.dtype == torch.int32
    assert torch.equal(result, torch.trunc(values / 2**shifts).int())
