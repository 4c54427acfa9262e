"""asyncoro.discoro: what it has, and what computations take; without any server."""

import pickle
import sys
import types

import pytest

from greencoro import compute
from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.filters import NodeFacts, decide
from greencoro.compute.status import CoroInfo, Status
from greencoro.distributed.location import Location
from greencoro.errors import MonitorException, ServerDied
from greencoro.hub.coroutine import Coro as NativeCoro
from greencoro.legacy import status_news
from greencoro.legacy.creating import NotCreated
from tests.compute.inline_cluster import inline_cluster
from tests.legacy.discoro_modules import discoro, discoro_schedulers
from tests.legacy.launching import program_fixture, run  # noqa: F401

Computation = discoro.Computation
Scheduler = discoro.Scheduler
DiscoroCoroInfo = discoro.DiscoroCoroInfo
DiscoroNodeAvailInfo = discoro.DiscoroNodeAvailInfo
DiscoroNodeFilter = discoro.DiscoroNodeFilter
DiscoroNodeInfo = discoro.DiscoroNodeInfo
DiscoroServerInfo = discoro.DiscoroServerInfo
DiscoroStatus = discoro.DiscoroStatus

SERVER = Location("10.0.0.1", 51347)


class Listed:
    """A component."""

    def method(self):
        yield


def job(n, coro=None):
    yield n


# What the modules have.


def test_the_modules_are_found_under_their_old_names(program):
    done = run(
        program("""
            import asyncoro.discoro_schedulers
            from greencoro.legacy import discoro, discoro_schedulers
            print(asyncoro.discoro is discoro, asyncoro.discoro_schedulers is discoro_schedulers)
            print(asyncoro.discoro_schedulers.ProcScheduler is asyncoro.discoro_schedulers.RemoteCoroScheduler)
            print(asyncoro.AsynCoro is asyncoro.disasyncoro.AsynCoro)
            import asyncoro3.discoro
            print(asyncoro3.discoro is discoro)
        """)
    )
    assert (done.stdout.split(), done.stderr) == (["True"] * 5, "")


def test_a_star_brings_classes_and_no_constants():
    assert sorted(discoro.__all__) == [
        "Computation",
        "DiscoroCoroInfo",
        "DiscoroNodeAvailInfo",
        "DiscoroNodeFilter",
        "DiscoroNodeInfo",
        "DiscoroServerInfo",
        "DiscoroStatus",
        "Scheduler",
    ]
    assert discoro.CoroInfo is DiscoroCoroInfo, "as one document calls it"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NodeDiscovered", 1),
        ("NodeInitialized", 2),
        ("NodeClosed", 3),
        ("NodeIgnore", 4),
        ("NodeDisconnected", 5),
        ("ServerDiscovered", 11),
        ("ServerInitialized", 12),
        ("ServerClosed", 13),
        ("ServerIgnore", 14),
        ("ServerDisconnected", 15),
        ("CoroCreated", 20),
        ("ComputationScheduled", 23),
        ("ComputationClosed", 25),
    ],
)
def test_statuses_are_attributes_of_the_scheduler(name, value):
    assert getattr(Scheduler, name) == value


@pytest.mark.parametrize(("name", "value"), [("MsgTimeout", 10), ("MinPulseInterval", 10), ("MaxPulseInterval", 100)])
def test_constants(name, value):
    assert getattr(discoro, name) == value


# Computations.


@pytest.fixture(autouse=True)
def constants(monkeypatch):
    """They are the program's to assign."""
    for module in (discoro, compute):
        for name in ("MsgTimeout", "MinPulseInterval", "MaxPulseInterval"):
            monkeypatch.setattr(module, name, getattr(module, name))
    return monkeypatch


@pytest.mark.parametrize(
    "components",
    [
        [],
        [job, Listed, Listed()],
        (job,),
        job,
        Listed,
        __file__,
        [Listed().method],
        [sys.modules[__name__]],
    ],
)
def test_components_are_files_modules_functions_classes_and_instances(components):
    assert Computation(components).status_coro is None


