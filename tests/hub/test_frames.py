"""What other threads and greenlets run, read in one moment."""

import gc
import sys
from pathlib import Path

import greenlet
import pytest

import greencoro
from greencoro.hub import native
from greencoro.hub.frames import stack_of, stack_of_thread, thread_idents
from tests.hub.conftest import Run


@pytest.fixture(params=[True, False], ids=["collecting", "not collecting"])
def collects(request):
    """Whether the collection of garbage is on, which reading a stack is to leave as it is."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    assert gc.isenabled() == request.param
    (gc.enable if before else gc.disable)()


@pytest.fixture
def held():
    """A thread that waits in `hold`."""
    inside, over = native.Event(), native.Event()

    def hold():
        inside.set()
        over.wait(10)

    thread = native.Thread(hold, "holds still")
    thread.start()
    assert inside.wait(10)
    yield thread
    over.set()
    assert thread.join(10)


def names(stack):
    return [frame.f_code.co_name for frame in stack]


def test_the_stack_of_a_thread_is_innermost_first_and_whole(held, collects):
    assert names(stack_of_thread(held.ident)) == ["wait", "hold", "run"]


@pytest.mark.parametrize("ident", [0, None])
def test_a_thread_that_is_not_there_has_no_stack(ident, collects):
    assert stack_of_thread(ident) == []


def test_the_calling_thread_sees_itself(collects):
    assert stack_of_thread(native.get_ident())[-1] is outermost(sys._getframe())


def outermost(frame):
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


def test_a_thread_is_listed_until_its_end(held, collects):
    assert {held.ident, native.get_ident()} <= thread_idents()


def test_the_stack_of_a_greenlet_is_where_it_waits(collects):
    def waits():
        greenlet.getcurrent().parent.switch()

    waiting = greenlet.greenlet(waits)
    assert stack_of(waiting) == []
    waiting.switch()
    assert names(stack_of(waiting)) == ["waits"]
    waiting.switch()
    assert stack_of(waiting) == []
    assert stack_of(greenlet.getcurrent()) == []


def test_only_this_module_asks_for_the_frames_of_all_threads():
    root = Path(greencoro.__file__).parent
    assert [path.name for path in root.rglob("*.py") if "sys._current_frames" in path.read_text()] == ["frames.py"]


def test_threads_that_end_while_garbage_is_freed_stop_nobody_who_reads_stacks(run: Run) -> None:
    # Up to Python 3.11 reading them by `sys._current_frames` alone stops this within a second or two.
    ended = run(
        """
        import gc
        from greencoro.hub.frames import stack_of_thread, thread_idents
        gc.set_threshold(5)
        sys.setswitchinterval(1e-6)
        over = native.Event()

        class GivesTheInterpreterAway:
            def __del__(self):
                native.sleep(0.0002)

        def litter():
            while not over.is_set():
                thing = GivesTheInterpreterAway()
                thing.itself = thing
                native.sleep(0.002)

        def start_threads():
            while not over.is_set():
                native.Thread(lambda: None, "short").start()

        def read():
            while not over.is_set():
                stack_of_thread(computes.ident)
                thread_idents()

        def fall(depth):
            return depth and fall(depth - 1)

        def compute():
            while not over.is_set():
                fall(20)

        computes = native.Thread(compute, "computes")
        others = [native.Thread(each, each.__name__) for each in (litter, start_threads, read)]
        for thread in [computes, *others]:
            thread.start()
        native.sleep(4)
        over.set()
        print(all(thread.join(10) for thread in [computes, *others]))
        """
    )
    assert (ended.status, ended.out) == (0, "True\n"), ended.err
