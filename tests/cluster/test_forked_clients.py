"""A client that is forked, as by `multiprocessing`: a child is refused what is its parent's, and ends none of it."""

import os
import signal

import psutil
import pytest

from tests.support.polling import poll_until

END = 20.0

#: What a child does goes to descriptor 1 at once: what stands in a buffer at the fork would be printed twice.
HEAD = """
import multiprocessing, os, signal, subprocess, sys, time, warnings
from greencoro import *
from greencoro.distributed.runtime import runtime
warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 and later, about fork where threads run

def double(x):
    return 2 * x

def hold(seconds):
    sleep(seconds)
    return os.getpid()

def say(text):
    os.write(1, (text + "\\n").encode())

def refused(*uses):
    for number, use in enumerate(uses):
        began = time.monotonic()
        try:
            came = use()
        except RuntimeError as error:
            if "was forked from" in str(error) and "spawn" in str(error) and time.monotonic() - began < 5:
                continue
            came = error
        say(f"use {number} was not refused at once: {came!r}")
    say(f"{len(uses)} refused")

def exit_code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

USES = (
    HEAD
    + """
with LocalCluster(servers=2) as cluster, Computation([double]) as computation, Executor(computation) as executor:
    cluster.wait_for_servers()
    jobs = RemoteCoroScheduler(computation)
    before = sorted(set(computation.run_servers(hold, 0)[i].value(20) for i in (0, 1)))
    running = computation.run(hold, 600)
    future = executor.submit(hold, 600)
    done, known = computation.run(double, 4), runtime()
    assert done.value(20) == 8
    pid = os.fork()
    if not pid:
        refused(
            lambda: computation.run(double, 1),
            lambda: computation.run_servers(double, 1),
            lambda: computation.wait_for_servers(),
            lambda: computation.servers(),
            lambda: computation.cancel(),
            lambda: computation.scatter(b"1"),
            lambda: computation.schedule(),
            lambda: running.value(),
            lambda: running.send(1),
            lambda: running.deliver(1),
            lambda: running.terminate(),
            lambda: running.monitor(done),
            lambda: jobs.execute(double, 1),
            lambda: jobs.map_results(double, [1]),
            lambda: list(jobs.imap(double, [1])),
            lambda: jobs.finish(),
            lambda: executor.submit(double, 1),
            lambda: list(executor.map(double, [1])),
            lambda: future.result(),
            lambda: next(as_completed([future])),
            lambda: cluster.wait_for_servers(),
            lambda: cluster.scheduler.status(),
            lambda: cluster.scheduler.add_node("127.0.0.1:1"),
            lambda: cluster.scheduler.remove_node(cluster.location),
            lambda: Computation(),
            lambda: LocalCluster(),
            lambda: Scheduler(),
            lambda: Executor(),
            lambda: RemoteCoroScheduler(computation),
            lambda: Runtime(node="127.0.0.1"),
            lambda: known.peers(),
            lambda: known.request(known.location, "greencoro.ping", {}),
            lambda: known.connect(cluster.location),
            lambda: runtime().peers(),
            lambda: Coro.locate("nobody", timeout=600),
            lambda: Coro(double, 1),
        )
        say(f"{done.value()} {known.finish()} {known.name == str(known.location)} {computation.close()}")
        sys.exit(3)  # through what would close all of it
    print("child", exit_code(pid))
    after = sorted(set(computation.run_servers(hold, 0)[i].value(20) for i in (0, 1)))
    print("parent", computation.run(double, 2).value(20), after == before, running.is_alive())
    running.terminate()
    future.terminate()
print("closed")
"""
)


def lines_of(program):
    code = program.wait()
    return code, program.rest().splitlines()


def test_whatever_a_forked_child_asks_for_is_refused_at_once_and_its_end_disturbs_nothing(programs):
    program = programs.script(USES)
    assert lines_of(program) == (0, ["36 refused", "8 None True None", "child 3", "parent 4 True True", "closed"])
    assert program.errors() == ""


LOCKED = (
    HEAD
    + """
import threading
from greencoro.compute import futures

with LocalCluster(servers=1) as cluster, Executor(cluster) as executor:
    future = executor.submit(double, 4)
    assert future.result(20) == 8
    taken, forked = threading.Event(), threading.Event()
    def hold_the_lock():
        with futures._condition:
            taken.set()
            forked.wait(20)
    holder = threading.Thread(target=hold_the_lock)
    holder.start()
    taken.wait(20)
    pid = os.fork()
    if not pid:
        say(f"{future.done()} {future.result()} {'finished' in repr(future)}")
        os._exit(0)
    forked.set()
    holder.join()
    print("child", exit_code(pid), future.result())
"""
)


def test_what_is_over_can_be_looked_at_in_a_child_that_was_forked_while_a_thread_had_the_lock_of_futures(programs):
    assert lines_of(programs.script(LOCKED)) == (0, ["True 8 True", "child 0 8"])


POOL = (
    HEAD
    + """
def run_a_job(x):
    try:
        return computation.run(double, x).value(20)
    except RuntimeError as error:
        return "was forked" in str(error)

with LocalCluster(servers=1) as cluster, Computation([double]) as computation:
    reference = computation.run(hold, 600)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for _ in range(20):
            assert pool.map(double, range(4)) == [0, 2, 4, 6]
            assert computation.run(double, 1).value(20) == 2
        print(pool.map(run_a_job, range(2)))
        process = multiprocessing.get_context("fork").Process(target=sys.exit, args=(5,))
        process.start()
        process.join()
        print(process.exitcode, computation.run(double, 1).value(20))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(abs, [-1]))
    print(reference.is_alive(), computation.run(double, 5).value(20))
    reference.terminate()
"""
)


def test_pools_of_forked_processes_work_beside_a_cluster(programs):
    program = programs.script('if __name__ == "__main__":\n' + "\n".join("    " + line for line in POOL.splitlines()))
    assert lines_of(program) == (0, ["[True, True]", "5 2", "[1]", "True 10"])
    assert program.errors() == ""


OUTLIVED = (
    HEAD
    + """
with LocalCluster(servers=1) as cluster, Computation() as computation:
    cluster.wait_for_servers()
    if not (pid := os.fork()):
        time.sleep(600)
    print(cluster.pid, pid, flush=True)
    time.sleep(600)
"""
)


@pytest.fixture
def outlived(programs):
    program = programs.script(OUTLIVED)
    daemon, child = map(psutil.Process, map(int, program.line().split()))
    yield program, daemon, child
    if child.is_running():
        child.kill()


def test_N1_others_see_the_end_of_a_client_whose_forked_child_lives_on(outlived):
    """The child holds none of its sockets open."""
    program, daemon, child = outlived
    sockets = poll_until(lambda: not child.net_connections("all") and child.num_fds(), END)
    assert sockets > 0
    os.kill(program.pid, signal.SIGKILL)
    poll_until(lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE, END)
    assert child.is_running()
