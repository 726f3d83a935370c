"""Why something was not done: a closed list of reasons, and the errors that carry them."""

from enum import StrEnum


class Reason(StrEnum):
    """One word for the ``reason`` field of a report line."""

    # recompressed
    SMALLER = "smaller"
    CONVERTED = "converted"
    # optimized or kept: the source's own pixels live on
    NOT_SMALLER = "not_smaller"
    VERIFY_REFUSED = "verify_refused"
    TARGET_UNREACHABLE = "target_unreachable"
    ALREADY_OURS = "already_ours"
    CRUSHED = "crushed"
    BELOW_SCORE = "below_score"
    ALPHA = "alpha"
    DEEP_COLOR = "deep_color"
    ANIMATED = "animated"
    SEVERAL_PICTURES = "several_pictures"
    METADATA_TOO_LARGE = "metadata_too_large"
    MAX_PIXELS = "max_pixels"
    NOT_A_PICTURE = "not_a_picture"
    COLOR_SPACE = "color_space"
    GAIN_MAP = "gain_map"
    UNSUPPORTED = "unsupported"
    UNCHECKED = "unchecked"
    # skipped
    EXISTS = "exists"
    DONE = "done"
    # compared
    SIZES_DIFFER = "sizes_differ"
    # failed: nothing written
    READ_ERROR = "read_error"
    DECODE_ERROR = "decode_error"
    TOO_LARGE = "too_large"
    CANNOT_STRIP = "cannot_strip"
    WRITE_ERROR = "write_error"
    LIMITS_CONFLICT = "limits_conflict"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_DIED = "worker_died"
    INTERNAL_ERROR = "internal_error"


class ImgcompressError(Exception):
    """Base of all errors that this package raises on purpose."""


class UsageError(ImgcompressError):
    """The request itself cannot be carried out: wrong paths, options or configuration."""


class PictureError(ImgcompressError):
    """One picture cannot be handled; the others go on.

    Args:
        reason: the word for the report.
        message: what is wrong, for people. The caller adds the file's name.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
