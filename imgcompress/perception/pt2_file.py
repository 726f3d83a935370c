"""What of a .pt2 file is read, and what is refused.

``torch.export.load`` alone would be no way to open a file from elsewhere: it unpickles what its tables mark
so, falls back to full unpickling of the sample inputs, evaluates sizes and guards as Python, and looks up
operators by any name below ``torch``. So it only gets what :func:`screened` lets through: raw weights, and
a program of the operators below on sizes that are plain arithmetic. What it does not need is left out:
sample inputs, guards, and the traces of the sources.

Trust: no part of the file is unpickled or evaluated but that. The rest of torch's reader, which torch calls
experimental, is as safe as it is.
"""

import io
import json
import re
import zipfile
from typing import Any

from imgcompress.errors import UsageError
from imgcompress.perception.model_facts import KEY

_PROGRAM = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
_TABLES = {
    "data/weights/model_weights_config.json": r"weight_\d+",
    "data/constants/model_constants_config.json": r"tensor_\d+",
}
_OTHERS = re.compile(
    r"data/weights/weight_\d+|data/constants/tensor_\d+|archive_format|archive_version|byteorder"
    rf"|\.data/version|\.data/serialization_id|extra/{KEY}"
)
_ATEN = (
    "_assert_tensor_metadata.default", "add.Tensor", "avg_pool2d.default", "conv2d.default", "div.Tensor",
    "max_pool2d.default", "mul.Tensor", "relu_.default", "rsqrt.default",
    "select.int", "softmax.int", "square.default", "sub.Tensor", "sum.dim_IntList", "to.dtype",
    "unsqueeze.default", "zeros.default",
)  # fmt: skip
_OPERATORS = {f"torch.ops.aten.{name}" for name in _ATEN} | {"torch.ops.higher_order.wrap_with_autocast"}
_KINDS = {
    "as_bool", "as_device", "as_expr", "as_float", "as_graph", "as_int", "as_ints", "as_layout",
    "as_memory_format", "as_scalar_type", "as_string", "as_tensor",
}  # fmt: skip
_WORD = re.compile(r"[\w.+-]*|\d{1,9}\*s\d+")
_SIZE = re.compile(r"(?:(?:Symbol|Integer|Mul)\(|'s\d+'|positive=True|integer=True|-?\d{1,9}(?!\d)|[(), ])*")
# Of a function of two tensors, a and b, that returns one.
_LEAF = '{"type": null, "context": null, "children_spec": []}'
_PAIR = f'{{"type": "builtins.tuple", "context": "null", "children_spec": [{_LEAF}, {_LEAF}]}}'
_NO_KEYWORDS = '{"type": "builtins.dict", "context": "[]", "children_spec": []}'
_TREES = {
    "in_spec": '[1, {"type": "builtins.tuple", "context": "null", "children_spec": '
    f"[{_PAIR}, {_NO_KEYWORDS}]}}]",
    "out_spec": f"[1, {_LEAF}]",
}


def screened(data: bytes, largest: int) -> bytes:
    """The parts of a .pt2 file that are needed, after a check of each.

    Args:
        data: the file.
        largest: bytes that it may hold in all.

    Returns:
        A file for ``torch.export.load``; the same for one that is screened already.

    Raises:
        UsageError: the file is no such archive, or holds what is not expected.
    """
    result = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(result, "w") as target:
            members = source.infolist()
            if sum(member.file_size for member in members) > largest:
                raise UsageError(f"it unpacks to more than {largest} bytes")
            for member in sorted(members, key=lambda member: member.filename):
                if not member.is_dir():
                    name = member.filename.partition("/")[2]
                    # With one date, equal models are equal files.
                    target.writestr(zipfile.ZipInfo(f"model/{name}"), _part(name, source.read(member)))
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise UsageError(f"not a .pt2 file, or a damaged one: {error}") from error
    return result.getvalue()


def _part(name: str, data: bytes) -> bytes:
    """What of one member is kept."""
    if name == _SAMPLES:
        return b""
    if name == _PROGRAM:
        program = json.loads(data)
        program["guards_code"] = []
        return json.dumps(_kept(program, "")).encode()
    if name in _TABLES:
        return json.dumps(_kept(_raw_only(json.loads(data), _TABLES[name]), "")).encode()
    if not _OTHERS.fullmatch(name) or not data:
        raise UsageError(f"it holds {name!r}, which a .pt2 file of weights and a program does not")
    return data


def _raw_only(table: Any, path: str) -> Any:
    for entry in table["config"].values():
        if entry["use_pickle"] is not False or not re.fullmatch(path, entry["path_name"]):
            raise UsageError(f"{entry['path_name']!r} is no raw tensor; nothing is unpickled")
    return table


def _kept(value: Any, key: str) -> Any:
    """A part of the program, without the traces of its sources, after a check of each word."""
    if isinstance(value, dict):
        for name in value:
            if not _WORD.fullmatch(name) or (name.startswith("as_") and name not in _KINDS):
                raise UsageError(f"its program has a {name!r}")
        return {name: {} if name == "metadata" else _kept(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_kept(item, key) for item in value]
    if isinstance(value, str) and not _is_harmless(value, key):
        raise UsageError(f"its program has the {key} {value!r}")
    return value


def _is_harmless(text: str, key: str) -> bool:
    if key == "target":
        return text in _OPERATORS
    if key == "expr_str":
        return _SIZE.fullmatch(text) is not None
    if key in _TREES:
        return text == _TREES[key]
    return _WORD.fullmatch(text) is not None
