"""A perceptual model in an ONNX file, run by ONNX Runtime on the memory of torch's tensors.

Trust: an ONNX graph is data. Files that name other files, that loop or branch, or that need operators
outside the standard are refused; how much memory and time the rest takes is up to the file, and the runtime
is a large native library. Whoever may choose the file may slow the process down or find its bugs.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from imgcompress.errors import UsageError
from imgcompress.perception.distance import CELL
from imgcompress.perception.file_distance import FileDistance
from imgcompress.perception.model_facts import INPUTS, KEY, OUTPUT, ModelFacts, parse_facts
from imgcompress.shapes import Float

_CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}
_FATAL_ONLY = 4  # errors come as exceptions; the runtime would print each one as well


class OnnxDistance(FileDistance):
    """The distance whose map an ONNX file computes; it has no gradients.

    Args:
        data: the file's content.
        device: where. CUDA takes ``onnxruntime-gpu`` in the place of ``onnxruntime``.
        max_tile_pixels: as for :class:`MapDistance`.

    Raises:
        UsageError: the content is not such a model, or the runtime cannot be had for this device.
    """

    def __init__(self, data: bytes, device: torch.device, max_tile_pixels: int) -> None:
        super().__init__(data, _checked(data), max_tile_pixels)
        self._device = device
        self._session = _session(data, device)

    def tile_map(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch down across"]:
        """V of every 8x8 block, see :meth:`MapDistance.tile_map`."""
        batch, _, height, width = a.shape
        result = torch.empty((batch, height // CELL, width // CELL), device=a.device)
        a, b = a.detach().contiguous(), b.detach().contiguous()
        binding = self.bind(a, b, result)
        self.run(binding)
        return result

    def bind(self, a: Tensor, b: Tensor, result: Tensor) -> Any:
        """Has the runtime read from and write to these tensors' own memory.

        Args:
            a: contiguous, without gradient. It must live as long as the binding is run, as all three.
            b: the same.
            result: for the map.

        Returns:
            An ``onnxruntime.IOBinding`` for :meth:`run`.
        """
        from onnxruntime import OrtValue

        binding = self._session.io_binding()
        for name, tensor in zip(INPUTS, (a, b), strict=True):
            binding.bind_ortvalue_input(name, OrtValue.from_dlpack(tensor))
        binding.bind_ortvalue_output(OUTPUT, OrtValue.from_dlpack(result))
        return binding

    def run(self, binding: Any) -> None:
        """Computes the map of what is bound, from what the tensors hold now.

        Raises:
            RuntimeError: the model failed, or gives another shape.
        """
        from onnxruntime import RunOptions

        options = RunOptions()
        options.log_severity_level = _FATAL_ONLY
        if self._device.type == "cuda":
            # The runtime has a stream of its own, which must not read what torch has not written yet.
            torch.cuda.synchronize(self._device)
        self._session.run_with_iobinding(binding, options)
        binding.synchronize_outputs()


def _session(data: bytes, device: torch.device) -> Any:
    import onnxruntime

    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise UsageError("this ONNX Runtime has no CUDA: install onnxruntime-gpu, or use device: cpu")
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(data, options, providers=providers)


def _checked(data: bytes) -> ModelFacts:
    try:
        import onnx
    except ImportError as error:
        raise UsageError("ONNX files need the extra onnx: pip install 'imgcompress[onnx]'") from error
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's own, which has no types
        raise UsageError("not an ONNX file, or a damaged one") from error
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto) and (message.data_location or message.external_data):
            raise UsageError("the weights are outside of the file; they must be in it")
        if isinstance(message, onnx.NodeProto) and (
            message.domain not in ("", "ai.onnx") or message.op_type in _CONTROL_FLOW
        ):
            raise UsageError(f"operator {message.domain}.{message.op_type}: only plain standard ones are run")
    inputs = {value.name: _shape(value) for value in model.graph.input}
    outputs = {value.name: _shape(value) for value in model.graph.output}
    number = onnx.TensorProto.FLOAT
    if inputs != dict.fromkeys(INPUTS, (number, 4)) or outputs != {OUTPUT: (number, 3)}:
        names = f"{', '.join(inputs)} to {', '.join(outputs)}"
        raise UsageError(
            "expected float32 inputs a and b [batch, 3, height, width] and the output "
            f"{OUTPUT} [batch, height / {CELL}, width / {CELL}], got {names}"
        )
    return parse_facts({entry.key: entry.value for entry in model.metadata_props}.get(KEY))


def _shape(value: Any) -> tuple[int, int]:
    """Number type and number of dimensions."""
    tensor = value.type.tensor_type
    return tensor.elem_type, len(tensor.shape.dim)


def _messages(message: Any) -> Iterator[Any]:
    """A protobuf message and all that are in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in (value,) if hasattr(value, "ListFields") else value:
            yield from _messages(item)
