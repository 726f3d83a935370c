from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def flow_chart_bits() -> Callable[[list[int], list[float]], float]:
    """A witness for rates that runs through one block at a time."""

    def flow_chart_bits(values: list[int], lengths: list[float]) -> float:
        """AC bits of a block in zigzag order by T.81, figures F.2 and F.3."""
        bits, run = 0.0, 0
        for value in values[1:]:
            if value == 0:
                run += 1
                continue
            while run > 15:
                bits += lengths[0xF0]
                run -= 16
            size = abs(value).bit_length()
            bits += lengths[run << 4 | size] + size
            run = 0
        return bits + (lengths[0] if run else 0)

    return flow_chart_bits
