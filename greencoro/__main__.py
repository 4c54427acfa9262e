"""``python -m greencoro``: the ``greencoro`` command."""

import sys

from greencoro.cli import main

if __name__ == "__main__":
    sys.exit(main())
