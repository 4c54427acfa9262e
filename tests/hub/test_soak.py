"""Millions of coroutines come and go, and what they took up is free again."""

import pytest

from .conftest import Run

NAMES = ("resident KiB", "maps", "descriptors", "alive")

# These are measured after the first 200,000, when everything that is kept on purpose (idle workers, the allocator's
# arenas) is there, and again at the end.
PROGRAM = """
import gc, logging

def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024

def number_of_maps():
    with open("/proc/self/maps") as file:
        return sum(1 for line in file)

def measure():
    gc.collect()
    return resident_kib(), number_of_maps(), len(os.listdir("/proc/self/fd")), len(process_exit.alive)

def short():
    pass

def echoes(coro):
    return coro.receive()

def stays(coro):
    sleep(60)

def fails():
    raise ValueError

logging.getLogger("greencoro").addHandler(logging.StreamHandler(open(os.devnull, "w")))

def generates(coro):
    message = yield coro.receive()
    yield message

def burst(number):
    # Most are over at once; some of each other kind are alive together, so that they need workers of their own.
    waiting = [Coro(echoes) for _ in range(number // 40)] + [Coro(generates) for _ in range(number // 40)]
    doomed = [Coro(stays) for _ in range(number // 40)] + [Coro(fails) for _ in range(3)]
    for _ in range(number - len(waiting) - len(doomed) - 1):
        last = Coro(short)
    last.value()
    for coro in waiting:
        coro.send(1)
    for coro in doomed:
        coro.terminate()
    for coro in (*waiting, *doomed):
        try:
            coro.value()
        except (CoroTerminated, ValueError):
            pass
    return number

def bursts(total):
    made = 0
    while made < total:
        made += Coro(burst, 10_000).value()

bursts(200_000)
before = measure()
bursts(2_000_000)
print(*before)
print(*measure())
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_million_coroutines_leave_nothing_behind(run: Run) -> None:
    ended = run(PROGRAM, timeout=240)
    assert (ended.status, ended.err) == (0, "")
    before, after = (dict(zip(NAMES, map(int, line.split()), strict=True)) for line in ended.out.splitlines())
    assert after["alive"] == before["alive"] == 0
    assert after["descriptors"] == before["descriptors"]
    # One byte each would be 2000 KiB; the allocator takes a few hundred more or less by itself.
    assert after["resident KiB"] <= before["resident KiB"] + 1500, (before, after)
    assert after["maps"] <= before["maps"] + 10, (before, after)
