"""What is said of programs that can go no further; each of them is run, and ended by Ctrl-C where it does not end."""

import re

import pytest

PARK = """
def client(coro):
    return coro.receive()
"""


def of(text):
    return [line for line in text.splitlines() if line.startswith("greencoro:")]


# What the program says goes through a shell, which tells the test of it. That is no child of the program: in a patched
# one a watcher would wait for its end; and no thread, which would count as somebody who may do something.
TELLS_WHEN_IT_IS_SAID = r"""
os.mkfifo(fifo := __file__ + ".stderr")
os.system(
    "while IFS= read -r line; do printf '%s\n' \"$line\" >&2; "
    "case $line in greencoro:*) echo ready;; esac; done <'" + fifo + "' &"
)
os.dup2(os.open(fifo, os.O_WRONLY), 2)
signal.alarm(15)  # where nothing is said
"""


def wait_at_the_end(run, source, patched=False):
    """Run a program that does not end and says so, and is interrupted then."""
    ended = run(TELLS_WHEN_IT_IS_SAID + source, patched=patched, interrupts=1)
    return of(ended.err), ended


def what_is_said(run, source):
    """Run a program that does not end, and is interrupted after enough time for something to be said."""
    ended = run(f'os.system(f"(sleep 1.8; kill -INT {{os.getpid()}}) &")\n{source}')
    return of(ended.err)


@pytest.mark.parametrize("patched", [False, True])
def test_a_message_that_nobody_can_send_is_told_at_the_end_of_the_program(run, patched):
    said, ended = wait_at_the_end(run, PARK + "Coro(client)", patched)
    assert len(said) == 1
    assert re.fullmatch(
        r"greencoro: client/1 waits in receive\(\) \(\S+/program.py:\d+ in client\(\)\) "
        r"for a message that nobody is left to send; Ctrl-C ends it",
        said[0],
    )
    assert ended.status == -2


def test_one_that_is_suspended_and_one_that_waits_for_another_are_told_too(run):
    said, _ = wait_at_the_end(
        run,
        PARK
        + """
def suspends(coro):
    coro.suspend()
def joins(other):
    other.value()
def sleeps(coro):
    coro.sleep()
def finishes(other):
    other.finish()
first = Coro(client)
Coro(suspends)
Coro(joins, first)
Coro(sleeps)
Coro(finishes, first)
""",
    )
    assert "client/1 waits in receive()" in said[0]
    clauses = said[0].split("; ")
    for clause, name, end in (
        (clauses[1], "suspends/2 is suspended (", ", and nobody is left to resume it"),
        (clauses[2], "joins/3 waits in value() (", " for the end of one that cannot go on either"),
        (clauses[3], "sleeps/4 is suspended (", ", and nobody is left to resume it"),
        (clauses[4], "finishes/5 waits in finish() (", " for the end of one that cannot go on either"),
    ):
        assert clause.startswith(name) and clause.endswith(end), clause
    assert said[0].endswith("; Ctrl-C ends them")


def test_those_that_wait_alike_are_told_together_and_some_of_them_named(run):
    said, _ = wait_at_the_end(run, PARK + "for _ in range(9): Coro(client)")
    assert re.fullmatch(
        r"greencoro: 9 coroutines \(client/1, client/2, client/3, client/4, client/5 and 4 more\) "
        r"wait in receive\(\) \(\S+/program.py:\d+ in client\(\)\) "
        r"for a message that nobody is left to send; Ctrl-C ends them",
        said[0],
    )


def test_those_that_wait_elsewhere_are_told_by_themselves_and_of_many_the_first(run):
    said, _ = wait_at_the_end(
        run,
        """
source = "\\n".join(f"def waits{n}(coro): coro.receive()" for n in range(7))
exec(compile(source, __file__, "exec"))
for n in range(7): Coro(globals()[f"waits{n}"])
Coro(waits0)
Coro(lambda coro: (coro.suspend(),)).set_daemon()
""",
    )
    assert "2 coroutines (waits0/1, waits0/8) wait in receive() (" in said[0]
    assert said[0].count("for a message that nobody is left to send; ") == 5
    assert said[0].count("waits in receive()") == 4
    assert said[0].endswith("; 2 more wait as well; Ctrl-C ends them")


def test_it_is_told_soon_after_the_last_that_could_have_done_something_ended(run):
    said, _ = wait_at_the_end(run, PARK + "Coro(client)\nCoro(sleep, 0.4)")
    assert len(said) == 1


