import subprocess
import sys
import time

import pytest

from benchmarks.measure import Measurement, cpu_seconds, measured

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


def test_the_cpu_time_of_a_child_that_runs_counts():
    before = cpu_seconds()
    with subprocess.Popen([sys.executable, "-c", BURN + "print(1, flush=True)\ninput()"], **PIPES) as child:
        child.stdout.readline()
        assert cpu_seconds() - before >= 0.25
        child.stdin.close()


def test_the_cpu_time_of_a_child_that_was_waited_for_counts():
    before = cpu_seconds()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert cpu_seconds() - before >= 0.25


def test_waiting_takes_wall_time_and_no_cpu_time():
    with measured(10) as measurement:
        time.sleep(0.1)
    assert 0.1 <= measurement.seconds < 5
    assert measurement.cpu_seconds < measurement.seconds


def test_figures_are_by_operation():
    measurement = Measurement(100)
    measurement.seconds, measurement.cpu_seconds = 2.0, 0.5
    assert measurement.rate().figure == 50
    assert measurement.microseconds_each(p99=3.0).figure == pytest.approx(20_000)
    assert measurement.microseconds_each(p99=3.0).others == {"p99": 3.0}
    assert measurement.rate().cpu_microseconds == pytest.approx(5_000)


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
