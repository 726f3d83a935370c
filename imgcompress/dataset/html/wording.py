"""How numbers and words of a run are written for people."""

from math import isfinite
from typing import NamedTuple

from imgcompress.dataset.sample_pairs import saving
from imgcompress.errors import Reason
from imgcompress.records import FileRecord


class Score(NamedTuple):
    """How a score is written: its name, what the name leaves unsaid, digits after the point."""

    name: str
    note: str = ""
    digits: int = 4

    @property
    def label(self) -> str:
        """The name with its note."""
        return f"{self.name}, {self.note}" if self.note else self.name

    def text(self, value: float) -> str:
        """A value of it."""
        return f"{value:.{self.digits}f}"


_SCORES = {
    "ssimulacra2": Score("SSIMULACRA2", digits=2),
    "vgg": Score("VGG distance", "less is better"),
    "ssim": Score("SSIM"),
    "ms_ssim": Score("MS-SSIM"),
    "psnr": Score("PSNR", "dB", digits=2),
    "max_error": Score("Largest error", "levels of 255", digits=2),
    "phash": Score("Hash distance", "bits", digits=0),
    "phash_color": Score("Color hash distance", "bits", digits=0),
}


def score_of(metric: str) -> Score:
    """How a metric's values are written."""
    return _SCORES.get(metric, Score(metric))


def words(reason: Reason) -> str:
    """A reason as it is said."""
    return reason.replace("_", " ")


def percent(record: FileRecord) -> str:
    """What a file has saved; nothing where that is not known."""
    share = saving(record)
    return f"{100 * share:.1f} %" if isfinite(share) else ""


def files(count: int) -> str:
    """So many files."""
    return f"{count:,} file" + ("" if count == 1 else "s")


def size(count: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point."""
    if count < 1000:
        return f"{count} bytes"
    value, unit = count / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
