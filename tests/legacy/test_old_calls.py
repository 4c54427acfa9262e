"""What reading a text finds of asyncoro's."""

import textwrap

import pytest

from greencoro.legacy.old_calls import sites


def ways(text, head="import asyncoro.disasyncoro as asyncoro\n"):
    """What is found, without the imports: old and new by line."""
    found = sites(head + textwrap.dedent(text).lstrip("\n"))
    return [(site.old, site.new) for site in found if "import" not in site.old]


def way(line, **more):
    found = ways(f"def work(coro=None):\n    {line}\n", **more)
    assert len(found) == 1, found
    return found[0][1]


@pytest.mark.parametrize(
    ("line", "native"),
    [
        ("yield coro.sleep(1)", "sleep(1)"),
        ("yield coro.sleep()", "coro.suspend()"),
        ("yield coro.sleep(1, alarm_value=2)", "coro.suspend(1, alarm_value=2)"),
        ("x = yield coro.recv(timeout=2)", "coro.receive(timeout=2)"),
        ("print((yield coro.receive()))", "coro.receive()"),
        ("coro.wakeup()", "coro.resume()"),
        ("yield asyncoro.Coro.locate('x')", "Coro.locate('x')"),
        ("me = asyncoro.AsynCoro.cur_coro()", "Coro.current()"),
        ("asyncoro.logger.setLevel(10)", 'logging.getLogger("greencoro").setLevel(10)'),
        ("level = asyncoro.logger.WARN", "logging.WARNING"),
        ("asyncoro.serialize({'a': 1})", "pickle.dumps({'a': 1})"),
        ("asyncoro.AsynCoro(node='h', secret='s')", "Runtime(node='h', secret='s')"),
        ("asyncoro.AsynCoro()", "runtime()"),
        ("isinstance(1, asyncoro.MonitorException)", "MonitorException"),
        ("yield some.deliver(2)", "some.deliver(2)"),
        ("yield some.send_file(1, 'a')", "some.send_file(1, 'a')"),
        ("some.set_daemon()", "some.set_daemon()"),
        ("yield some.finish()", None),
        ("yield some()", None),
        ("asyncoro.no_such_thing()", None),
    ],
)
def test_a_line_has_its_native_way(line, native):
    assert way(line) == native


def test_bare_yields_and_results_are_told_in_generator_functions_only():
    text = """
        def work(coro=None):
            yield
            raise StopIteration(1, 2)

        def empty(coro=None):
            yield
            raise StopIteration

        def plain():
            raise StopIteration(3)
    """
    assert [new for _, new in ways(text)] == ["sleep(0)", "return 1, 2", "sleep(0)", "return"]


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("import asyncoro\n", "asyncoro.Channel('x')"),
        ("import asyncoro3 as asyncoro\n", "asyncoro.Channel('x')"),
        ("import asyncoro as a\n", "a.Channel('x')"),
        ("from asyncoro import *\n", "Channel('x')"),
        ("from asyncoro import Channel as C\n", "C('x')"),
        ("import asyncoro.disasyncoro as asyncoro\nimport asyncoro.discoro\n", "asyncoro.Channel('x')"),
    ],
)
def test_imports_are_followed_whatever_they_call_it(head, line):
    assert way(line, head=head) == "Channel('x')"


def test_constants_and_classes_of_other_modules_are_told():
    text = "a = asyncoro.discoro.MinPulseInterval\nb = Scheduler.ServerClosed\nc = isinstance(a, DiscoroStatus)\n"
    head = "import asyncoro.discoro\nfrom asyncoro.discoro import *\n"
    assert [new for _, new in ways(text, head)] == [
        "greencoro.compute.MinPulseInterval",
        "Status.ServerClosed",
        "Status",
    ]


def test_a_name_of_two_modules_is_that_of_its_own():
    local, jobs = ways("asyncoro.MsgTimeout = 1\nasyncoro.discoro.MsgTimeout = 1\n", "import asyncoro.discoro\n")
    assert (local[1], jobs[1]) == ("", "greencoro.compute.MsgTimeout")


def test_values_are_followed_to_where_they_are_used():
    text = """
        def serve(conn, coro=None):
            yield conn.recv_msg()
            conn.settimeout(0)

        def accept(sock, coro=None):
            conn, address = yield sock.accept()
            asyncoro.Coro(serve, conn)
            yield sock.recv(1)

        class Both:
            def __init__(self, lock):
                self.event = asyncoro.Event()
                self.lock = lock

            def work(self, coro=None):
                self.event.isSet()
                yield self.lock.acquire()

        sock = socket.socket()
        sock = asyncoro.AsyncSocket(sock)
        both = Both(asyncoro.Lock())
        asyncoro.Coro(accept, sock)
        coros = []
        for i in range(3):
            coros.append(asyncoro.Coro(both.work))
        for each in coros:
            each.wakeup()
        coros[0].wakeup()
    """
    found = dict(ways(text))
    assert found["yield conn.recv_msg()"] == "conn.recv_msg()"
    assert found["yield sock.recv(1)"] == "sock.recv(1)"
    assert found["self.event.isSet()"] == "self.event.is_set()"
    assert found["yield self.lock.acquire()"] == "self.lock.acquire()"
    assert found["each.wakeup()"] == "each.resume()"
    assert found["coros[0].wakeup()"] == "coros[0].resume()"
    assert found["conn.settimeout(0)"] == "conn.settimeout(0)"


def test_what_a_name_stands_for_is_not_guessed_where_it_has_two_meanings():
    assert (
        way("thing = asyncoro.Event() if 0 else 1; thing = object(); thing.isSet()", head="import asyncoro\n")
        == "Event()"
    )


def test_what_is_in_others_is_native_there_too():
    text = """
        def work(coro=None):
            yield coro.deliver(asyncoro.serialize(
                (yield coro.recv())))
    """
    assert ways(text)[0] == (
        "yield coro.deliver(asyncoro.serialize( (yield coro.recv())))",
        "coro.deliver(pickle.dumps(coro.receive()))",
    )


def test_sub_calls_of_the_programs_own_generators_lose_their_yield():
    text = """
        def sub(n):
            yield n

        def plain(n):
            return n

        def work(coro=None):
            yield sub(1)
            yield plain(2)
    """
    assert ways(text) == [("yield sub(1)", "sub(1)")]


def test_the_first_import_tells_all_that_is_to_be_imported():
    found = sites("import asyncoro\nimport asyncoro.discoro\nasyncoro.Coro(f)\nasyncoro.serialize(1)\n")
    assert [site.new for site in found[:2]] == ["import pickle; from greencoro import Coro", ""]


def test_a_text_without_asyncoro_has_nothing():
    assert sites("def work(coro=None):\n    yield coro.sleep(1)\n") == []


def test_the_same_place_is_told_once():
    found = ways("asyncoro.Coro(f).value()\n")
    assert found == [("asyncoro.Coro(f).value()", "Coro(f).value()"), ("asyncoro.Coro(f)", "Coro(f)")]