@pytest.mark.parametrize(
    "components",
    [
        ["/no/such/file"],
        [5],
        [None],
        [len],
        [eval("lambda: 1")],
        [types.ModuleType("without_a_file")],
        ["."],
    ],
)
def test_what_has_no_source_is_no_component(components):
    with pytest.raises(Exception, match="components") as caught:
        Computation(components)
    assert type(caught.value) is Exception


@pytest.mark.parametrize(
    "arguments",
    [
        {"status_coro": 5},
        {"timeout": 0.5},
        {"timeout": 101},
        {"timeout": "10"},
        {"timeout": None, "pulse_interval": 9},
        {"pulse_interval": 101},
        {"pulse_interval": "20"},
        {"ping_interval": 9},
        {"ping_interval": "10"},
        {"zombie_period": "100"},
        {"zombie_period": -1},
        {"node_filters": DiscoroNodeFilter()},
        {"node_filters": [lambda facts: True]},
        {"node_filters": None},
    ],
)
def test_what_is_not_as_it_has_to_be_is_refused(arguments):
    with pytest.raises(Exception, match=list(arguments)[-1]) as caught:
        Computation([], **arguments)
    assert type(caught.value) is Exception


def test_terms_are_attributes_and_positional():
    computation = Computation([], None, 5, 30, 15, 200, [DiscoroNodeFilter(cpus=2)])
    assert (computation.timeout, computation.pulse_interval, computation.ping_interval) == (5, 30, 15)
    assert computation.zombie_period == 200
    default = Computation([])
    assert (default.timeout, default.pulse_interval, default.ping_interval) == (10, 20, None)
    assert (default.zombie_period, list(default.node_filters)) == (0, [])


def test_constants_that_the_program_assigns_count():
    discoro.MinPulseInterval, discoro.MaxPulseInterval, discoro.MsgTimeout = 1, 400, 3
    computation = Computation([], pulse_interval=1, ping_interval=1)
    assert computation.timeout == 3
    assert Computation([], pulse_interval=400).pulse_interval == 400
    assert Computation([]).pulse_interval == 2


def test_a_zombie_period_below_the_limit_is_the_shortest_there_is():
    assert Computation([], zombie_period=5)._native._jobs.client.terms.zombie_period == 100


def test_the_status_coroutine_may_be_set_later():
    computation = Computation([])
    coro = NativeCoro(job, 1)
    computation.status_coro = coro
    assert computation.status_coro is coro
    coro.value()


def test_what_is_to_be_yielded_is_a_generator_and_does_nothing_before():
    computation = Computation([])
    for made in (
        computation.schedule(),
        computation.run(job, 1),
        computation.run_at(None, job, 1),
        computation.run_each("node", job, 1),
        computation.run_nodes(job, 1),
        computation.run_servers(job, 1),
        computation.run_node_servers("10.0.0.1", job, 1),
        computation.nodes(),
        computation.servers(),
        computation.close(),
    ):
        assert isinstance(made, types.GeneratorType)
        made.close()


def value_of(generator, seconds=10):
    """What a `yield` of it evaluates to."""

    def run():
        result = yield generator
        raise StopIteration([result])

    return NativeCoro(run).value(seconds)[0]


def test_before_it_is_scheduled_nothing_is_run_and_there_is_nothing():
    computation = Computation([job])
    assert value_of(computation.run(job, 1)) is None
    assert value_of(computation.run_servers(job, 1)) == []
    assert value_of(computation.nodes()) == []
    assert value_of(computation.servers()) == []
    assert value_of(computation.close()) is None


def test_it_is_not_scheduled_where_a_file_is_missing_by_then(tmp_path, capfd):
    file = tmp_path / "file.txt"
    file.write_text("text")
    computation = Computation([str(file)])
    file.unlink()
    assert value_of(computation.schedule()) == -1
    assert f"not scheduled: {file} is missing" in capfd.readouterr().out


