"""Findings on the standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from imgcompress.errors import UsageError


@contextmanager
def printing() -> Iterator[None]:
    """Within it findings are printed, whatever the names are and whoever reads them.

    Raises:
        UsageError: nobody takes them.
    """
    if sys.stdout is None:
        raise UsageError("the output cannot be written: it is closed")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        yield
        sys.stdout.flush()
    except SystemExit as error:  # what rich makes of a closed pipe
        raise UsageError("the output cannot be written: nobody reads it") from error
    except OSError as error:
        # Python would try to write the rest when it ends, and print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UsageError(f"the output cannot be written: {error.strerror}") from error