def test_a_daemon_that_waits_keeps_nobody_and_is_not_told(run):
    ended = run(PARK + "Coro(client).set_daemon()\nCoro(sleep, 0.5)")
    assert (of(ended.err), ended.status) == ([], 0)


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize(
    "source",
    [
        # A timer, in a coroutine and by gevent itself.
        "def sends(c):\n    sleep(0.8); c.send(1)\nCoro(sends, Coro(client))",
        "import gevent\nc = Coro(client)\nuserhub.post(gevent.spawn_later, 0.8, c.send, 1)",
        "c = Coro(client)\nuserhub.post(userhub.call_later, 0.8, c.send, 1)",
        # One that its loop does not count.
        "c = Coro(client)\ndef hide():\n    global timer\n    timer = native.thread_hub().loop.timer(0.8, ref=False)\n"
        "    timer.start(c.send, 1)\nuserhub.post(hide)",
        # A thread, a native one that threading does not know, a thread pool.
        "c = Coro(client)\ndef sends():\n    time.sleep(0.8); c.send(1)\nthreading.Thread(target=sends).start()",
        "c = Coro(client)\ndef sends():\n    time.sleep(0.8); c.send(1)\n"
        "threading.Thread(target=sends, daemon=True).start()",
        "c = Coro(client)\ndef sends():\n    native.sleep(0.8); c.send(1)\nnative.Thread(sends, 'sends').start()",
        "import gevent\ndef pool(c):\n    gevent.get_hub().threadpool.apply(native.sleep, (0.8,)); c.send(1)\n"
        "Coro(pool, Coro(client)); native.sleep(0.2)",
        # A thread that Python knows nothing of until it calls.
        "import ctypes\nc = Coro(client)\n"
        "libc = ctypes.CDLL(None)\nthread = ctypes.c_ulong()\n"
        "run = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: (native.sleep(0.8), c.send(1)) and None)\n"
        "libc.pthread_create(ctypes.byref(thread), None, run, None)",
        # A signal.
        "c = Coro(client)\nsignal.signal(signal.SIGALRM, lambda *_: c.send(1))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.8)",
        # A descriptor.
        "import gevent.os\nr, w = os.pipe(); gevent.os.make_nonblocking(r)\nimport subprocess\n"
        "p = subprocess.Popen(['sh', '-c', 'sleep 0.8; echo'], stdout=w)\n"
        "def reads(c):\n    gevent.os.nb_read(r, 1); c.send(1)\nCoro(reads, Coro(client))",
        # The one that computes.
        "def sends(c):\n    end = time.monotonic() + 0.8\n    while time.monotonic() < end: pass\n    c.send(1)\n"
        "Coro(sends, Coro(client))",
        # One that gives way all the time.
        "def sends(c):\n    end = time.monotonic() + 0.8\n    while time.monotonic() < end: sleep()\n    c.send(1)\n"
        "Coro(sends, Coro(client))",
    ],
)
def test_a_program_that_goes_on_after_all_hears_nothing(run, source, patched):
    ended = run(PARK + source, patched=patched)
    assert of(ended.err) == [] and ended.status == 0, ended.err


def test_a_network_is_somebody_who_may_send(run):
    network = "from greencoro import Runtime\nRuntime(node='127.0.0.1', discover_peers=False)\n"
    assert what_is_said(run, PARK + network + "Coro(client)") == []


def test_where_a_network_is_plugged_in_without_a_thread_it_counts_as_well(run):
    source = PARK + "from greencoro.hub import names\nnames.default.network = object()\nCoro(client)"
    assert what_is_said(run, source) == []


def test_a_thread_that_python_knows_nothing_of_may_come_to_call_it(run):
    said = what_is_said(
        run,
        PARK
        + """
import ctypes
libc, thread = ctypes.CDLL(None), ctypes.c_ulong()
assert libc.pthread_create(ctypes.byref(thread), None, libc.sleep, 30) == 0
Coro(client)
""",
    )
    assert said == []


def test_a_greenlet_of_the_main_thread_is_somebody_who_may_send(run):
    ended = run(
        PARK
        + """
import gevent
coro = Coro(client)
gevent.spawn_later(0.8, coro.send, 1)
"""
    )
    assert of(ended.err) == [] and ended.status == 0, ended.err


# In the middle of a program.


@pytest.mark.parametrize("patched", [False, True])
def test_it_is_told_where_the_main_thread_waits_for_the_end_of_one(run, patched):
    said, ended = wait_at_the_end(run, PARK + "Coro(client).value()", patched)
    assert len(said) == 1 and "client/1 waits in receive() (" in said[0]
    assert ended.status == -2


def test_the_main_thread_of_a_patched_program_that_slept_before_is_told_as_well(run):
    said, _ = wait_at_the_end(run, PARK + "time.sleep(0.01)\nCoro(client).value()", patched=True)
    assert len(said) == 1


