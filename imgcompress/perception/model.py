"""What the rest of the package asks of a perceptual model, whatever file it comes from."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from imgcompress.shapes import Float


@runtime_checkable
class PerceptualModel(Protocol):
    """How different pictures look, for batches of pairs."""

    @property
    def digest(self) -> str:
        """Names what is computed, in hexadecimal digits: another model has another one."""

    def __call__(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """One distance a pair.

        Args:
            a: the originals, RGB, 0..1, gamma-coded, any size, on the model's device.
            b: the same pictures, damaged.

        Returns:
            0 for equal pictures, larger for worse ones, float32.
        """
