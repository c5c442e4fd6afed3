"""``python -m promptchain`` is the command ``promptchain``."""

import sys

from promptchain.cli import main

if __name__ == "__main__":
    sys.exit(main())