def test_a_wait_with_a_limit_is_no_wait_for_ever(run):
    ended = run(PARK + "c = Coro(client)\ntry:\n    c.value(0.8)\nexcept DeadlineExceeded:\n    c.send(1)")
    assert of(ended.err) == [] and ended.status == 0


def test_a_wait_that_ends_says_nothing(run):
    ended = run("Coro(sleep, 0.8).value()")
    assert (ended.err, ended.status) == ("", 0)


# What each of them waits for.


WAITS = {
    "server.call('question')": "waits in call() ({place}) for an answer that nobody is left to give",
    "Event().wait()": "waits in Event.wait() ({place}), and nobody is left to set it",
    "taken.acquire()": "waits in Lock.acquire() ({place}) for its holder, and nobody is left to release it",
    "retaken.acquire()": "waits in RLock.acquire() ({place}) for its holder, and nobody is left to release it",
    "Semaphore(0).acquire()": "waits in Semaphore.acquire() ({place}) for a permit that nobody is left to release",
    "is_notified()": "waits in Condition.wait() ({place}) for a notification that nobody is left to give",
    "coro.suspend()": "is suspended ({place}), and nobody is left to resume it",
}


@pytest.mark.parametrize("calls", [list(WAITS)[:4], list(WAITS)[4:]])
def test_it_is_told_what_each_waits_for(run, calls):
    said, _ = wait_at_the_end(
        run,
        f"""
from greencoro import Condition, Event, Lock, RLock, Semaphore
taken, retaken, condition = Lock(), RLock(), Condition()
taken.acquire(), retaken.acquire()
def is_notified():
    with condition: condition.wait()
server = Coro(lambda coro: [coro.receive() for _ in range(20)])
server.set_daemon()
for call in {calls!r}:
    exec(compile(f"def waits(coro): {{call}}", __file__, "exec"))
    Coro(waits)
""",
    )
    place = r"\S+ in \w+\(\)"
    expected = [
        rf"waits/{n} {place.join(map(re.escape, WAITS[call].split('{place}')))}" for n, call in enumerate(calls, 2)
    ]
    assert re.fullmatch(f"greencoro: {'; '.join(expected)}; Ctrl-C ends them", said[0]), said


def test_generators_that_wait_alike_are_told_together(run):
    said, _ = wait_at_the_end(
        run,
        """
def asks(coro):
    yield server.call("question")
server = Coro(lambda coro: coro.receive() and coro.receive() and coro.receive())
server.set_daemon()
Coro(asks)
Coro(asks)
""",
    )
    assert "2 coroutines (asks/2, asks/3) wait in call() (" in said[0] and "in asks()) for an answer" in said[0]


# Threads of a pool.


@pytest.mark.parametrize("patched", [False, True])
def test_a_pool_without_a_task_is_nobody_who_may_send(run, patched):
    said, _ = wait_at_the_end(
        run,
        PARK
        + """
from greencoro import AsyncThreadPool
pool, other = AsyncThreadPool(3), AsyncThreadPool(1)
assert [pool.async_task(len, "abc") for _ in range(3)] == [3, 3, 3]
Coro(client)
""",
        patched,
    )
    assert len(said) == 1 and "client/1 waits in receive()" in said[0]


@pytest.mark.parametrize(
    "source",
    [
        # A task, one after many, and those of a coroutine that gives one after the other.
        "Coro(pool.async_task, lambda: (native.sleep(0.8), c.send(1)))",
        "for _ in range(20): pool.async_task(int)\nCoro(pool.async_task, lambda: (native.sleep(0.8), c.send(1)))",
        "def gives():\n    end = time.monotonic() + 0.8\n"
        "    while time.monotonic() < end: pool.async_task(native.sleep, 0.001)\n    c.send(1)\nCoro(gives)",
        # What a task left on a hub of its thread, which turns while that waits for the next.
        "import gevent\npool.async_task(lambda: gevent.spawn_later(0.8, c.send, 1) and None)",
    ],
)
def test_a_pool_that_is_at_work_is_somebody_who_may_send(run, source):
    ended = run(
        PARK
        + f"""
from greencoro import AsyncThreadPool
pool = AsyncThreadPool(1)
c = Coro(client)
{source}
"""
    )
    assert of(ended.err) == [] and ended.status == 0, ended.err


def test_a_task_that_came_and_was_done_while_looking_may_have_changed_all(run):
    ended = run(
        PARK
        + """
from greencoro.hub import stuck
c = Coro(client)
def looks(last_task):
    stuck.idle_threads[native.get_ident()] = last_task
    return stuck._is_all_still()
while not looks(lambda: 1):
    native.sleep(0.01)
print(looks(object), looks(lambda: None), looks(lambda: 1))
del stuck.idle_threads[native.get_ident()]
c.send(1)
"""
    )
    assert ended.out == "False True True\n", ended.err
