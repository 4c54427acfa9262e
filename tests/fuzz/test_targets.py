"""The fuzzer's targets, so that they keep working where nobody runs it; and a short search where it is installed."""

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.checks import Edit, damaged
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_what_is_made_of_them_and_noise(name):
    target, dice = TARGETS[name], random.Random(name)
    for seed in target.seeds:
        target.run(seed)
        for _ in range(60):
            edits = [Edit(*(dice.randrange(3000) for _ in range(3))) for _ in range(dice.randrange(1, 4))]
            target.run(damaged(seed, edits))
    for size in range(60):
        target.run(dice.randbytes(size))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed: it has wheels for Linux on x86-64"
)
def test_a_search_of_five_seconds_finds_nothing(name, tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", name, "5"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr[-3000:]
