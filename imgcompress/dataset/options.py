"""What a run may touch."""

from dataclasses import dataclass
from pathlib import Path

from imgcompress.dataset.sampling import Chosen


@dataclass(frozen=True)
class RunOptions:
    """What a run may touch.

    Attributes:
        dry_run: compute everything, write nothing.
        overwrite: replace outputs that exist, whoever made them.
        state: the folder of the ledger, in which the run notes what it does; None for no ledger.
        resume: leave out what the ledger says is done.
        keep_times: outputs get their sources' permissions and times.
        backup: in place, where each source is copied to before it is replaced; None for nowhere.
        chosen: the only pictures that are computed; None for all.
    """

    dry_run: bool = False
    overwrite: bool = False
    state: Path | None = None
    resume: bool = True
    keep_times: bool = False
    backup: Path | None = None
    chosen: Chosen | None = None
