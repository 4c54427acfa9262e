"""asyncoro.discoro: computations of programs of old, with node daemons in other processes."""

import os
import subprocess
import sys

import pytest

from tests.cluster.programs import ROOT
from tests.legacy.old_nodes import old_node
from tests.support.ports import free_port

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the nodes have two servers: needs two CPUs"),
]

BEGIN = """
import json, os, sys, threading, time
import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *

notes = {}

def shown(value):
    if isinstance(value, tuple) and value and isinstance(value[0], type):
        return [value[0].__name__] + list(value[1:])
    if isinstance(value, (list, tuple)):
        return [shown(each) for each in value]
    return value if isinstance(value, (int, float, str, type(None))) else type(value).__name__

def note(name, value):
    notes[name] = shown(value)

def ends(coro=None):
    # The ends of jobs, as a status coroutine hears of them.
    coro.set_daemon()
    waiting, over, servers = {}, {}, []
    while True:
        msg = yield coro.receive()
        if isinstance(msg, asyncoro.MonitorException):
            over[msg.args[0]] = msg.args[1]
        elif isinstance(msg, DiscoroStatus):
            if msg.status == Scheduler.ServerInitialized:
                servers.append(msg.info)
        elif isinstance(msg, tuple):
            waiting[msg[0]] = msg[1]
        for rcoro in [rcoro for rcoro in waiting if rcoro in over]:
            waiting.pop(rcoro).send(over.pop(rcoro))
        if 'servers' in waiting and len(servers) >= 2:
            waiting.pop('servers').send(list(servers))

def end_of(rcoro, coro):
    # With yield: how a job ended.
    if not isinstance(rcoro, asyncoro.Coro) and rcoro != 'servers':
        raise StopIteration(rcoro)
    status_coro.send((rcoro, coro))
    end = yield coro.receive(20)
    raise StopIteration(end)
"""

END = """
if __name__ == '__main__':
    Scheduler(node='127.0.0.1', udp_port=PORT)
    status_coro = asyncoro.Coro(ends)
    client = asyncoro.Coro(client_proc)
    client.value()
    print(json.dumps(notes))
"""

