"""Another minor version of Python than the one that runs the tests, where there is one."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.examples import program_environment

#: What greencoro needs: an interpreter without that is of no use here.
_LOOK = "import sys, cryptography, gevent, psutil; print('%d.%d' % sys.version_info[:2])"
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@functools.cache
def another_python() -> str | None:
    """The path of an interpreter of another minor version that has what greencoro needs; None: there is none.

    The variable OTHER_PYTHON may name it; else those on PATH, of pyenv, and of virtual environments beside the one
    that runs the tests are tried.
    """
    for path in _candidates():
        try:
            # A name on PATH proves little: a pyenv shim exists for versions that are not active.
            tried = subprocess.run(
                [path, "-c", _LOOK], env=program_environment(), capture_output=True, text=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if tried.returncode == 0 and tried.stdout.strip() != _HERE:
            return path
    return None


def _candidates() -> Iterator[str]:
    named = os.environ.get("OTHER_PYTHON")
    if named is not None:
        yield named
    for minor in ("3.11", "3.12", "3.13"):
        if minor == _HERE:
            continue
        found = shutil.which(f"python{minor}")
        if found is not None:
            yield found
        yield from map(str, sorted(Path.home().glob(f".pyenv/versions/{minor}*/bin/python")))
    venv = Path(sys.prefix)
    yield from map(str, sorted(venv.parent.glob(f"{venv.name.split('-')[0]}*/bin/python")))
