from pathlib import Path

import pytest

from imgcompress.comparison.record import Compared, Outcome
from imgcompress.perception.windows import Window


@pytest.fixture
def results() -> list[Compared]:
    """One of each outcome, and two more that passed; names are as bad as file systems allow."""
    reference, test = Path("references"), Path("screenshots")
    return [
        Compared(
            "good.png", Outcome.PASSED, reference / "good.png", test / "good.png", 64, 48, {"psnr": 41.25}
        ),
        Compared(
            "pages/bad, 100%:\x1b[31m\n|<b>&`.png",
            Outcome.FAILED,
            reference / "bad.png",
            test / "bad.png",
            600,
            400,
            {"ssimulacra2": 61.2, "psnr": float("nan")},
            {"ssimulacra2": (Window(64, 32, 64, 64, 12.5), Window(0, 0, 64, 64, 40.0))},
            ("the reference has a color profile and the test has none",),
            ("ssimulacra2 is 61.20, below 70", "a window has 12.50, below 40"),
        ),
        Compared("gone.png", Outcome.MISSING, reference / "gone.png", None),
        Compared("new\udcff\uffff.png", Outcome.EXTRA, None, test / "new\udcff\uffff.png"),
        Compared(
            "broken.png",
            Outcome.ERROR,
            reference / "broken.png",
            test / "broken.png",
            error="the test cannot be read: ends\x00 early",
        ),
        Compared("noted.png", Outcome.PASSED, reference / "noted.png", test / "noted.png", notes=("turned",)),
    ]