JOBS = """
import helper_module

data = 'of the client'

class C(object):
    def __init__(self, n):
        self.n = n
    def twice(self):
        return C(self.n * 2)

def listed(n, coro=None):
    yield coro.sleep(0.01)
    raise StopIteration(n + 1)

def other(n, coro=None):
    yield coro.sleep(0.01)
    raise StopIteration(n + 2)

def load(value):
    global data
    yield
    data = value

def read():
    yield
    raise StopIteration(globals().get('data'))

def environment(coro=None):
    import asyncoro.disasyncoro
    import helper_module
    yield
    raise StopIteration([
        __name__,
        asyncoro.AsynCoro.__name__,
        asyncoro.disasyncoro.AsynCoro is asyncoro.AsynCoro,
        asyncoro.AsynCoro().location == coro.location,
        isinstance(coro, asyncoro.Coro) and type(coro).__module__.split('.')[1],
        os_is_there(),
        helper_module.value,
        open(os.path.join('below', 'data.txt')).read(),
        os.getcwd() == sys.path[0],
    ])

def os_is_there():
    global os, sys
    there = 'os' in globals()
    import os, sys
    return there

def instance(c):
    yield
    raise StopIteration((type(c) is C, c.twice()))

def fails(n, coro=None):
    yield 5
    raise ValueError('as asked', n)

def sleeps(coro=None):
    got = yield coro.receive()
    while True:
        yield coro.sleep(60)

def nests(coro=None):
    def inner(n, coro=None):
        yield coro.sleep(0.01)
        raise StopIteration(n * 3)
    child = asyncoro.Coro(inner, 4)
    first = yield child.finish()
    second = yield inner(5, coro=coro)
    raise StopIteration([first, second])

no_such_name = 'but at the client'

def broken(n=no_such_name):
    yield

def answers(coro=None):
    while True:
        client, question = yield coro.receive()
        if question is None:
            break
        yield client.deliver(question * 2)
    raise StopIteration('answered')

def listens(channel, client, coro=None):
    yield channel.subscribe(coro)
    client.send('subscribed')
    message = yield coro.receive()
    yield channel.unsubscribe(coro)
    raise StopIteration(message)

def not_generator(n):
    return n

def finder(name, coro=None):
    found = yield asyncoro.Coro.locate(name, timeout=10)
    raise StopIteration(found.name if found else None)

def registered(name, coro=None):
    coro.register(name)
    msg = yield coro.receive()
    raise StopIteration(msg)

def sends_file(client, name, coro=None):
    with open('made.txt', 'w') as f:
        f.write('made by ' + name)
    result = yield asyncoro.AsynCoro().send_file(client.location, 'made.txt', overwrite=True)
    raise StopIteration((result, os.path.isfile('sent.txt') and open('sent.txt').read()))

def client_proc(coro=None):
    computation = Computation(
        [C, listed, helper_module, os_is_there, os.path.join('below', 'data.txt')], status_coro=status_coro, timeout=2
    )
    note('closed before', (yield computation.close()))
    note('schedule', (yield computation.schedule()))
    note('again', (yield computation.schedule()))
    infos = yield end_of('servers', coro)
    servers = yield computation.servers()
    note('servers', sorted(infos) == sorted(servers) and len(servers))
    nodes = yield computation.nodes()
    note('nodes', nodes)
    one = infos[0]
    note('info', [one.name.rpartition('-')[2] in '12', one.location == one, isinstance(one, asyncoro.Location)])

    # where
    def at(where, *args):
        rcoro = yield computation.run_at(where, *args)
        value = yield end_of(rcoro, coro)
        raise StopIteration(isinstance(rcoro, asyncoro.Coro) and (rcoro.location == where, value))
    note('run', (yield end_of((yield computation.run(other, 1)), coro)))
    note('run_at location', (yield at(servers[1], listed, 1)))
    note('run_at info', (yield at(infos[1], listed, 1)))
    note('run_at address', (yield at('127.0.0.1', other, 1)))
    note('run_at name', (yield at('localhost', other, 1)))
    note('run_at any', (yield at(None, other, 1)))
    note('run_at no address', (yield computation.run_at('127.0.0.99', other, 1)))
    note('run_at no location', (yield computation.run_at(asyncoro.Location('127.0.0.1', 9), other, 1)))
    for name, where in (('node', 'node'), ('server', 'server'), ('address', '127.0.0.1'), ('location', servers[0])):
        note('run_each %s' % name, len((yield computation.run_each(where, other, 1))))
    note('run_nodes', len((yield computation.run_nodes(other, 1))))
    note('run_servers', len(set(rcoro.location for rcoro in (yield computation.run_servers(other, 1)))))
    note('run_node_servers', len((yield computation.run_node_servers('127.0.0.1', other, 1))))
    note('run_node_servers elsewhere', (yield computation.run_node_servers('127.0.0.99', other, 1)))

    # what
    here = servers[0]
    note('by name', (yield at(here, 'listed', 5)))
    yield at(here, other, 0)
    note('by the name of another', (yield at(here, 'other', 5)))
    def nested(n, coro=None):
        yield coro.sleep(0.01)
        raise StopIteration(n * 100)
    note('nested', (yield at(here, nested, 5)))
    note('no such name', (yield computation.run_at(here, 'no_such', 5)))
    note('too few arguments', (yield computation.run_at(here, listed)))
    note('too few by name', (yield computation.run_at(here, 'listed')))
    note('not a generator', (yield computation.run_at(here, not_generator, 1)))
    note('not picklable', (yield computation.run_at(here, other, threading.Lock())))
    note('source fails', (yield computation.run_at(here, broken)))

    # there
    note('first', (yield at(here, read)))
    yield at(here, load, 'of a job')
    note('then', (yield at(here, read)))
    note('elsewhere', (yield at(servers[1], read)))
    note('environment', (yield at(here, environment)))
    ended, (kind, (is_c, c)) = yield at(here, instance, C(4))
    note('instance', [is_c, type(c) is C, c.n])
    kind, error = yield end_of((yield computation.run(fails, 3)), coro)
    note('fails', [kind.__name__, type(error).__name__, list(error.args)])
    rcoro = yield computation.run(sleeps)
    rcoro.send('last')
    yield coro.sleep(0.2)
    note('terminate', rcoro.terminate())
    note('terminated', (yield end_of(rcoro, coro)))
    note('children', (yield at(here, nests)))

    # messages
    rcoro = yield computation.run(answers)
    note('monitor', (yield coro.monitor(rcoro)))
    note('deliver', (yield rcoro.deliver((coro, 21))))
    note('answer', (yield coro.receive(5)))
    rcoro.send((coro, None))
    msg = yield coro.receive(5)
    note('monitored', [msg.args[0] == rcoro, msg.args[1]])
    channel = asyncoro.Channel('news')
    rcoro = yield computation.run(listens, channel, coro)
    note('subscribed', (yield coro.receive(5)))
    note('channel', (yield channel.deliver('extra', n=1)))
    note('heard', (yield end_of(rcoro, coro)))
    rcoro = yield computation.run_at(servers[0], registered, 'known')
    note('located', (yield at(servers[1], finder, 'known')))
    rcoro.send('done')

    # files
    with open('sent.txt', 'w') as f:
        f.write('sent')
    note('send_file', (yield asyncoro.AsynCoro().send_file(here, 'sent.txt')))
    note('files', (yield at(here, sends_file, coro, 'the job')))
    path = os.path.join(asyncoro.AsynCoro().dest_path, 'made.txt')
    note('dest_path', [asyncoro.AsynCoro().dest_path.endswith('discoro/scheduler'), open(path).read()])
    status = Scheduler().status()
    note('status', [sorted(status), status['Pending'], status['Nodes'], len(status['Servers'])])

    yield computation.close()
    note('after', (yield computation.run(other, 1)))
    note('nodes after', (yield computation.nodes()))

    second = Computation([], status_coro=status_coro)
    note('second', (yield second.schedule()))
    note('nothing is left', (yield end_of((yield second.run(read)), coro)))
    yield second.close()
"""

