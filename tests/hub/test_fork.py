"""os.fork() in a process with coroutines: in the child only the function that forked goes on."""

import pytest

from .conftest import Run

both = pytest.mark.parametrize("patched", [False, True], ids=["unpatched", "patched"])

# What a child does goes to file descriptor 1 at once; what stands in a buffer at the fork would be printed twice.
FORKS = """
PARENT = os.getpid()

def say(text):
    os.write(1, (text + "\\n").encode())

def other():
    try:
        while True:
            sleep(0.05)
            if os.getpid() != PARENT:
                say("another coroutine ran in the child")
    finally:
        if os.getpid() != PARENT:
            say("another coroutine cleaned up in the child")

others = [Coro(other) for _ in range(3)]
for each in others:
    each.set_daemon()

def status_of(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        sleep(0.01)
    os.kill(pid, 9)
    return "hangs"

def in_child(function):
    def forks(coro):
        pid = os.fork()
        return pid or function(coro)
    return status_of(Coro(forks).value(10))
"""


@both
def test_only_the_function_that_forked_goes_on_and_its_end_is_the_end(run: Run, patched: bool) -> None:
    ended = run(
        FORKS
        + """
        def goes_on(coro):
            sleep(0.1), sleep(0), time.sleep(0.1)
            for call in (coro.receive, lambda: coro.receive(5), lambda: Coro(print)):
                try:
                    call()
                except RuntimeError as error:
                    say(f"refused: {'was forked' in str(error)}")
            say(str([each.send(1) for each in others] + [each.terminate() for each in others]))
            try:
                others[0].value(1)
            except CoroTerminated:
                say("over")
            print("flushed")
        def fails(coro):
            raise KeyError("x")
        def twice(coro):
            pid = os.fork()
            sys.exit(status_of(pid) + 1 if pid else 4)
        print([in_child(each) for each in (goes_on, fails, twice, lambda coro: sys.exit("words"))])
        """.replace("\n        ", "\n"),
        patched=patched,
    )
    assert ended.status == 0
    assert ended.out == "refused: True\n" * 3 + "[-1, -1, -1, -1, -1, -1]\nover\nflushed\n[0, 1, 5, 1]\n"
    assert "KeyError: 'x'" in ended.err and "\nwords\n" in ended.err and "SystemExit" not in ended.err


@both
def test_a_generator_that_forks_ends_with_its_process(run: Run, patched: bool) -> None:
    ended = run(
        FORKS
        + """
        def waits(coro):
            pid = os.fork()
            if not pid:
                yield coro.receive()
            return pid
        def returns(coro):
            yield sleep(0)
            pid = os.fork()
            if not pid:
                yield sleep(0.1)
                say("slept")
            return pid
        print([status_of(Coro(each).value(10)) for each in (waits, returns)])
        """.replace("\n        ", "\n"),
        patched=patched,
    )
    assert (ended.status, ended.out) == (0, "slept\n[1, 0]\n")
    assert "wait" in ended.err


@both
def test_coroutines_are_over_in_a_process_that_the_main_thread_forks(run: Run, patched: bool) -> None:
    ended = run(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 and later, about fork where threads run
        waiting = Coro(lambda coro: coro.receive())
        Coro(lambda: None).value()  # by now it waits
        pid = os.fork()
        if pid == 0:
            os.write(1, f"{waiting.send(1)} {waiting.terminate()}\\n".encode())
            sys.exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), waiting.send(1))
        """,
        patched=patched,
    )
    assert (ended.status, ended.out, ended.err) == (0, "-1 -1\n7 0\n", "")


@both
def test_multiprocessing_works_in_a_coroutine(run: Run, patched: bool) -> None:
    ended = run(
        """
        import multiprocessing
        def use():
            process = multiprocessing.get_context("fork").Process(target=sys.exit, args=(6,))
            process.start()
            process.join()
            return process.exitcode
        print(Coro(use).value(10))
        """,
        patched=patched,
    )
    assert (ended.status, ended.out, ended.err) == (0, "6\n", "")


def test_in_a_patched_process_a_coroutine_spawns_and_waits_while_others_run(run: Run) -> None:
    ended = run(
        """
        r, w = os.pipe()
        def turn():
            for _ in range(6):
                sleep(0.01)
            os.write(w, b"end\\n")
        def use():
            actions = [(os.POSIX_SPAWN_DUP2, r, 0)]
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", "read line; exit 3"], {}, file_actions=actions)
            Coro(turn)
            assert os.waitpid(pid, 0) == (pid, 3 << 8)
            pid = os.posix_spawnp("sh", ["sh", "-c", "exit 4"], {})
            assert os.waitpid(-1, 0) == (pid, 4 << 8)
            try:
                os.waitpid(os.getppid(), 0)
            except ChildProcessError:
                return True
        print(Coro(use).value(10))
        """,
        patched=True,
    )
    assert (ended.status, ended.out, ended.err) == (0, "True\n", "")
