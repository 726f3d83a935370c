"""Bytes where everybody shows the same SSIMULACRA2, picture by picture.

Ours is the file that the tool's own search ends with. A peer's bytes are those at exactly the score that our
file of the picture has under the judge: between the two neighboring qualities that enclose it, log bytes are
taken to be linear in the score.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, JpegImagePlugin

import imgcompress
from imgcompress.errors import UsageError
from imgcompress.targets import Target, parse_target
from rd import report
from rd.bdrate import Curve, log_rate, summarize
from rd.cache import source_digest
from rd.encoders import EncoderSpec
from rd.measure import encode, score
from rd.pictures import PictureFile, Pixels
from rd.qualities import bracket
from rd.scores import SSIMULACRA2, Metric, as_tensor, metrics

_START = (75, 92)
"""Qualities that the curves begin with, too, so that their files may be in the cache."""
_SAMPLINGS = {-1: "gray", 0: "444", 1: "422", 2: "420"}


@dataclass(frozen=True)
class TargetTask:
    """What a worker does.

    Attributes:
        picture: which one.
        encoders: ours, each with the target among its settings, and the peers.
        cache: where results are kept.
    """

    picture: PictureFile
    encoders: tuple[EncoderSpec, ...]
    cache: Path

    @property
    def title(self) -> str:
        """For the line of progress."""
        return self.picture.name


@dataclass(frozen=True)
class Hit:
    """One of our files, and what the peers need for its score.

    Attributes:
        picture, encoder: what it was made from.
        size: bytes; this and the scores are NaN where the search found the target out of reach.
        port: SSIMULACRA2 by this project's port, by which hits are judged.
        judge: SSIMULACRA2 by PyPI's, by which the peers are compared.
        encodes: how many encodings the search took.
        sampling: of the file that it chose.
        peers: bytes at the judge's score; NaN where a peer does not get there.
    """

    picture: str
    encoder: str
    size: float
    port: float
    judge: float
    encodes: int
    sampling: str
    peers: dict[str, float]


def parse(text: str) -> Target:
    """Reads ``ssimulacra2=SCORE``.

    Raises:
        UsageError: another metric, or no target at all.
    """
    target = parse_target(text)
    if target.metric.name != SSIMULACRA2:
        raise UsageError(f"--target: files are compared at equal {SSIMULACRA2}, not {target.metric.name}")
    return target


@cache
def judges() -> tuple[Metric, Metric]:
    """PyPI's SSIMULACRA2 and our port."""
    version = source_digest(Path(imgcompress.__file__).parent)
    return metrics(vgg=False)[0][0], Metric("port", "our port", version, _port, float)


@torch.inference_mode()
def _port(reference: Pixels, result: Pixels) -> float:
    from imgcompress.perception.ssimulacra2 import ssimulacra2

    return float(ssimulacra2(as_tensor(reference), as_tensor(result)))


def measure(task: TargetTask) -> list[Hit]:
    """Searches with each of ours, then looks what the peers need; all from the cache where it is there."""
    return [_hit(task, encoder) for encoder in task.encoders if encoder.ours]


def _hit(task: TargetTask, encoder: EncoderSpec) -> Hit:
    assert encoder.config is not None
    # With a target the quality has no say.
    encoded = encode(task.picture, encoder, encoder.config.quality, task.cache)
    peers = [peer for peer in task.encoders if not peer.ours]
    if not encoded.data:
        nowhere = {peer.name: math.nan for peer in peers}
        return Hit(
            task.picture.name, encoder.name, math.nan, math.nan, math.nan, encoded.encodes, "", nowhere
        )
    reached, port = (score(task.picture, encoded.data, judge, task.cache) for judge in judges())
    with Image.open(BytesIO(encoded.data)) as image:
        sampling = _SAMPLINGS[JpegImagePlugin.get_sampling(image)]
    return Hit(
        task.picture.name,
        encoder.name,
        len(encoded.data),
        port,
        reached,
        encoded.encodes,
        sampling,
        {peer.name: _bytes_of_peer(task, peer, reached) for peer in peers},
    )


def _bytes_of_peer(task: TargetTask, peer: EncoderSpec, wanted: float) -> float:
    @cache
    def file(quality: int) -> tuple[int, float]:
        data = encode(task.picture, peer, quality, task.cache).data
        return len(data), score(task.picture, data, judges()[0], task.cache)

    return bytes_at(wanted, file)


def bytes_at(wanted: float, file: Callable[[int], tuple[int, float]]) -> float:
    """Bytes of an encoder at a score that its integer qualities do not hit.

    Args:
        wanted: the score.
        file: bytes and score of a quality.

    Returns:
        NaN where no quality gets there.
    """
    pair = bracket(lambda quality: file(quality)[1], wanted, _START)
    if pair is None:
        return math.nan
    sizes, scores = zip(*(file(quality) for quality in pair), strict=True)
    return float(np.exp(log_rate(Curve(sizes, scores))(wanted)))


