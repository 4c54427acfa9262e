from greencoro.distributed import refs
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.rci import RCI, RemoteRCI
from greencoro.distributed.reference_classes import ReferenceClasses
from greencoro.distributed.refs import Reference
from greencoro.distributed.remote_channel import RemoteChannel
from greencoro.hub.coroutine import Coro
from tests.support.polling import poll_until


class OwnCoro(RemoteCoro):
    __slots__ = ()


class OwnChannel(RemoteChannel):
    pass


class OwnRCI(RemoteRCI):
    pass


def test_a_runtime_makes_its_references_of_the_classes_that_it_is_given(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    one.reference_classes = ReferenceClasses(OwnCoro, OwnChannel, OwnRCI)
    for kind, own in (("coro", OwnCoro), ("channel", OwnChannel), ("rci", OwnRCI)):
        reference = Reference(other.location, other.incarnation, refs.number(kind, 1), "a")
        assert type(one.resolve(reference)) is own
    (peer,) = one.peer_infos()
    assert type(one.reference(peer, 1, "a")) is OwnCoro
    assert ReferenceClasses() == (RemoteCoro, RemoteChannel, RemoteRCI) == other.reference_classes


def test_what_an_rci_starts_is_of_the_classes_of_its_two_sides(runtime_pair):
    class Started(Coro):
        __slots__ = ()

    class Starter(RCI):
        coro_class = Started

    def kind(coro=None):
        return type(coro) is Started

    def register():
        made = Starter(kind)
        assert made.register() == 0
        return made

    runtime_pair.one.reference_classes = ReferenceClasses(coro=OwnCoro)
    rci = runtime_pair.other.spawn(register).value(10)
    started = runtime_pair.run(lambda: RCI.locate("kind", timeout=10)())
    assert type(started) is OwnCoro and started.value(10)
    local = runtime_pair.other.spawn(rci).value(10)
    assert type(local) is Started and local.value(10)
    rci.unregister()


def test_what_is_registered_here_is_not_looked_at_where_only_peers_are_asked(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other

    def serve(coro=None):
        assert coro.register("both") == 0
        coro.receive()

    here, there = one.spawn(serve), None
    poll_until(lambda: one.names.lookup("coro", "both"))
    assert one.locate_elsewhere("coro", "both", None, 0.1) is None
    assert one.locate_elsewhere("coro", "both", one.location, None) is None
    there = other.spawn(serve)
    for location in (None, other.location):
        found = one.locate_elsewhere("coro", "both", location, 10)
        assert (found.location, found.id) == (other.location, there.id)
    here.send(None), there.send(None)