EXPECTED = {
    "closed before": None,
    "schedule": 0,
    "again": -1,
    "servers": 2,
    "nodes": ["127.0.0.1"],
    "info": [True, True, True],
    "run": ["StopIteration", 3],
    "run_at location": [True, ["StopIteration", 2]],
    "run_at info": [True, ["StopIteration", 2]],
    "run_at address": [False, ["StopIteration", 3]],
    "run_at name": [False, ["StopIteration", 3]],
    "run_at any": [False, ["StopIteration", 3]],
    "run_at no address": None,
    "run_at no location": None,
    "run_each node": 1,
    "run_each server": 2,
    "run_each address": 1,
    "run_each location": 2,
    "run_nodes": 1,
    "run_servers": 2,
    "run_node_servers": 2,
    "run_node_servers elsewhere": [],
    "by name": [True, ["StopIteration", 6]],
    "by the name of another": [True, ["StopIteration", 7]],
    "nested": [True, ["StopIteration", 500]],
    "first": [True, ["StopIteration", None]],
    "then": [True, ["StopIteration", "of a job"]],
    "elsewhere": [True, ["StopIteration", None]],
    "environment": [True, ["StopIteration", ["__main__", "AsynCoro", True, True, "legacy", False, 7, "below", True]]],
    "instance": [True, True, 8],
    "fails": ["ValueError", "ValueError", ["as asked", 3]],
    "terminate": 0,
    "terminated": ["StopIteration", None],
    "children": [True, ["StopIteration", [12, 15]]],
    "monitor": 0,
    "deliver": 1,
    "answer": 42,
    "monitored": [True, ["StopIteration", "answered"]],
    "subscribed": "subscribed",
    "channel": 1,
    "heard": ["StopIteration", "extra"],
    "located": [True, ["StopIteration", "registered"]],
    "send_file": 0,
    "files": [True, ["StopIteration", [0, "sent"]]],
    "dest_path": [True, "made by the job"],
    "status": [["Client", "Nodes", "Pending", "Servers"], 0, ["127.0.0.1"], 2],
    "after": None,
    "nodes after": [],
    "second": 0,
    "nothing is left": ["StopIteration", None],
}

#: What cannot be run: the exception, the function, what its traceback ends with.
NOT_RUN = {
    "no such name": ["NameError", "no_such", "there is no function 'no_such' at this server"],
    "too few arguments": ["TypeError", "listed", "missing 1 required positional argument: 'n'"],
    "too few by name": ["TypeError", "listed", "missing 1 required positional argument: 'n'"],
    "not a generator": ["Exception", "not_generator", "not_generator is not a generator!"],
    "not picklable": ["PackagingError", "other", "job.args[0]: cannot pickle '_thread.lock' object"],
    "source fails": ["PackagingError", "broken", "NameError: name 'no_such_name' is not defined"],
}


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    directory = tmp_path_factory.mktemp("old")
    (directory / "helper_module.py").write_text("value = 7\n")
    (directory / "below").mkdir()
    (directory / "below" / "data.txt").write_text("below")
    with old_node(directory) as node:
        yield node.notes(BEGIN + JOBS + END)


@pytest.mark.parametrize("entry", EXPECTED)
def test_what_a_program_with_a_computation_sees(notes, entry):
    assert notes[entry] == EXPECTED[entry]


@pytest.mark.parametrize("entry", NOT_RUN)
def test_what_cannot_be_run_is_told_with_the_exception_and_its_traceback(notes, entry):
    kind, name, ending = NOT_RUN[entry]
    assert notes[entry][:2] == [kind, name]
    assert notes[entry][2].rstrip().endswith(ending)


def test_every_note_is_looked_at(notes):
    assert notes.keys() == EXPECTED.keys() | NOT_RUN.keys()


