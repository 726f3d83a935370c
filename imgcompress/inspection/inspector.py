"""Looks into files: their segments, their coefficients, their pixels."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

import torch

from imgcompress.backends.attempt import Source
from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.dataset.named_files import File
from imgcompress.errors import PictureError
from imgcompress.faults import as_picture_error, caught
from imgcompress.forensics.earlier_steps import EarlierCompression, aligned_earlier
from imgcompress.forensics.features import luma_of
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.histograms import band_histograms
from imgcompress.forensics.psnr import PsnrEstimates, PsnrEstimator
from imgcompress.forensics.read_structure import read_structure
from imgcompress.forensics.score import load_score_model
from imgcompress.forensics.score_pictures import score_pictures
from imgcompress.forensics.shifted_grid import earlier_in_pixels
from imgcompress.forensics.signatures import Signatures
from imgcompress.forensics.table_quality import table_quality
from imgcompress.image.containers import format_of
from imgcompress.image.decoded import Probe
from imgcompress.image.picture import JpegSource, Picture
from imgcompress.image.read import probe, read_picture
from imgcompress.inspection.advice import Adviser
from imgcompress.inspection.headers import of_jpeg
from imgcompress.inspection.record import Inspection

_LEAST_SHIFTED = 0.97
"""Less sure findings of another grid are false alarms too often: 5 of 52 single JPEGs (docs/forensics.md)."""


class Inspector:
    """Describes pictures. Not for use from several threads at once.

    Args:
        config: of the run that advice is given for; limits and device.
        signatures: of encoders.

    Raises:
        UsageError: a model's file is not there.
    """

    def __init__(self, config: Config, signatures: Signatures) -> None:
        self._config = config
        self._signatures = signatures
        self._device = find_device(config.device)
        self._model = load_score_model().to(self._device)
        self._psnr = PsnrEstimator(self._device)
        self._adviser = Adviser(config, self._device)

    def inspect(self, files: Sequence[File], pool: Executor) -> list[Inspection]:
        """Looks into files of any kind.

        Args:
            files: as many as may be in memory at once, decoded.
            pool: reads and decodes; encodes what is tried.

        Returns:
            One inspection a file, in order. Nothing is raised for a single file.
        """
        return self._estimate(files, list(pool.map(self._look, files)), pool)

    def inspect_decoded(self, file: File, size: Probe, picture: Picture, pool: Executor) -> Inspection:
        """Looks into a file that has been read already.

        Args:
            file: its bytes.
            size: of ``probe``.
            picture: of ``read_picture``.
            pool: encodes what is tried.
        """
        found = self._estimate_alone(replace(self._segments(file), probe=size, picture=picture))
        return self._estimate([file], [found], pool)[0]

    def _look(self, file: File) -> Inspection:
        """All that is found out about one file alone. Runs in the pool."""
        found = Inspection(file.name, len(file.data))
        try:
            found = self._segments(file)
            found = replace(found, probe=probe(file.data))
            found = replace(found, picture=read_picture(file.data, self._config.limits.max_megapixels))
        except Exception as error:  # a fault with one picture must not end the run
            return replace(found, damage=(Finding("damage", str(as_picture_error(error))),))
        return self._estimate_alone(found)

    def _segments(self, file: File) -> Inspection:
        if caught(format_of, file.data) != "jpeg":
            return Inspection(file.name, len(file.data))
        return of_jpeg(file.name, len(file.data), read_structure(file.data), self._signatures)

    def _estimate_alone(self, found: Inspection) -> Inspection:
        """What the coefficients and the pixels of one picture tell."""
        picture = found.picture
        if picture is None or not found.is_decoded:
            return found
        earlier, psnr = caught(self._earlier, picture), caught(self._estimate_psnr, picture)
        return replace(
            found,
            earlier=None if isinstance(earlier, PictureError) else earlier,
            psnr=None if isinstance(psnr, PictureError) else psnr,
        )

    def _earlier(self, picture: Picture) -> EarlierCompression | None:
        """On the same grid by the file's own values; else on any grid by the pixels."""
        source = picture.jpeg
        if source is not None and source.coefficients is not None:
            histograms = band_histograms(source.coefficients[0].to(self._device))
            aligned = aligned_earlier(histograms, source.tables[0])
            if aligned is not None:
                return aligned
        luma = luma_of(picture.pixels[None].to(self._device))[0]
        if source is None:
            return earlier_in_pixels(luma)
        shifted = earlier_in_pixels(luma, later_grid=True)
        return shifted if shifted is not None and _is_believed(shifted, source) else None

    def _estimate_psnr(self, picture: Picture) -> PsnrEstimates | None:
        return None if picture.jpeg is None else self._psnr.estimate_source(picture.jpeg)

    def _estimate(self, files: Sequence[File], looked: list[Inspection], pool: Executor) -> list[Inspection]:
        """Adds scores and advice, in batches."""
        pictures = {
            index: found.picture
            for index, found in enumerate(looked)
            if found.picture is not None and found.is_decoded
        }
        scores = score_pictures(self._model, [*pictures.values()], self._config.limits.batch_megapixels)
        for index, score in zip(pictures, scores, strict=True):
            if isinstance(score, float):
                low, high = self._model.likely_range(torch.tensor([score]))[0].tolist()
                looked[index] = replace(looked[index], score=score, likely_range=(low, high))
        sources = {
            index: Source(file.data, found.picture)
            for index, (file, found) in enumerate(zip(files, looked, strict=True))
            if found.picture is not None
        }
        advice = self._adviser.advise([*sources.values()], pool)
        for index, each in zip(sources, advice, strict=True):
            looked[index] = replace(looked[index], advice=each)
        return looked


def _is_believed(shifted: EarlierCompression, source: JpegSource) -> bool:
    """Whether a finding of another grid is sure enough, and of steps that the later ones left visible."""
    if shifted.quality is None or shifted.confidence < _LEAST_SHIFTED:
        return False
    return shifted.quality < table_quality(source.tables).luma.quality
