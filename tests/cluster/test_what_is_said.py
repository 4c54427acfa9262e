"""What a program that set up no logging says of its computations where nobody sits at a terminal."""

import subprocess

import pytest

from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


def test_set_ups_that_fail_waits_and_clean_ups_that_fail_reach_standard_error(programs):
    _, location = programs.node("-c", "1")
    client = programs.script(
        f"""
        import sys
        from greencoro import *

        def refuse():
            raise LookupError("nothing to prepare")

        def nothing():
            pass

        def fail():
            raise LookupError("nothing to clear")

        with Scheduler(nodes="{location}", node="127.0.0.1"):
            with Computation(server_setup=refuse) as first:
                second = Computation(server_cleanup=fail)
                waiting = Coro(second.schedule)
                print("waits", flush=True)
                sys.stdin.readline()
            waiting.value(20)
            second.run(nothing).value(20)
            second.close()

            third = Computation()
            refusing = RemoteCoroScheduler(third, proc_available=lambda server: 1)
            with third:
                print("waits", flush=True)
                sys.stdin.readline()
        """,
        stdin=subprocess.PIPE,
    )

    def is_said(*texts):
        return any(all(text in line for text in texts) for line in client.errors().splitlines())

    def go_on():
        client.process.stdin.write(b"\n")
        client.process.stdin.flush()

    assert client.line() == "waits"
    poll_until(lambda: is_said("greencoro: server ", "could not be set up", "nothing to prepare"), 20)
    poll_until(lambda: is_said("greencoro: a computation waits for its turn"), 20)
    poll_until(lambda: is_said("greencoro: a computation has no servers: server ", "nothing to prepare"), 20)
    go_on()
    assert client.line() == "waits"
    assert is_said("greencoro: fail failed at ", "nothing to clear")
    poll_until(lambda: is_said("greencoro: server ", "is not used: proc_available said so"), 20)
    go_on()
    client.process.stdin.close()
    assert client.wait() == 0, client.errors()
