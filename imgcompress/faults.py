"""What an unforeseen error says about the picture at hand."""

from collections.abc import Callable
from typing import TypeVar

import torch

from imgcompress.errors import PictureError, Reason

Value = TypeVar("Value")


def as_picture_error(error: Exception) -> PictureError:
    """What an error of any kind says about the picture at hand; the others go on."""
    if isinstance(error, PictureError):
        return error
    # Without memory on the CPU torch raises a plain RuntimeError.
    no_memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)
    reason = Reason.OUT_OF_MEMORY if no_memory else Reason.INTERNAL_ERROR
    return PictureError(reason, f"{type(error).__name__}: {error}")


def caught(function: Callable[..., Value], *arguments: object) -> Value | PictureError:
    """What a function gives, or what its error says: a fault with one picture must not end the run."""
    try:
        return function(*arguments)
    except Exception as error:
        return as_picture_error(error)