def write_csv(path: Path, hits: Sequence[Hit]) -> None:
    """One line a file of ours; nothing stands where there is no number."""
    names = ("picture", "encoder", "bytes", "port", "judge", "encodes", "sampling")
    rows = (
        (
            *(h.picture, h.encoder, _number(h.size, ".0f"), _number(h.port, ".4f"), _number(h.judge, ".4f")),
            *(h.encodes, h.sampling, *(_number(size, ".1f") for size in h.peers.values())),
        )
        for h in hits
    )
    report.write_csv(path, (*names, *hits[0].peers), rows)


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def markdown(
    pictures: Sequence[PictureFile], hits: Sequence[Hit], target: Target, setting: report.Setting
) -> str:
    """The whole report."""
    encoders = list(dict.fromkeys(hit.encoder for hit in hits))
    parts = [f"# Bytes at SSIMULACRA2 {target.value:g}", f"`{setting.command}`"]
    parts.append("\n".join(report.picture_lists(pictures, setting.fitted_on)))
    parts.append(
        "Ours: the file that the tool's own search ends with, its subsampling included. Hits are judged by "
        "our port of SSIMULACRA2 on the file decoded by Pillow; PyPI's SSIMULACRA2 stands beside it."
    )
    parts.append(_hits_table(encoders, hits, target))
    parts.append(
        "A peer's bytes are those at exactly the score that our file of the picture has under PyPI's "
        "SSIMULACRA2, log bytes taken to be linear in the score between the two neighboring qualities that "
        "enclose it. In each cell the peer's bytes in all (how ours in all compare), then the mean over "
        "pictures [95 % bootstrap interval over pictures] (pictures where ours is larger / pictures; worst "
        "picture), percent, negative: fewer bytes than the peer. All files are progressive and optimized "
        "losslessly by the same tool."
    )
    parts.append(_bytes_table(encoders, hits))
    parts += [_picture_table(encoder, hits) for encoder in encoders]
    parts.append(setting.versions)
    return "\n\n".join(parts) + "\n"


def _hits_table(encoders: Sequence[str], hits: Sequence[Hit], target: Target) -> str:
    lines = [
        f"| | within {target.tolerance:g} | error, mean | largest | error by PyPI's, mean | largest "
        "| encodes, mean | most | out of reach |",
        "|---" * 9 + "|",
    ]
    for encoder in encoders:
        own = [hit for hit in hits if hit.encoder == encoder]
        met = sum(target.is_hit(hit.port) for hit in own)
        encodes = [hit.encodes for hit in own]
        missed = sum(math.isnan(hit.size) for hit in own)
        lines.append(
            f"| {encoder} | {met}/{len(own)} ({100 * met / len(own):.0f} %) "
            f"| {_errors([hit.port for hit in own], target)} | {_errors([hit.judge for hit in own], target)} "
            f"| {statistics.mean(encodes):.2f} | {max(encodes)} | {missed} |"
        )
    return "\n".join(lines)


def _errors(scores: Sequence[float], target: Target) -> str:
    """Mean and largest absolute error of what was reached."""
    errors = [abs(score - target.value) for score in scores if not math.isnan(score)]
    return f"{statistics.mean(errors):.2f} | {max(errors):.2f}" if errors else "none | none"


def _bytes_table(encoders: Sequence[str], hits: Sequence[Hit]) -> str:
    peers = list(hits[0].peers)
    lines = ["| | bytes in all | " + " | ".join(peers) + " |", "|---" * (len(peers) + 2) + "|"]
    for encoder in encoders:
        own = [hit for hit in hits if hit.encoder == encoder and not math.isnan(hit.size)]
        cells = [_peer_cell(own, peer) for peer in peers]
        lines.append(f"| {encoder} | {sum(hit.size for hit in own):,.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _peer_cell(hits: Sequence[Hit], peer: str) -> str:
    """Over the pictures on which the peer gets to our score."""
    pairs = [(hit.size, hit.peers[peer]) for hit in hits if not math.isnan(hit.peers[peer])]
    if not pairs:
        return "none"
    ours, theirs = (sum(sizes) for sizes in zip(*pairs, strict=True))
    each = report.summary_cell(summarize([_percent(*pair) for pair in pairs]))
    return f"{theirs:,.0f} ({_percent(ours, theirs):+.1f}); {each}"


def _percent(ours: float, theirs: float) -> float:
    return 100 * (ours / theirs - 1)


def _picture_table(encoder: str, hits: Sequence[Hit]) -> str:
    """Every picture; of each peer its bytes and how ours compare, percent."""
    peers = list(hits[0].peers)
    headings = [encoder, "bytes", "our port", "PyPI's", "encodes", "sampling", *peers]
    lines = ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
    for hit in hits:
        if hit.encoder != encoder:
            continue
        cells = [hit.picture, "out of reach", "", "", str(hit.encodes), "", *("" for _ in peers)]
        if not math.isnan(hit.size):
            cells[1:4] = [f"{hit.size:,.0f}", f"{hit.port:.2f}", f"{hit.judge:.2f}"]
            cells[5:] = [
                hit.sampling,
                *(
                    "not reached" if math.isnan(size) else f"{size:,.0f} ({_percent(hit.size, size):+.1f})"
                    for size in hit.peers.values()
                ),
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
