"""What many waiting coroutines of an old program take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.legacy.old_programs import old_programs, output

COUNT = 1_000_000
MOST_BYTES = 1_000_000_000


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_million_waiting_coroutines_take_less_than_a_gigabyte(tmp_path: Path) -> None:
    with old_programs(tmp_path) as programs:
        program = programs.start("parked", COUNT)
        taken = int(program.line(120))
        assert taken < MOST_BYTES
        assert program.ends(120) == output("parked")
