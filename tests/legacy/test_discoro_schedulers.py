"""asyncoro.discoro_schedulers: jobs one at a time at every server, with node daemons in other processes."""

import json
import os

import pytest

from tests.legacy.old_nodes import old_node
from tests.support.polling import poll_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the nodes have two servers: needs two CPUs"),
]

CLIENT = """
import json, sys, time
import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler, ProcScheduler

notes = {}

def shown(value):
    if isinstance(value, asyncoro.MonitorException):
        coro, (kind, failure) = value.args
        return ['MonitorException', coro, kind.__name__, failure[0].__name__ if isinstance(failure, tuple) else failure]
    if isinstance(value, Exception):
        return [type(value).__name__] + list(value.args)
    return value

running = 0

def compute(*numbers):
    global running, count
    running = globals().get('running', 0) + 1
    alone = running == 1
    yield asyncoro.AsynCoro.cur_coro().sleep(0.02)
    running -= 1
    raise StopIteration([list(numbers), alone])

def square(n, coro=None):
    if n < 0:
        raise ValueError(n)
    yield coro.sleep(0.005)
    raise StopIteration(n * n)

def waits(coro=None):
    got = yield coro.receive()
    raise StopIteration(got)

def set_up(coro=None):
    global is_set_up
    is_set_up = True
    yield

def is_set_up_there(coro=None):
    yield
    raise StopIteration(globals().get('is_set_up', False))

statuses, closed, refused = [], [], []

def proc_status(status, info, coro=None):
    statuses.append(status)
    yield
    if status == Scheduler.ServerInitialized and info.name.endswith('-3'):
        refused.append(info)
        raise StopIteration('not this one')

def proc_available(location, coro=None):
    rcoro = yield job_scheduler.submit_at(location, set_up)
    result = yield job_scheduler.execute_at(location, is_set_up_there)
    raise StopIteration(0 if result else 1)

def proc_close(status, location, coro=None):
    result = yield job_scheduler.execute_at(location, is_set_up_there)
    closed.append([status == Scheduler.ServerInitialized, result])

def ignored(status, location):
    raise Exception('is not called')

def client_proc(computation, coro=None):
    notes['alias'] = ProcScheduler is RemoteCoroScheduler
    notes['status_coro'] = computation.status_coro is job_scheduler.status_coro
    notes['schedule computation'] = yield computation.schedule()
    rcoro = yield job_scheduler.schedule(compute, 1, 2)
    notes['schedule'] = isinstance(rcoro, asyncoro.Coro)
    result = yield job_scheduler.execute(compute, 3)
    notes['execute'] = result
    notes['execute fails'] = shown((yield job_scheduler.execute(square, -1)))
    notes['execute cannot'] = shown((yield job_scheduler.execute('no_such')))
    notes['execute badly called'] = shown((yield job_scheduler.execute(square)))
    notes['execute_at'] = yield job_scheduler.execute_at(rcoro.location, square, 5)
    notes['execute_at no server'] = shown((yield job_scheduler.execute_at('127.0.0.99', square, 5)))
    blocking = yield job_scheduler.submit_at(rcoro.location, waits)
    submitted = yield job_scheduler.submit(square, 6)
    notes['submit'] = isinstance(submitted, asyncoro.Coro)
    notes['beside a submitted one'] = yield job_scheduler.execute_at(rcoro.location, square, 7)
    blocking.send('go on')
    notes['map scalars'] = yield job_scheduler.map_results(square, range(5))
    notes['map tuples'] = yield job_scheduler.map_results(compute, [(1, 2), [3, 4], 'ab', 5])
    notes['map generator'] = yield job_scheduler.map_results(square, (n for n in range(3)))
    notes['map failures'] = [shown(each) for each in (yield job_scheduler.map_results(square, [2, -2, 3]))]
    notes['map nothing'] = yield job_scheduler.map_results(square, [])
    notes['finish'] = yield job_scheduler.finish()
    yield job_scheduler.finish(close=True)
    notes['closed'] = sorted(closed)
    notes['used'] = len(closed)
    notes['refused'] = len(refused)
    for name in ('ComputationScheduled', 'NodeDiscovered', 'ServerDiscovered', 'ServerInitialized', 'NodeInitialized'):
        notes[name] = getattr(Scheduler, name) in statuses

if __name__ == '__main__':
    Scheduler(node='127.0.0.1', udp_port=PORT)
    computation = Computation([compute, square])
    job_scheduler = RemoteCoroScheduler(computation, PROCS)
    asyncoro.Coro(client_proc, computation).value()
    print(json.dumps(notes))
"""

