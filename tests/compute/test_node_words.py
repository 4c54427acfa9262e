import json

import pytest

from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.node_words import (
    Attach,
    Command,
    Free,
    LeaseEnded,
    NodeFacts,
    Operate,
    Pulse,
    Pulsed,
    Refusal,
    Release,
    Released,
    Replace,
    Reserve,
    ReserveAnswer,
    ServerDied,
    ServerDraining,
    ServerStarted,
    lease_token,
)
from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError

TOKEN, SERVER = "ab" * 32, "cd" * 16


@pytest.mark.parametrize(
    "word",
    [
        Attach(),
        NodeFacts("10.0.0.1", "node", servers=2, ready=1, platform="Linux", cpus=4, tags={"gpu": ""}, in_use_by="x"),
        Reserve(TOKEN, 1, "a computation", pulse_interval=10.0, zombie_period=0.5),
        ReserveAnswer(),
        ReserveAnswer(Refusal.BUSY, "the node is in use by somebody"),
        Pulse(TOKEN),
        Pulsed(is_held=False),
        Pulsed(is_held=True, free=Free(99.5, 2**40, 0, 100.0)),
        Operate(Command.DRAIN),
        Release(TOKEN),
        Released(),
        Replace(TOKEN, SERVER),
        ServerStarted(TOKEN, 1, SERVER, Location("10.0.0.1", 7), "node-1", 77),
        ServerDraining(TOKEN, 1, SERVER),
        ServerDied(TOKEN, 1, SERVER, "was killed\nby somebody"),
        LeaseEnded(TOKEN, 1, "closed"),
    ],
    ids=lambda word: type(word).__name__,
)
def test_each_word_arrives_as_it_was_said(word):
    assert type(word).from_header(json.loads(json.dumps(word.to_header()))) == word


def test_each_word_that_is_no_answer_has_an_operation_of_its_own():
    words = [Attach, Reserve, Pulse, Release, Replace, Operate, ServerStarted, ServerDraining, ServerDied, LeaseEnded]
    assert len({word.operation for word in words} - {""}) == len(words)
    assert not NodeFacts.operation
    assert not ReserveAnswer.operation
    assert not Pulsed.operation


def test_what_is_free_is_shown_with_the_address_of_the_node():
    info = NodeAvailInfo(cpu=12.5, memory=7, disk=8, swap=0.0, addr="10.0.0.1")
    assert Free.of(info).at("10.0.0.1") == info


@pytest.mark.parametrize("change", [{"cpu": 100.1}, {"cpu": True}, {"swap": -1}, {"memory": -1}, {"disk": 0.5}])
def test_what_cannot_be_free_is_refused(change):
    with pytest.raises(RemoteProtocolError):
        Pulsed.from_header({"is_held": True, "free": {**Free(1.0, 1, 1, 1.0).to_header(), **change}})


def test_S16_each_reservation_has_a_token_that_tells_nothing_of_another():
    token, other = bytes(16), bytes(15) + b"\1"
    tokens = {lease_token(token, 1), lease_token(token, 2), lease_token(other, 1), lease_token(token, 12)}
    assert len(tokens) == 4
    assert all(len(each) == 64 for each in tokens)
    assert lease_token(token, 1) == lease_token(token, 1)
