"""What a computation leaves behind in its servers' processes, and beside them, is gone when it is over (J5, Z2)."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from greencoro import Computation, LocalCluster
from tests.cluster.programs import runs
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

#: Two seconds are promised; a machine that does other things as well is given more. What misses it runs on for minutes.
END = 15

# Ways by which a process gets out of the process group of the server, and most of them out of its family as well.
LEAVERS = """
    import os, subprocess, sys, time

    SLEEP = "import time; time.sleep(600)"

    def in_a_session_of_its_own():
        return subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True).pid

    def as_a_daemon():
        code = f"import os, subprocess, sys; sleeper = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], " \\
            "start_new_session=True, stdout=subprocess.DEVNULL); print(sleeper.pid)"
        # Its parent has ended when this returns.
        return int(subprocess.check_output([sys.executable, "-c", code]))

    def without_hangups():
        shell = "trap '' HUP TERM; setsid nohup sleep 600 >/dev/null 2>&1 & echo $!"
        return int(subprocess.check_output(["/bin/sh", "-c", shell]))

    def leave():
        pids = [in_a_session_of_its_own(), as_a_daemon(), without_hangups()]
        return [os.getpid(), *pids]
"""
LEAVER = (
    LEAVERS
    + """
    from greencoro import Computation, GreencoroError, LocalCluster

    def pid_of_a_fresh_server(computation, earlier):
        while True:
            try:
                pid = computation.run(os.getpid).value(40)
            except GreencoroError:
                continue  # its server was ended just now
            if pid not in earlier:
                return pid
            time.sleep(0.01)

    with LocalCluster(servers=2) as cluster, Computation([in_a_session_of_its_own]) as computation:
        cluster.wait_for_servers()
        servers = computation.servers()
        pids = [computation.run_at(server, leave).value(40) for server in servers]
        print(cluster.pid, *pids[0], *pids[1], flush=True)
        sys.stdin.readline()
        THEN
"""
)


class Left:
    """The processes of a client of two servers, in each of which a job has left three processes to themselves."""

    def __init__(self, programs, then="time.sleep(600)"):
        self.program = programs.script(LEAVER.replace("THEN", then), stdin=subprocess.PIPE)
        daemon, *pids = map(psutil.Process, map(int, self.program.line().split()))
        self.daemon, self.first, self.second = daemon, pids[:4], pids[4:]
        self.zygote = self.first[0].parents()[1]
        self.all = [daemon, self.zygote, *pids]
        # Not before all of them are known here.
        self.program.process.stdin.write(b"go on\n")
        self.program.process.stdin.flush()

    def end(self):
        for process in self.all:
            if process.is_running():
                process.kill()


@pytest.fixture
def left(programs):
    made = []

    def make(*arguments):
        made.append(Left(programs, *arguments))
        return made[-1]

    yield make
    for each in made:
        each.end()


def test_processes_that_jobs_left_to_themselves_live_as_long_as_their_server(left):
    """What is left of the one server that dies is gone; nothing of the other one is touched."""
    found = left()
    assert found.zygote.name() == "greencoro-fork"
    assert found.second[0].parents()[1] == found.zygote
    assert all(map(runs, found.all))
    found.first[0].kill()
    poll_until(lambda: not any(map(runs, found.first)), END)
    poll_until(lambda: len([child for child in found.zygote.children() if child.name() != "sh"]) == 2, END)
    assert all(map(runs, found.second))


def test_J5_processes_that_jobs_left_to_themselves_end_with_the_computation(left):
    found = left("computation.close(); print('closed', flush=True); time.sleep(600)")
    assert found.program.line() == "closed"
    poll_until(lambda: not any(map(runs, [*found.first, *found.second])), END)
    assert runs(found.zygote)


@pytest.mark.parametrize("whom", ["client", "daemon"])
def test_Z2_processes_that_jobs_left_to_themselves_end_with(left, whom):
    found = left()
    os.kill(found.program.pid if whom == "client" else found.daemon.pid, signal.SIGKILL)
    poll_until(lambda: not any(map(runs, found.all)), END)


def test_servers_end_with_the_zygote_and_fresh_ones_come(left):
    found = left("print(pid_of_a_fresh_server(computation, [pids[0][0], pids[1][0]]), flush=True); time.sleep(600)")
    found.zygote.kill()
    poll_until(lambda: not runs(found.first[0]) and not runs(found.second[0]), END)
    fresh = psutil.Process(int(found.program.line()))
    assert found.zygote not in fresh.parents()[:2]


def test_servers_and_groups_end_where_daemon_and_zygote_are_killed_together(programs):
    """The guard is the last line: it knows the groups."""
    program = programs.script(
        LEAVERS
        + """
    from greencoro import Computation, LocalCluster

    def in_the_group():
        return [os.getpid(), subprocess.Popen([sys.executable, "-c", SLEEP]).pid]

    with LocalCluster(servers=1) as cluster, Computation() as computation:
        print(cluster.pid, *computation.run(in_the_group).value(40), flush=True)
        time.sleep(600)
