"""``python -m imgcompress``: the command line."""

import sys

from imgcompress.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
