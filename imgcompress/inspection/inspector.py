"""Looks into files: their segments, their coefficients, their pixels."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace


from imgcompress.backends.attempt import Source
from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.errors import PictureError
from imgcompress.faults import as_picture_error, caught
from imgcompress.forensics.earlier_steps import EarlierCompression, aligned_earlier
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.histograms import band_histograms
from imgcompress.forensics.history import read_history
from imgcompress.forensics.signatures import Signatures
from imgcompress.forensics.luma import luma_of
from imgcompress.forensics.psnr import PsnrEstimate, estimate_psnr
from imgcompress.forensics.score import load_score_model
from imgcompress.forensics.score_pictures import score_pictures
from imgcompress.forensics.shifted_grid import earlier_in_pixels
from imgcompress.forensics.structure import Structure, read_structure
from imgcompress.image.containers import format_of
from imgcompress.image.picture import Picture
from imgcompress.image.read import probe, read_picture
from imgcompress.inspection.advice import Adviser
from imgcompress.inspection.record import Inspection


@dataclass(frozen=True)
class File:
    """A file to be looked into: its name as the user would type it, and its bytes."""

    name: str
    data: bytes


class Inspector:
    """Describes pictures. Not for use from several threads at once.

    Args:
        config: of the run that advice is given for; limits and device.
        signatures: of encoders.
        advises: whether each picture is tried to see what recompressing would save.

    Raises:
        UsageError: a model's file is not there, or the target is no SSIMULACRA2 score.
    """

    def __init__(self, config: Config, signatures: Signatures, *, advises: bool = True) -> None:
        self._config = config
        self._signatures = signatures
        device = find_device(config.device)
        self._device = device
        self._model = load_score_model().to(device)
        self._adviser = Adviser(config, device) if advises else None

    def inspect(self, files: Sequence[File], pool: Executor) -> list[Inspection]:
        """Looks into files of any kind.

        Args:
            files: as many as may be in memory at once, decoded.
            pool: reads and decodes; encodes what is tried.

        Returns:
            One inspection a file, in order. Nothing is raised for a single file.
        """
        looked = list(pool.map(self._look, files))
        shown = [index for index, each in enumerate(looked) if each.is_decoded]
        pictures = [picture for each in looked if each.is_decoded and (picture := each.picture) is not None]
        scores = score_pictures(self._model, pictures, self._config.limits.batch_megapixels)
        for index, score in zip(shown, scores, strict=True):
            if not isinstance(score, PictureError):
                looked[index] = replace(looked[index], score=score)
        if self._adviser is not None:
            sources = [
                (index, Source(files[index].data, each.picture))
                for index, each in enumerate(looked)
                if each.picture is not None
            ]
            advice = self._adviser.advise([source for _, source in sources], pool)
            for (index, _), each in zip(sources, advice, strict=True):
                looked[index] = replace(looked[index], advice=each)
        return looked

    def _look(self, file: File) -> Inspection:
        """All that is found out about one file alone. Runs in the pool."""
        found = Inspection(file.name, len(file.data))
        if format_of(file.data) == "jpeg":
            structure = read_structure(file.data)
            history = read_history(structure, self._signatures)
            found = replace(found, structure=structure, history=history, damage=structure.damage)
        try:
            found = replace(found, probe=probe(file.data))
            picture = read_picture(file.data, self._config.limits.max_megapixels)
            found = replace(found, picture=picture)
        except Exception as error:  # a fault with one picture must not end the run
            damage = Finding("damage", str(as_picture_error(error)))
            return replace(found, damage=(*found.damage, damage))
        return self._estimate(found, picture) if found.is_decoded else found

    def _estimate(self, found: Inspection, picture: Picture) -> Inspection:
        earlier = caught(self._earlier, picture)
        psnr = caught(self._psnr, picture)
        return replace(
            found,
            earlier=None if isinstance(earlier, PictureError) else earlier,
            psnr=None if isinstance(psnr, PictureError) else psnr,
        )

    def _earlier(self, picture: Picture) -> EarlierCompression | None:
        """On the same grid by the file's own values; else on any grid by the pixels."""
        luma = luma_of(picture.pixels[None].to(self._device))[0]
        source = picture.jpeg
        if source is None:
            return earlier_in_pixels(luma)
        if source.coefficients is None:
            return earlier_in_pixels(luma, later_grid=True)
        histograms = band_histograms(source.coefficients[0].to(self._device))
        aligned = aligned_earlier(histograms, source.tables[0])
        return aligned or earlier_in_pixels(luma, later_grid=True)

    def _psnr(self, picture: Picture) -> PsnrEstimate | None:
        return None if picture.jpeg is None else estimate_psnr(picture.jpeg)

