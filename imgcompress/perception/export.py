"""Writes the perceptual model as a file that other programs run, and that a running service can be given.

What is exported is the map of V: two batches of RGB pictures in, float32, 0..1, gamma-coded, with sides that
are multiples of 8, at least 16; one float32 per block of 8x8 pixels out. Batch, height and width are free.
Padding, halving, tiling, pooling and the share of SSIMULACRA2 stay in this package, and the file says which
ones belong to the map (:class:`ModelFacts`). Without SSIMULACRA2 and pooling, the distance is the map's mean.

Weights are float32, whatever the trunk's file holds.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from imgcompress.config import PerceptionConfig
from imgcompress.errors import PictureError, UsageError
from imgcompress.image.write import write_atomically
from imgcompress.perception.distance import CELL, PerceptualDistance, load_distance
from imgcompress.perception.model_facts import INPUTS, KEY, OUTPUT, facts_of
from imgcompress.perception.model_file import LARGEST_FILE
from imgcompress.perception.pt2_file import screened
from imgcompress.resources import default_trunk

# The largest in whole cells that the file's own checks allow; memory ends earlier.
_MOST_CELLS = 1 << 16


class _TileMap(nn.Module):
    def __init__(self, distance: PerceptualDistance) -> None:
        super().__init__()
        self.distance = distance

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.distance.tile_map(a, b)


def export_model(perception: PerceptionConfig, onnx: Path | None, pt2: Path | None) -> None:
    """Writes the distance of the settings, as it is on a CPU (``perception.cpu_scale``).

    Args:
        perception: which distance.
        onnx: for ONNX Runtime; None for no such file.
        pt2: for ``torch.export.load``.

    Raises:
        UsageError: the weights cannot be read, a file cannot be written, or a package is missing.
    """
    for path, suffix in ((onnx, ".onnx"), (pt2, ".pt2")):
        if path is not None and path.suffix != suffix:
            raise UsageError(f"{path}: expected a name that ends in {suffix}")
    distance = load_distance(perception, torch.device("cpu"))
    facts = facts_of(distance, default_trunk() if perception.trunk is None else Path(perception.trunk))
    program = _traced(distance)
    if pt2 is not None:
        _write(pt2, _as_pt2(program, facts.to_json()))
    if onnx is not None:
        _write(onnx, _as_onnx(program, facts.to_json()))


@torch.no_grad()
def _traced(distance: PerceptualDistance) -> ExportedProgram:
    down, across = (Dim(name, min=2, max=_MOST_CELLS) for name in ("down", "across"))
    free = {0: Dim("batch", min=1, max=_MOST_CELLS), 2: CELL * down, 3: CELL * across}
    # All sizes differ, so that none is taken for another.
    a, b = torch.zeros(2, 2, 3, 48, 64)
    return torch.export.export(_TileMap(distance).eval(), (a, b), dynamic_shapes=(free, free), strict=False)


def _as_pt2(program: ExportedProgram, facts: str) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Weights that lie channels last are not "complete" to it; they are written all the same.
        warnings.filterwarnings("ignore", "No complete tensor found")
        torch.export.save(program, file, extra_files={KEY: facts})
    return screened(file.getvalue(), LARGEST_FILE)


def _as_onnx(program: ExportedProgram, facts: str) -> bytes:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError("--onnx needs the extra onnx: pip install 'imgcompress[onnx]'") from error
    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=list(INPUTS),
        output_names=[OUTPUT],
        external_data=False,
        verbose=False,
    )
    assert exported is not None
    model: Any = exported.model_proto
    # Traces of the sources, which mean nothing elsewhere.
    for part in (
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
    ):
        part.ClearField("metadata_props")
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, facts
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _write(path: Path, data: bytes) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path}: cannot write the model: there is no such folder")
    try:
        write_atomically(path, data)
    except PictureError as error:
        raise UsageError(f"{path}: cannot write the model: {error}") from error
