"""``python -m greencoro.legacy``."""

import sys

from greencoro.legacy.launcher import main

sys.exit(main(sys.argv[1:]))
