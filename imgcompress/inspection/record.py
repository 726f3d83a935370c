"""What is known of one file, and as JSON."""

from dataclasses import dataclass

from imgcompress.forensics.earlier_steps import EarlierCompression
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.history import History
from imgcompress.forensics.psnr import PsnrEstimates
from imgcompress.forensics.structure import Structure
from imgcompress.image.decoded import Probe, is_stand_in
from imgcompress.image.picture import Picture
from imgcompress.inspection.advice import Advice


@dataclass(frozen=True)
class Inspection:
    """One file's description; what could not be found out is None or empty.

    Attributes:
        name: as the user would type it.
        size: bytes.
        probe: format, width, height and number of frames.
        picture: what was decoded; None where that was not asked for, or failed.
        structure: a JPEG's segments.
        history: what a JPEG's segments tell about its past.
        earlier: an earlier JPEG compression that shows in the values.
        psnr: of a JPEG against what it was made from, estimated.
        score: SSIMULACRA2 against the original that nobody has, estimated from the pixels.
        likely_range: where that is in nine of ten cases.
        advice: what to do with it.
        damage: why it cannot be decoded.
        error: why the file could not be read at all.
    """

    name: str
    size: int | None = None
    probe: Probe | None = None
    picture: Picture | None = None
    structure: Structure | None = None
    history: History | None = None
    earlier: EarlierCompression | None = None
    psnr: PsnrEstimates | None = None
    score: float | None = None
    likely_range: tuple[float, float] | None = None
    advice: Advice | None = None
    damage: tuple[Finding, ...] = ()
    error: str | None = None

    @property
    def is_decoded(self) -> bool:
        """Whether the pixels are the file's: what is not looked into has a single black one for them."""
        if self.picture is None or self.probe is None:
            return False
        return not is_stand_in(self.picture, self.probe)

    @property
    def is_ours(self) -> bool:
        """Whether this tool wrote the file."""
        return bool((self.picture and self.picture.marked) or (self.structure and self.structure.marked))

    @property
    def bits_per_pixel(self) -> float | None:
        """Of the whole file; None where its size in pixels is unknown."""
        pixels = 0 if self.probe is None else (self.probe.width or 0) * (self.probe.height or 0)
        return None if not pixels or self.size is None else 8 * self.size / pixels

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that speaks for something, with how sure it is."""
        told = () if self.history is None else self.history.findings
        earlier = () if self.earlier is None else (_finding(self.earlier),)
        return (*self.damage, *told, *earlier)


def _finding(earlier: EarlierCompression) -> Finding:
    row, column = earlier.offset
    where = (
        "on the same grid" if (row, column) == (0, 0) else f"on a grid that began {row} down, {column} right"
    )
    steps = int((earlier.steps > 0).sum())
    how = (
        f"nearest to libjpeg's quality {earlier.quality}"
        if earlier.quality
        else "by steps of no known quality"
    )
    text = f"DCT values gather on multiples of earlier steps ({steps} bands show theirs): JPEG {where}, {how}"
    return Finding("earlier_compression", text, earlier.confidence)
