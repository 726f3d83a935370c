"""Where the files that come with the package lie: checkpoints and configurations."""

from pathlib import Path

from imgcompress.errors import UsageError

PACKAGE = Path(__file__).resolve().parent

TRUNK = "checkpoints/vgg16_conv4_3.safetensors"
WEIGHTS = "checkpoints/perceptual_combined.safetensors"
SCORE = "checkpoints/no_reference_score.safetensors"


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


def default_score_model() -> Path:
    """The fitted score without a reference that comes with the package.

    Raises:
        UsageError: it is not there; the installation is incomplete.
    """
    return resource_path(SCORE)


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