EXPECTED = {
    "alias": True,
    "status_coro": True,
    "schedule computation": 0,
    "schedule": True,
    "execute": [[3], True],
    "execute fails": ["ValueError", -1],
    "execute cannot": ["MonitorException", None, "tuple", "NameError"],
    "execute badly called": ["MonitorException", None, "tuple", "TypeError"],
    "execute_at": 25,
    "execute_at no server": ["MonitorException", None, "NoneType", None],
    "submit": True,
    "beside a submitted one": 49,
    "map scalars": [0, 1, 4, 9, 16],
    "map tuples": [[[1, 2], True], [[3, 4], True], [["a", "b"], True], [[5], True]],
    "map generator": [0, 1, 4],
    "map failures": [4, ["ValueError", -2], 9],
    "map nothing": [],
    "finish": None,
}

WITH_PROCS = {
    "closed": [[True, True], [True, True]],
    "used": 2,
    "refused": 0,
    "ComputationScheduled": True,
    "NodeDiscovered": True,
    "ServerDiscovered": True,
    "ServerInitialized": True,
    "NodeInitialized": True,
}

WITHOUT_PROCS = dict.fromkeys(WITH_PROCS, False) | {"closed": [], "used": 0, "refused": 0}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with old_node(tmp_path_factory.mktemp("old")) as node:
        yield node


@pytest.mark.parametrize(
    ("procs", "expected"),
    [
        ("proc_status=proc_status, proc_available=proc_available, proc_close=proc_close", WITH_PROCS),
        ("None, ignored, ignored", WITHOUT_PROCS),
    ],
)
def test_what_a_program_with_a_scheduler_of_jobs_sees(node, procs, expected):
    assert node.notes(CLIENT.replace("PROCS", procs)) == EXPECTED | expected


def test_a_server_that_is_not_available_or_not_wanted_gets_no_job(node):
    printed = node.notes("""
        import json
        import asyncoro.disasyncoro as asyncoro
        from asyncoro.discoro import *
        from asyncoro.discoro_schedulers import RemoteCoroScheduler

        def where(coro=None):
            yield coro.sleep(0.01)
            raise StopIteration(str(coro.location))

        seen = []

        def proc_status(status, info, coro=None):
            yield
            if status == Scheduler.ServerInitialized:
                seen.append(info.name)
                raise StopIteration(0 if info.name.endswith('-2') else -1)

        def client_proc(computation, coro=None):
            yield computation.schedule()
            found = yield job_scheduler.map_results(where, [() for _ in range(6)])
            while len(seen) < 2:
                yield coro.sleep(0.05)
            yield job_scheduler.finish(close=True)
            print(json.dumps([len(set(found)), len(seen)]))

        Scheduler(node='127.0.0.1', udp_port=PORT)
        computation = Computation([where])
        job_scheduler = RemoteCoroScheduler(computation, proc_status=proc_status)
        asyncoro.Coro(client_proc, computation)
    """)
    assert printed == [1, 2]


STATUS = """
    import json, time
    import asyncoro.disasyncoro as asyncoro
    from asyncoro.discoro import *
    from asyncoro.discoro_schedulers import RemoteCoroScheduler

    def square(n, coro=None):
        yield coro.sleep(0.005)
        raise StopIteration(n * n)

    messages = []

    def status_proc(coro=None):
        coro.set_daemon()
        while True:
            msg = yield coro.receive()
            messages.append(msg)
            job_scheduler.status_coro.send(msg)

    def client_proc(computation, coro=None):
        yield computation.schedule()
        results = yield job_scheduler.map_results(square, range(10))
        yield job_scheduler.execute(square, 10)
"""