SHARED = (
    BEGIN
    + """
def square(n, coro=None):
    yield coro.sleep(0.05)
    raise StopIteration(n * n)

def client_proc(location, coro=None):
    nowhere = Computation([square], timeout=1)
    note('no scheduler there', (yield nowhere.schedule(asyncoro.Location('127.0.0.1', 9))))
    note('in time', (yield Computation([], timeout=99).schedule(asyncoro.Location('127.0.0.1', 9), 0.5)))
    computation = Computation([square], status_coro=status_coro)
    note('schedule', (yield computation.schedule(location)))
    note('run', (yield end_of((yield computation.run(square, 4)), coro)))
    other = Computation([], status_coro=status_coro)
    waiting = asyncoro.Coro(second, other)
    yield coro.sleep(0.5)
    note('waits', waiting.is_alive())
    yield computation.close()
    note('then', (yield waiting.finish()))
    yield other.close()

def second(computation, coro=None):
    result = yield computation.schedule()
    raise StopIteration(result)

if __name__ == '__main__':
    asyncoro.AsynCoro(node='127.0.0.1', udp_port=PORT, name='a client')
    status_coro = asyncoro.Coro(ends)
    asyncoro.Coro(client_proc, asyncoro.Location('127.0.0.1', SCHEDULER)).value()
    print(json.dumps(notes))
"""
)

NATIVE = """
import json
from greencoro import Computation, Scheduler

def square(n):
    return n * n, "asyncoro" in globals()

with Scheduler(nodes=["LOCATION"], node="127.0.0.1", discover_peers=False), Computation() as computation:
    print(json.dumps(computation.run(square, 3).value()))
"""


def test_computations_take_turns_at_a_shared_scheduler_and_native_ones_use_the_same_node(tmp_path):
    with old_node(tmp_path, 1) as node:
        place = free_port()
        script = str(ROOT / "scripts" / "discoro.py")
        scheduler = node.programs.start(
            script, "-i", "127.0.0.1", "-u", str(node.port), "-t", str(place), "-s", "", "--daemon"
        )
        assert scheduler.line().startswith(f"discoro.py at 127.0.0.1:{place}: secret ")
        assert node.notes(SHARED.replace("SCHEDULER", str(place))) == {
            "no scheduler there": -1,
            "in time": -1,
            "schedule": 0,
            "run": ["StopIteration", 16],
            "waits": True,
            "then": 0,
        }
        scheduler.process.terminate()
        assert scheduler.wait() in (0, 143, -15)
        location = node.announcement.split(" at ")[1].split(": ")[0]
        native = node.programs.script(NATIVE.replace("LOCATION", location))
        assert native.wait() == 0, native.errors()
        assert native.rest() == "[9, false]\n"


def test_a_computation_finds_no_scheduler_where_there_is_none(tmp_path):
    with old_node(tmp_path, 1) as node:
        program = node.client("""
            import asyncoro.disasyncoro as asyncoro
            from asyncoro.discoro import *

            def client_proc(coro=None):
                print(- (yield Computation([], timeout=1).schedule()))

            asyncoro.AsynCoro(node='127.0.0.1', udp_port=PORT)
            asyncoro.Coro(client_proc)
        """)
        assert program.wait() == 0
        printed = program.rest()
        assert printed.splitlines()[-1] == "1"
        assert "asyncoro - not scheduled: no scheduler" in printed


def test_a_node_is_found_at_a_host_that_is_named(tmp_path):
    with old_node(tmp_path, 1) as node:
        notes = node.notes("""
            import json
            import asyncoro.disasyncoro as asyncoro
            from asyncoro.discoro import *

            def client_proc(coro=None):
                computation = Computation([], status_coro=coro)
                yield computation.schedule()
                while True:
                    msg = yield coro.receive(20)
                    if msg.status == Scheduler.ServerInitialized:
                        break
                print(json.dumps([Scheduler() is scheduler, asyncoro.AsynCoro().name]))
                yield computation.close()

            scheduler = Scheduler(nodes=['127.0.0.1'], node='127.0.0.1', udp_port=PORT, discover_peers=False)
            asyncoro.Coro(client_proc).value()
            scheduler.print_status()
            print(json.dumps([Scheduler() is scheduler, asyncoro.AsynCoro().name]))
        """)
        assert notes == [True, "discoro_scheduler"]


@pytest.mark.parametrize("arguments", ["nodes=[5]", "zombie_period=-1", "zombie_period='x'"])
def test_a_scheduler_of_what_is_none_is_refused(tmp_path, arguments):
    path = tmp_path / "program.py"
    path.write_text(f"from asyncoro.discoro import *\nScheduler(node='127.0.0.1', {arguments})")
    ended = subprocess.run(
        [sys.executable, "-m", "greencoro.legacy", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 1
    assert "Exception: invalid nodes or zombie_period: " in ended.stderr
