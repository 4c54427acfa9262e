"""What is run around the jobs of a computation, at servers that do what a test says."""

import logging

import pytest

from greencoro.compute.hook_functions import HookFunctions
from greencoro.compute.hooks import Hooks
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Shipping
from greencoro.distributed.location import Location
from greencoro.errors import (
    ComputationClosed,
    ComputeError,
    CoroTerminated,
    MonitorException,
    PeerLost,
    RemoteError,
    ServerDied,
)
from greencoro.hub import userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from tests.support.polling import poll_until


def prepare_node():
    return None


def prepare_server():
    return None


def tidy_server():
    return None


def tidy_node():
    return None


class Submission:
    """An attempt whose end the test says."""

    def __init__(self, server, call, on_over):
        self.server, self.name, self._on_over = server, call.name, on_over
        self.outcome = Completion()

    def over(self, error=None):
        """Its server says so."""
        if self.outcome.set(MonitorException(None, "finished" if error is None else "exception", None, error)):
            self._on_over(self)

    def server_gone(self, explanation):
        self.over(ServerDied(explanation))

    def computation_closed(self, reason):
        self.over(ComputationClosed(reason))

    def result(self):
        if self.outcome.value.error is not None:
            raise self.outcome.value.error


class Transport:
    """Keeps what is run; what a test names is over at once."""

    def __init__(self):
        self.ran = []
        #: By function and server: None where it returns, or what it raises.
        self.ends = {}
        self.withdrawn = []
        self.unreachable = set()

    def open(self, server, call, on_over, lane=None):
        return Submission(server, call, on_over)

    def queue(self, submission):
        if submission.server.name in self.unreachable:
            raise PeerLost("reset")
        self.ran.append(submission)
        key = submission.name, submission.server.name
        if key in self.ends:
            submission.over(self.ends[key])

    def withdraw(self, submission):
        self.withdrawn.append(submission)

    def did(self):
        return [(submission.name, submission.server.name) for submission in self.ran]


@pytest.fixture
def transport():
    Coro(lambda: None).value(5)  # starts the user hub
    return Transport()


def hooks_of(**functions):
    return Hooks(HookFunctions(**functions), Shipping(()))


def server(name, node="node", port=1):
    return Server(name, node, "10.0.0.1", Location("10.0.0.1", port), name, "token")


def gone(hooks, server, explanation="was killed"):
    """As the client does it, on the user hub."""
    for event in ("silent", "gone"):
        server.advance(event)
    server.explanation = explanation
    userhub.post(hooks.server_gone, server)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="a hook is a function, not 5"):
        hooks_of(server_setup=5)


def test_a_server_is_set_up_after_its_node_which_is_set_up_once(transport):
    hooks = hooks_of(node_setup=prepare_node, server_setup=prepare_server)
    first, second, elsewhere = server("a"), server("b"), server("c", node="other")
    transport.ends = {(name, where): None for name in ("prepare_node", "prepare_server") for where in "abc"}
    for each in (first, second, elsewhere):
        hooks.set_up(transport, each)
    assert transport.did() == [
        ("prepare_node", "a"),
        ("prepare_server", "a"),
        ("prepare_server", "b"),
        ("prepare_node", "c"),
        ("prepare_server", "c"),
    ]


def test_the_other_servers_of_a_node_wait_until_it_is_set_up(transport):
    hooks = hooks_of(node_setup=prepare_node, server_setup=prepare_server)
    transport.ends = {("prepare_server", "a"): None, ("prepare_server", "b"): None}
    first = Coro(hooks.set_up, transport, server("a"))
    poll_until(transport.did)
    second = Coro(hooks.set_up, transport, server("b"))
    for _ in range(20):
        Coro(lambda: None).value(5)  # the others had their turn meanwhile
    assert transport.did() == [("prepare_node", "a")]
    userhub.post(transport.ran[0].over)
    first.value(5)
    second.value(5)
    assert sorted(transport.did()[1:]) == [("prepare_server", "a"), ("prepare_server", "b")]


def test_a_node_whose_set_up_raises_is_used_by_no_server_of_it(transport):
    hooks = hooks_of(node_setup=prepare_node, server_setup=prepare_server)
    transport.ends = {("prepare_node", "a"): ValueError("no disk")}
    with pytest.raises(ComputeError, match=r"^node_setup prepare_node raised ValueError: no disk$"):
        hooks.set_up(transport, server("a"))
    with pytest.raises(ComputeError, match="the node could not be set up: node_setup prepare_node raised V"):
        hooks.set_up(transport, server("b"))
    assert transport.did() == [("prepare_node", "a")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit("no disk"), "raised SystemExit: no disk"),
        (RemoteError("SystemExit: no disk", "Traceback ...", "there"), "raised SystemExit: no disk"),
        (KeyError(), "raised KeyError"),
        (CoroTerminated("it was"), "was terminated"),
    ],
)
def test_whatever_a_set_up_raises_is_its_failure_and_it_is_said_of_which_hook(transport, error, said):
    transport.ends = {("prepare_server", "a"): error}
    with pytest.raises(ComputeError) as failure:
        hooks_of(server_setup=prepare_server).set_up(transport, server("a"))
    assert str(failure.value) == f"server_setup prepare_server {said}"


