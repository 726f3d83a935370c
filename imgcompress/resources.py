"""Where the files that come with the package lie: checkpoints and configurations."""

from pathlib import Path

from imgcompress.errors import UsageError

PACKAGE = Path(__file__).resolve().parent

TRUNK = "checkpoints/vgg16_conv4_3.safetensors"
WEIGHTS = "checkpoints/perceptual_combined.safetensors"


def default_trunk() -> Path:
    """The VGG16 weights that come with the package.

    Raises:
        UsageError: they are not there; the installation is incomplete.
    """
    return resource_path(TRUNK)


def default_weights() -> Path:
    """The fitted weights of the perceptual distance that come with the package.

    Raises:
        UsageError: they are not there; the installation is incomplete.
    """
    return resource_path(WEIGHTS)


def resource_path(relative: str) -> Path:
    """The path of a file or folder that ships with the package.

    A wheel holds ``checkpoints/`` and ``configs/`` inside the package, the repository beside it.

    Args:
        relative: such as ``checkpoints/vgg16_conv4_3.safetensors`` or ``configs``.

    Raises:
        UsageError: in neither place; the installation is incomplete.
    """
    for folder in (PACKAGE, PACKAGE.parent):
        if (folder / relative).exists():
            return folder / relative
    raise UsageError(
        f"{relative} is neither in {PACKAGE} nor beside it: the installation is incomplete, install it again"
    )