def test_a_status_coroutine_of_the_programs_own_hears_of_every_job_and_passes_on_what_it_hears(node):
    created, results, fields = node.notes(
        STATUS
        + """
        yield job_scheduler.finish(close=True)
        jobs = [msg.info for msg in messages if isinstance(msg, DiscoroStatus) and msg.status == Scheduler.CoroCreated]
        ends = [msg.args[1][1] for msg in messages if isinstance(msg, asyncoro.MonitorException)]
        fields = [(type(job.coro.location).__name__, job.kwargs, time.time() - job.start_time < 60) for job in jobs]
        print(json.dumps([sorted(job.args[0] for job in jobs), sorted(ends), fields[-1]]))

    Scheduler(node='127.0.0.1', udp_port=PORT)
    computation = Computation([square], status_coro=asyncoro.Coro(status_proc))
    job_scheduler = RemoteCoroScheduler(computation)
    asyncoro.Coro(client_proc, computation)
    """
    )
    assert created == list(range(11))
    assert results == [n * n for n in range(11)]
    assert fields == ["Location", {}, True]


def test_the_end_of_the_program_waits_for_jobs_and_closes_the_computation(node):
    """Without a call of `finish` or `close`."""
    program = node.client("""
        import asyncoro.disasyncoro as asyncoro
        from asyncoro.discoro import *
        from asyncoro.discoro_schedulers import RemoteCoroScheduler

        def slow(n, coro=None):
            yield coro.sleep(1)
            print('slow is done')
            client.send(n)

        def proc_close(status, location, coro=None):
            yield
            print('close', status == Scheduler.ServerInitialized)

        def client_proc(computation, coro=None):
            yield computation.schedule()
            rcoro = yield job_scheduler.schedule(job, coro)
            print('scheduled', rcoro.name)

        def job(client, coro=None):
            yield coro.sleep(1)
            print('job is done')

        Scheduler(node='127.0.0.1', udp_port=PORT)
        computation = Computation([])
        job_scheduler = RemoteCoroScheduler(computation, proc_close=proc_close)
        asyncoro.Coro(client_proc, computation)
    """)
    assert program.wait(40) == 0, program.errors()
    lines = [line for line in program.rest().splitlines() if "asyncoro - " not in line]
    assert lines[0] == "scheduled job"
    assert set(lines[1:]) == {"close True"}
    assert program.errors() == ""


def test_a_program_that_closes_its_computation_while_jobs_run_ends(node):
    program = node.client("""
        import asyncoro.disasyncoro as asyncoro
        from asyncoro.discoro import *
        from asyncoro.discoro_schedulers import RemoteCoroScheduler

        def for_ever(coro=None):
            while True:
                yield coro.sleep(60)

        def waiter(coro=None):
            result = yield job_scheduler.execute(for_ever)
            print('waiter', type(result).__name__)

        def client_proc(computation, coro=None):
            yield computation.schedule()
            waiting = asyncoro.Coro(waiter)
            rcoro = yield job_scheduler.submit(for_ever)
            yield coro.sleep(0.5)
            yield computation.close()
            yield waiting.finish()
            print('closed')

        Scheduler(node='127.0.0.1', udp_port=PORT)
        computation = Computation([])
        job_scheduler = RemoteCoroScheduler(computation)
        asyncoro.Coro(client_proc, computation)
    """)
    assert program.wait(40) == 0, program.errors()
    lines = [line for line in program.rest().splitlines() if "asyncoro - " not in line]
    assert lines == ["waiter ComputationClosed", "closed"]


