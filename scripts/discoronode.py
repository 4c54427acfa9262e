#!/usr/bin/env python3
"""Run the node daemon of this checkout."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from greencoro.cli.discoronode import main  # noqa: E402 - found by the line above

if __name__ == "__main__":
    sys.exit(main())