"""
    )
    daemon, server, child = map(psutil.Process, map(int, program.line().split()))
    zygote = server.parents()[1]
    zygote.suspend()
    daemon.kill()
    zygote.kill()
    poll_until(lambda: not any(map(runs, [daemon, zygote, server, child])), END)


#: A process that its server cannot be waited for without.
TRACED = """
    from greencoro import Computation, LocalCluster

    def be_traced(seconds):
        import ctypes, os, subprocess, sys, time
        library = ctypes.CDLL(None)
        library.prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER: whoever wants to
        code = f"import ctypes, time; print(ctypes.CDLL(None).ptrace(0x4206, {os.getpid()}, None, None), flush=True)"
        code += "; time.sleep(600)"
        tracer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        print(os.getpid(), tracer.pid, tracer.stdout.readline().decode().strip(), flush=True)
        time.sleep(seconds)

    with LocalCluster(servers=1), Computation([be_traced]) as computation:
        job = computation.run(be_traced, 600)
        try:
            job.value(60)
        except Exception as error:
            print(error, flush=True)
"""


def test_end_of_a_server_that_its_own_job_traces_is_told(programs):
    program = programs.script(TRACED)
    server, tracer, answer = map(int, program.line().split()[-3:])  # behind which job says so
    if answer != 0:
        pytest.skip("this system lets nobody trace other processes")
    os.kill(server, signal.SIGKILL)
    assert "SIGKILL" in program.line()
    assert not psutil.pid_exists(tracer)


#: It runs as root that may not signal the processes of others, as the daemon of a user cannot signal root's.
LEFT_TO_ANOTHER_USER = """
    import ctypes, os, signal, subprocess, sys, time
    from greencoro import Computation, LocalCluster

    if len(sys.argv) == 1:
        PR_CAPBSET_DROP, CAP_KILL = 24, 5
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0) == 0
        os.execv(sys.executable, [sys.executable, __file__, "without"])

    def leave():
        import os, subprocess
        return os.getpid(), subprocess.Popen(["sleep", "600"], user=65534, start_new_session=True).pid

    with LocalCluster(servers=2) as cluster, Computation() as computation:
        computation.wait_for_servers(2, 40)
        first, second = computation.servers()
        server, left = computation.run_at(first, leave).value(40)
        pid = computation.run_at(second, os.getpid).value(40)
        os.kill(server, signal.SIGKILL)
        print(left, flush=True)
        while len(computation.servers()) != 1:
            time.sleep(0.01)
        computation.wait_for_servers(2, 40)
        assert computation.run_at(second, os.getpid).value(40) == pid
        print("went on", flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes of others")
def test_J1_process_of_another_user_that_a_job_has_left_takes_no_server_with_it(programs):
    program = programs.script(LEFT_TO_ANOTHER_USER)
    left = psutil.Process(int(program.line()))
    try:
        assert program.line() == "went on"
        assert program.wait() == 0
        assert left.is_running()
    finally:
        left.kill()


# What a server itself is left as.


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(servers=1) as cluster:
        yield cluster


def terminate_a_forked_process():
    import multiprocessing

    codes = []
    for _ in range(10):
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        process.start()
        process.terminate()
        process.join(20)
        codes.append(process.exitcode)
        process.kill()
    return codes


def terminate_a_program():
    program = subprocess.Popen(["sleep", "600"])
    try:
        program.terminate()
        return program.wait(20)
    finally:
        program.kill()


def test_what_jobs_start_ends_by_sigterm_as_anywhere(cluster):
    with Computation([terminate_a_forked_process, terminate_a_program]) as computation:
        assert computation.run(terminate_a_forked_process).value(300) == [-signal.SIGTERM] * 10
        assert computation.run(terminate_a_program).value(60) == -signal.SIGTERM


def leave_traces(outside):
    """As much as a job can do to its process without ending it."""
    import json

    json.of_an_earlier_computation = True
    globals()["of_an_earlier_computation"] = True
    sys.modules["of_an_earlier_computation"] = json
    sys.path.insert(0, "/of_an_earlier_computation")
    os.environ["OF_AN_EARLIER_COMPUTATION"] = "1"
    os.umask(0o077)
    Path("of_an_earlier_computation").write_text("in the working directory")
    directory = os.getcwd()
    os.chdir(tempfile.gettempdir())
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    os.set_inheritable(os.open(f"{directory}/of_an_earlier_computation", os.O_RDONLY), True)
    globals()["listening"] = listening = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    return os.getpid(), process.pid, directory, listening.getsockname(), find_traces()


def find_traces():
    """What of that there is, and what else would differ."""
    import json

    umask = os.umask(0o022)
    os.umask(umask)
    return {
        "attribute": hasattr(json, "of_an_earlier_computation"),
        "global": "of_an_earlier_computation" in globals(),
        "module": "of_an_earlier_computation" in sys.modules,
        "path": "/of_an_earlier_computation" in sys.path,
        "environment": "OF_AN_EARLIER_COMPUTATION" in os.environ,
        "umask": umask,
        "files": sorted(os.listdir()) if os.getcwd() != tempfile.gettempdir() else ["elsewhere"],
        "signal": signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN,
        "children": len(psutil.Process().children()),
        "open file": is_open("of_an_earlier_computation"),
        "standard input": stat.S_ISCHR(os.fstat(0).st_mode),
    }


def is_open(name):
    """Is a file with this in its name open in this process?"""
    for number in os.listdir("/proc/self/fd"):
        try:
            if name in os.readlink(f"/proc/self/fd/{number}"):
                return True
        except FileNotFoundError:
            continue  # that by which they were listed
    return False


def test_J5_nothing_of_one_computation_is_visible_in_the_next(cluster):
    with Computation([find_traces]) as computation:
        cluster.wait_for_servers()
        before = computation.run(find_traces).value(40)
    with Computation([find_traces]) as computation:
        server, process, directory, address, dirty = computation.run(leave_traces, tempfile.gettempdir()).value(40)
        for name in ("attribute", "global", "module", "path", "environment", "signal", "open file"):
            assert (before[name], dirty[name]) == (False, True)
        assert dirty["children"] == before["children"] + 1
        with socket.create_connection(address):
            pass
    with Computation([find_traces]) as computation:
        after, pid = computation.run(lambda: (find_traces(), os.getpid())).value(40)
        assert after == before
        assert pid != server
    poll_until(lambda: not psutil.pid_exists(server) and not psutil.pid_exists(process), END)
    poll_until(lambda: not os.path.exists(directory), END)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
