"""Which pictures are worth coding anew, and why the others are not."""

from collections.abc import Sequence

import torch

from imgcompress.backends.attempt import Source
from imgcompress.config import Config
from imgcompress.errors import PictureError, Reason
from imgcompress.faults import caught
from imgcompress.forensics.crushed import find_crushing
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.score import ScoreModel, load_score_model
from imgcompress.forensics.score_pictures import score_pictures
from imgcompress.image.picture import Picture
from imgcompress.track import Goal


class Triage:
    """Sorts out what is left as it is, whatever the format asked for.

    Args:
        config: all settings.
        device: where pictures are looked at.

    Raises:
        UsageError: pictures are to be judged by their score, and the model's file is not there.
    """

    def __init__(self, config: Config, device: torch.device) -> None:
        self._config = config
        # What further loss would do to a picture comes after a size or a format that was asked for.
        is_size = config.max_bytes is not None or Goal.of(config).target.metric.is_size
        self._spares_crushed = config.crushed == "optimize" and not config.convert and not is_size
        self._model: ScoreModel | None = None
        if config.skip_below is not None:
            self._model = load_score_model().to(device)

    def refusals(self, sources: Sequence[Source]) -> list[PictureError | None]:
        """Why each picture is not to be coded; None where it is.

        Args:
            sources: decoded pictures of any sizes.
        """
        found = [self._refusal(source.picture) for source in sources]
        least = self._config.skip_below
        if self._model is None or least is None:
            return found
        taken = [index for index, error in enumerate(found) if error is None]
        pictures = [sources[index].picture for index in taken]
        scores = score_pictures(self._model, pictures, self._config.limits.batch_megapixels)
        for index, score in zip(taken, scores, strict=True):
            if isinstance(score, PictureError):
                found[index] = score
            elif score is not None and score < least:
                message = f"its quality is estimated at SSIMULACRA2 {score:.0f}, below {least:g}"
                found[index] = PictureError(Reason.BELOW_SCORE, message)
        return found

    def _refusal(self, picture: Picture) -> PictureError | None:
        if picture.marked and not self._config.again:
            return PictureError(Reason.ALREADY_OURS, "this tool made the file")
        if picture.keep is not None:
            return PictureError(*picture.keep)
        most = self._config.max_pixels
        if most is not None and picture.height * picture.width > most:
            return PictureError(Reason.MAX_PIXELS, f"the picture has more than {most} pixels")
        if picture.frames > 1:
            several = picture.format in ("jpeg", "tiff")
            reason = Reason.SEVERAL_PICTURES if several else Reason.ANIMATED
            return PictureError(reason, f"the file holds {picture.frames} pictures")
        if self._spares_crushed and picture.jpeg is not None:
            crushing = caught(find_crushing, picture.jpeg)
            return PictureError(Reason.CRUSHED, crushing.text) if isinstance(crushing, Finding) else crushing
        return None
