"""Searches for bytes that break a target: ``python -m tests.fuzz [NAME] [SECONDS]``, all targets by default.

Needs atheris, which tells the search which branches some bytes led through.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("fuzzing needs atheris: pip install atheris (it has wheels for Linux)")

with atheris.instrument_imports(include=["greencoro.distributed", "greencoro.errors"]):
    from tests.fuzz.targets import TARGETS

_DEFAULT_SECONDS = 60
_ONE = "--one"


def search(name: str, seconds: int, corpus: str) -> None:
    """Does not return: the process ends with 0 where nothing was found."""
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds):
        (Path(corpus) / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-max_len=2048", "-timeout=20", "-rss_limit_mb=2048", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={name}-", "-print_final_stats=1", corpus], target.run)
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """The number of targets that were broken; what broke them is left in the current directory."""
    if arguments and arguments[0] == _ONE:
        search(arguments[1], int(arguments[2]), arguments[3])
    names = [argument for argument in arguments if not argument.isdigit()]
    unknown = set(names) - set(TARGETS)
    if unknown:
        sys.exit(f"there is no target {', '.join(sorted(unknown))}; there are: {', '.join(TARGETS)}")
    seconds = [int(argument) for argument in arguments if argument.isdigit()] or [_DEFAULT_SECONDS]
    broken = 0
    for name in names or TARGETS:
        print(f"{name}: {seconds[0]} s", flush=True)
        with tempfile.TemporaryDirectory() as corpus:
            # A process each: the search ends its own.
            command = [sys.executable, "-m", "tests.fuzz", _ONE, name, str(seconds[0]), corpus]
            broken += subprocess.run(command, check=False).returncode != 0
    return broken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