def test_jobs_of_a_server_that_dies_end_for_whoever_waits_and_for_the_status_coroutine(node):
    found = node.notes("""
        import json, os, signal
        import asyncoro.disasyncoro as asyncoro
        from asyncoro.discoro import *
        from asyncoro.discoro_schedulers import RemoteCoroScheduler

        def pid(coro=None):
            import os
            yield
            raise StopIteration(os.getpid())

        def for_ever(coro=None):
            while True:
                yield coro.sleep(60)

        heard = []

        def status_proc(client, coro=None):
            coro.set_daemon()
            while True:
                msg = yield coro.receive()
                if isinstance(msg, asyncoro.MonitorException) and msg.args[1][0] != StopIteration:
                    heard.append(list(msg.args[1]))
                elif isinstance(msg, DiscoroStatus) and msg.status in (
                        Scheduler.ServerDisconnected, Scheduler.ServerClosed):
                    client.send(msg.info)

        def client_proc(coro=None):
            computation = Computation([pid, for_ever], status_coro=asyncoro.Coro(status_proc, coro))
            job_scheduler = RemoteCoroScheduler(computation)
            yield computation.schedule()
            rcoro = yield job_scheduler.submit(for_ever)
            server = yield job_scheduler.execute_at(rcoro.location, pid)
            execute = asyncoro.Coro(waiter, job_scheduler, rcoro.location)
            yield coro.sleep(0.3)
            os.kill(server, signal.SIGKILL)
            gone = yield coro.receive(20)
            result = yield execute.finish()
            again = yield job_scheduler.execute(pid)
            yield job_scheduler.finish(close=True)
            print(json.dumps([gone == rcoro.location, result, heard, isinstance(again, int)]))

        def waiter(job_scheduler, location, coro=None):
            result = yield job_scheduler.execute_at(location, for_ever)
            raise StopIteration(type(result).__name__)

        Scheduler(node='127.0.0.1', udp_port=PORT)
        asyncoro.Coro(client_proc)
    """)
    assert found == [True, "ServerDied", [[13, None], [13, None]], True]


def test_what_wants_a_server_waits_until_there_is_one(tmp_path):
    """Much longer than the computation's timeout."""
    with old_node(tmp_path, 1) as first:
        client = first.client("""
            import json
            import asyncoro.disasyncoro as asyncoro
            from asyncoro.discoro import *
            from asyncoro.discoro_schedulers import RemoteCoroScheduler

            def square(n, coro=None):
                yield
                raise StopIteration(n * n)

            def early(job_scheduler, coro=None):
                rcoro = yield job_scheduler.submit(square, 2)
                raise StopIteration(isinstance(rcoro, asyncoro.Coro))

            def client_proc(coro=None):
                computation = Computation([square], timeout=1)
                job_scheduler = RemoteCoroScheduler(computation)
                print('scheduled', (yield computation.schedule()))
                submitted = asyncoro.Coro(early, job_scheduler)
                print('none', (yield computation.run(square, 2)))
                result = yield job_scheduler.execute(square, 3)
                print(json.dumps([result, (yield submitted.finish())]))

            Scheduler(node='127.0.0.1', udp_port=PORT + 1)
            asyncoro.Coro(client_proc)
        """)
        lines = []
        while not lines or lines[-1] != "none None":
            line = client.line()
            if "asyncoro - " not in line:
                lines.append(line)
        assert lines == ["scheduled 0", "none None"]
        second = first.programs.start(
            first.daemon.process.args[1], "-c", "1", "-i", "127.0.0.1", "-u", str(first.port + 1), "--daemon"
        )
        assert client.wait(40) == 0, client.errors()
        assert json.loads(client.rest().splitlines()[-1]) == [9, True]
        poll_until(lambda: second.process.poll() is None)


def test_what_jobs_print_is_shown_by_the_node_daemon(tmp_path):
    with old_node(tmp_path, 1) as node:
        program = node.client("""
            import asyncoro.disasyncoro as asyncoro
            from asyncoro.discoro import *

            def prints(coro=None):
                print('printed at the server')
                yield

            def client_proc(coro=None):
                computation = Computation([])
                yield computation.schedule()
                rcoro = yield computation.run(prints)
                yield coro.monitor(rcoro)
                yield coro.sleep(0.5)
                yield computation.close()

            Scheduler(node='127.0.0.1', udp_port=PORT)
            asyncoro.Coro(client_proc)
        """)
        assert program.wait(40) == 0
        assert "printed at the server" not in program.rest() + program.errors()
        assert "secret of its own" not in node.announcement
        assert "it has that of this user" in node.daemon.errors()
        assert "printed at the server" in node.printed()
