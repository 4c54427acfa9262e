#!/usr/bin/env python3
"""Run the batch scheduler of this checkout."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from greencoro.cli.discoro import main  # noqa: E402 - found by the line above

if __name__ == "__main__":
    sys.exit(main())
