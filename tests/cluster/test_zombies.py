"""What jobs leave to itself ends without a trace, while their server lives."""

import psutil

from tests.support.polling import poll_until

END = 20.0


def test_processes_that_jobs_left_to_themselves_leave_no_zombies(programs):
    """And what they have not yet waited for stays for them."""
    program = programs.script(
        """
    import os, subprocess, sys
    from greencoro import Computation, LocalCluster

    def leave():
        # Long after who has started them, and could wait for them.
        shell = "for n in 1 2 3; do setsid sh -c 'echo $$; exec >&-; sleep 0.5' & done"
        return [int(line) for line in subprocess.check_output(["/bin/sh", "-c", shell]).split()]

    def start():
        sys.kept = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]), os.fork() or os._exit(8)
        return [sys.kept[0].pid, sys.kept[1]]

    def wait():
        return [sys.kept[0].wait(), os.waitstatus_to_exitcode(os.waitpid(sys.kept[1], 0)[1])]

    with LocalCluster(servers=1) as cluster, Computation() as computation:
        print(*computation.run(start).value(40), flush=True)
        print(*computation.run(leave).value(40), flush=True)
        sys.stdin.readline()
        print(*computation.run(wait).value(40), flush=True)
""",
        stdin=-1,
    )
    waited_for, left = ([int(pid) for pid in program.line().split()] for _ in range(2))
    poll_until(lambda: not any(map(psutil.pid_exists, left)), END)
    poll_until(lambda: [psutil.Process(pid).status() for pid in waited_for] == [psutil.STATUS_ZOMBIE] * 2, END)
    program.process.stdin.write(b"\n")
    program.process.stdin.flush()
    assert program.line() == "7 8"