def test_a_file_below_the_working_directory_keeps_its_place_there(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name in ("below/a.txt", "elsewhere/b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)

    def places(*paths):
        shipping = Computation(list(paths))._native._jobs.shipping
        return [part.path for part in shipping._components.parts if part.kind == "file"]

    assert places(str(tmp_path / "below" / "a.txt"), "c.txt") == ["below/a.txt", "c.txt"]
    monkeypatch.chdir(tmp_path / "below")
    assert places(str(tmp_path / "elsewhere" / "b.txt"), "../c.txt", "a.txt") == ["b.txt", "c.txt", "a.txt"]


# What status coroutines are told.


def test_statuses_and_jobs_are_named_tuples():
    status = DiscoroStatus(Scheduler.CoroCreated, DiscoroCoroInfo("coro", (1,), {"a": 2}, 3.0))
    assert status == (20, ("coro", (1,), {"a": 2}, 3.0))
    assert (status.status, status.info.coro, status.info.args, status.info.kwargs) == (20, "coro", (1,), {"a": 2})
    assert status.info.start_time == 3.0


def test_a_node_is_its_address_and_has_the_rest():
    info = DiscoroNodeInfo("node", "10.0.0.1", 4, "Linux", None)
    for each in (info, pickle.loads(pickle.dumps(info))):
        assert each == "10.0.0.1"
        assert {each: 1}["10.0.0.1"] == 1
        assert (each.name, each.addr, each.cpus, each.platform, each.avail_info) == (
            "node",
            "10.0.0.1",
            4,
            "Linux",
            None,
        )


def test_a_server_is_its_location_and_has_its_name():
    info = DiscoroServerInfo("node-1", SERVER)
    for each in (info, pickle.loads(pickle.dumps(info))):
        assert each == SERVER
        assert [SERVER].index(each) == 0
        assert each == info
        assert {SERVER: 1}[each] == 1
        assert isinstance(each, Location)
        assert str(each) == str(SERVER)
        assert (each.name, each.location, type(each.location)) == ("node-1", SERVER, Location)
    assert info != Location("10.0.0.1", 1)
    assert info != "10.0.0.1:51347"


def test_what_is_free_has_the_address_first_and_cannot_be_changed():
    info = DiscoroNodeAvailInfo("10.0.0.1", 90.0, 2**30, 2**40, 50.0)
    assert (info.addr, info.cpu, info.memory, info.disk, info.swap) == ("10.0.0.1", 90.0, 2**30, 2**40, 50.0)
    with pytest.raises(AttributeError):
        info.cpu = 5


FACTS = NodeFacts("10.0.0.1", "node", 2, "Linux-6-x86_64", {}, NodeAvailInfo(50.0, 1000, 2000, 0.0, "10.0.0.1"))


@pytest.mark.parametrize(
    ("filters", "accepted"),
    [
        ([], True),
        ([DiscoroNodeFilter()], True),
        ([DiscoroNodeFilter("10.")], True),
        ([DiscoroNodeFilter("0.0.1", cpus=99)], True),
        ([DiscoroNodeFilter(r"10\.0\.0\.1$", cpus=99)], False),
        ([DiscoroNodeFilter("10.", cpus=2, memory=1000, disk=2000, platform="linux.*X86")], True),
        ([DiscoroNodeFilter(memory=1001)], False),
        ([DiscoroNodeFilter(disk=2001)], False),
        ([DiscoroNodeFilter(platform="^unpossible")], False),
        ([DiscoroNodeFilter("10.0.0.1"), DiscoroNodeFilter(cpus=99)], True),
        ([DiscoroNodeFilter("11."), DiscoroNodeFilter(cpus=99)], False),
    ],
)
def test_the_first_filter_that_is_meant_for_a_node_decides(filters, accepted):
    assert decide(filters, FACTS)[0] is accepted


def test_filters_have_their_arguments_as_attributes():
    one = DiscoroNodeFilter("10.*", 1, 2, 3, "linux")
    assert (one.ip_addr, one.cpus, one.memory, one.disk, one.platform) == ("10.*", 1, 2, 3, "linux")
    assert DiscoroNodeFilter().ip_addr == ".*"


@pytest.fixture
def news():
    made = status_news.StatusNews.__new__(status_news.StatusNews)
    vars(made).update(_facts={}, _servers={}, _name_of=lambda location: "node-1", _news=status_news.Completion())
    made.learn(FACTS)
    return made


def test_nodes_are_told_with_what_is_known_of_them(news):
    for status in (Status.NodeDiscovered, Status.NodeInitialized, Status.NodeClosed, Status.NodeIgnore):
        told = news.in_old_words(Status(status, "10.0.0.1"))
        assert told == (status, "10.0.0.1")
        assert (told.info.name, told.info.cpus, told.info.platform) == ("node", 2, "Linux-6-x86_64")
        assert told.info.avail_info == DiscoroNodeAvailInfo("10.0.0.1", 50.0, 1000, 2000)


def test_servers_are_told_with_their_names_also_when_they_are_gone(news):
    first = news.in_old_words(Status(Status.ServerDiscovered, SERVER))
    news._name_of = lambda location: "unknown"
    last = news.in_old_words(Status(Status.ServerClosed, SERVER))
    assert (first.info, last.info) == (SERVER, SERVER)
    assert (first.info.name, last.info.name) == ("node-1", "node-1")


def test_the_ends_of_the_computation_are_told_with_a_location(news):
    for status in (Status.ComputationScheduled, Status.ComputationClosed):
        assert news.in_old_words(Status(status, SERVER)) == (status, SERVER)


def test_what_is_free_is_told(news):
    told = news.in_old_words(NodeAvailInfo(50.0, 1000, 2000, 10.0, "10.0.0.1"))
    assert told == DiscoroNodeAvailInfo("10.0.0.1", 50.0, 1000, 2000, 10.0)


def test_ends_of_jobs_are_told(news):
    finished = MonitorException("coro", "finished", 5)
    assert news.in_old_words(finished).args == ("coro", (StopIteration, 5))
    lost = MonitorException("coro", "lost", None, ServerDied("it died"))
    assert news.in_old_words(lost).args == ("coro", (Scheduler.ServerClosed, None))
    failed = MonitorException("coro", "exception", None, NotCreated((NameError, "f", "...\nNameError: no f\n")))
    kind, error = news.in_old_words(failed).args[1]
    assert (kind, str(error)) == (NameError, "f cannot be run: NameError: no f")


def test_what_the_program_gave_is_told_of_a_job(news):
    info = CoroInfo("coro", (1,), {"a": 2, "greencoro: is made": "told"}, 3.0)
    assert news.in_old_words(Status(Status.CoroCreated, info)).info == ("coro", (1,), {"a": 2}, 3.0)


# In an inline cluster, where what runs is what debuggers see.


def squares(n, coro=None):
    yield coro.sleep(0.001)
    raise StopIteration(n * n)


def fails(coro=None):
    yield
    raise ValueError("as asked")


def test_jobs_run_in_an_inline_cluster_too(tmp_path):
    with inline_cluster(tmp_path):
        computation = Computation([squares])
        jobs = discoro_schedulers.RemoteCoroScheduler(computation)
        assert value_of(computation.schedule()) == 0
        assert value_of(computation.run(squares, 3)).value(5) == 9
        assert value_of(jobs.execute(squares, 4)) == 16
        assert value_of(jobs.map_results(squares, [5, (6,)])) == [25, 36]
        error = value_of(jobs.execute(fails))
        assert (type(error), error.args) == (ValueError, ("as asked",))
        assert value_of(computation.run(squares))[:2] == (TypeError, "squares")
        assert value_of(jobs.finish(True)) is None
        jobs.status_coro.terminate()


class Feed:
    def __init__(self):
        self.told = []

    def tell(self, message):
        self.told.append(message)


def test_what_comes_late_is_told_and_then_nothing_is_waited_for(news, monkeypatch):
    monkeypatch.setattr(status_news, "_LATE_SECONDS", 0.05)
    news._feed = Feed()
    coro = NativeCoro(news.run)
    late = MonitorException("coro", "finished", 5)
    messages = [Status(Status.ComputationScheduled, SERVER), Status(Status.ComputationClosed, SERVER), late]
    for message in messages:
        coro.send(message)
    assert coro.value(5) is None
    assert news._feed.told == messages
