"""Memory that is taken once and used again for every batch."""

from math import prod

import torch
from torch import Tensor

from imgcompress.shapes import Shaped


class BufferPool:
    """Hands out tensors cut from storage that grows to the largest request and is then reused.

    A tensor is valid until the same name is taken again. Not for use from several threads.

    Attributes:
        allocations: how often storage was allocated.
        reuses: how often a request was served without an allocation.
    """

    def __init__(self) -> None:
        self.allocations = 0
        self.reuses = 0
        self._storage: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def take(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        pinned: bool = False,
    ) -> Shaped[Tensor, "*shape"]:
        """A tensor of uninitialized memory.

        Args:
            name: what it is for; two tensors that live at the same time need two names.
            shape: sizes; any product up to the largest so far needs no allocation.
            dtype: element type.
            device: where it lives.
            pinned: page-locked host memory, which a CUDA device reads without another copy.

        Returns:
            A contiguous tensor of that shape.
        """
        key = (name, dtype, device)
        count = prod(shape)
        storage = self._storage.get(key)
        if storage is None or storage.numel() < count:
            self._storage.pop(key, None)
            storage = torch.empty(count, dtype=dtype, device=device, pin_memory=pinned)
            self._storage[key] = storage
            self.allocations += 1
        else:
            self.reuses += 1
        return storage[:count].view(shape)