def test_the_next_server_sets_the_node_up_where_the_first_one_has_died_over_it(transport):
    hooks = hooks_of(node_setup=prepare_node)
    first, second = server("a"), server("b")
    setting_up = Coro(hooks.set_up, transport, first)
    poll_until(transport.did)
    transport.ends = {("prepare_node", "b"): None}
    waiting = Coro(hooks.set_up, transport, second)
    gone(hooks, first)
    with pytest.raises(ServerDied, match="was killed"):
        setting_up.value(5)
    waiting.value(5)
    assert transport.did() == [("prepare_node", "a"), ("prepare_node", "b")]


def test_the_next_server_sets_the_node_up_where_the_first_one_cannot_be_reached_any_more(transport):
    """It has been killed between its components and the hook: that says nothing of the node."""
    hooks = hooks_of(node_setup=prepare_node)
    first, second = server("a"), server("b")
    transport.unreachable = {"a"}
    transport.ends = {("prepare_node", "b"): None}
    setting_up = Coro(hooks.set_up, transport, first)
    poll_until(lambda: hooks._under_way)
    waiting = Coro(hooks.set_up, transport, second)
    gone(hooks, first)
    with pytest.raises(ServerDied, match="was killed"):
        setting_up.value(5)
    waiting.value(5)
    assert transport.did() == [("prepare_node", "b")]


def test_a_server_that_is_gone_already_is_waited_for_by_nobody(transport):
    hooks, first = hooks_of(server_setup=prepare_server), server("a")
    gone(hooks, first)
    with pytest.raises(ServerDied, match="was killed"):
        Coro(hooks.set_up, transport, first).value(5)
    assert not hooks._under_way


def test_Z5_what_is_being_run_is_over_with_the_computation(transport):
    hooks = hooks_of(node_setup=prepare_node)
    setting_up = Coro(hooks.set_up, transport, server("a"))
    poll_until(transport.did)
    waiting = Coro(hooks.set_up, transport, server("b"))
    userhub.post(hooks.computation_over, "it was closed")
    with pytest.raises(ComputationClosed, match="it was closed"):
        setting_up.value(5)
    with pytest.raises(ComputeError, match="it was closed"):
        waiting.value(5)
    assert not hooks._under_way


def test_servers_are_cleaned_up_before_their_node_which_is_once(transport):
    hooks = hooks_of(server_cleanup=tidy_server, node_cleanup=tidy_node)
    transport.ends = {(name, where): None for name in ("tidy_server", "tidy_node") for where in "abc"}
    Coro(hooks.clean_up, transport, [server("a"), server("b"), server("c", node="other")], 5.0).value(5)
    did = transport.did()
    assert did[:3] == [("tidy_server", "a"), ("tidy_server", "b"), ("tidy_server", "c")]
    assert sorted(where in "ab" for _, where in did[3:]) == [False, True]
    assert {name for name, _ in did[3:]} == {"tidy_node"}


def test_a_clean_up_that_does_not_end_is_terminated_and_holds_nobody_up_for_long(transport, caplog):
    hooks = hooks_of(server_cleanup=tidy_server)
    transport.ends = {("tidy_server", "b"): ValueError("no")}
    with caplog.at_level(logging.WARNING):
        Coro(hooks.clean_up, transport, [server("a", port=5), server("b", port=6)], 0.05).value(10)
    assert [submission.server.name for submission in transport.withdrawn] == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        "tidy_server does not end at 10.0.0.1:5",
        "tidy_server failed at 10.0.0.1:6: ValueError: no",
    ]


def test_a_server_that_is_gone_is_cleaned_up_no_more(transport, caplog):
    hooks, first = hooks_of(server_cleanup=tidy_server), server("a")
    cleaning = Coro(hooks.clean_up, transport, [first], 600.0)
    poll_until(transport.did)
    with caplog.at_level(logging.WARNING):
        gone(hooks, first)
        cleaning.value(5)
    assert transport.withdrawn == []
    assert "tidy_server failed at 10.0.0.1:1: ServerDied: was killed" in caplog.text
