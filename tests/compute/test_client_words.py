import json

import pytest

from greencoro.compute import client_words as words
from greencoro.compute.node_words import Free, NodeFacts
from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError

ID, OTHER = "ab" * 16, "cd" * 16
FACTS = NodeFacts("10.0.0.1", "node", servers=2, ready=1, platform="Linux", cpus=4, tags={"gpu": "a100"})
EVERY = [
    words.Ask("ef" * 16, "client", 20.0, 1000.0, 30.0),
    words.Verdict(1, ID, False, "too small"),
    words.SetUpDone(1, ID),
    words.SetUpFailed(1, ID, "no module named x"),
    words.Unreachable(1, ID, "reset"),
    words.Close(1),
    words.Queued(1, 2, 3),
    words.Begun(1, 2, Location("10.0.0.9", 1)),
    words.NodeOffered(1, 2, ID, FACTS),
    words.NodeChanged(1, 2, ID, "10.0.0.1", words.NodeChange.LOST),
    words.NodeFree(1, 2, ID, "10.0.0.1", Free(99.5, 2**33, 2**40, 100.0)),
    words.ServerStarted(1, 2, ID, 5, OTHER, Location("::1", 5), "node-1"),
    words.ServerDraining(1, 2, ID),
    words.ServerGone(1, 2, ID, "was killed", closed=True),
    words.Ended(1, 2, "the scheduler ended", lost=True),
    words.Withdraw("ef" * 16),
    words.Pulse(1),
    words.Heard(1),
    words.AskWhy(1),
]
#: Those that need not travel by an operation of their own.
ANSWERS = [words.Credential("ef" * 16), words.Submitted(1), words.Because("no nodes"), words.SchedulerStatus({"a": 1})]


@pytest.mark.parametrize("word", [*EVERY, *ANSWERS], ids=lambda word: type(word).__name__)
def test_a_word_arrives_as_it_was_sent(word):
    assert type(word).from_header(json.loads(json.dumps(word.to_header()))) == word


def test_every_word_is_tried_here_and_has_an_operation_of_its_own():
    given = {getattr(words, name) for name in words.__all__}
    concrete = {each for each in given if getattr(each, "operation", "")}
    # There is nothing to be said about `AskStatus`.
    assert concrete == {*map(type, EVERY), words.AskStatus}
    assert len({each.operation for each in concrete}) == len(concrete)


@pytest.mark.parametrize("word", EVERY, ids=lambda word: type(word).__name__)
@pytest.mark.parametrize("value", [None, True, -1, 2**70, 1.5, "", "x" * 20_000, [], {}], ids=lambda v: repr(v)[:8])
def test_S10_fields_of_a_wrong_type_or_size_are_refused(word, value):
    header = word.to_header()
    for name in header:
        try:
            read = type(word).from_header({**header, name: value})
        except RemoteProtocolError:
            continue
        # What is taken is of the field's own type.
        taken = getattr(read, name)
        assert isinstance(taken, type(getattr(word, name))) or (taken is None and name == "ping_interval")


@pytest.mark.parametrize("word", [*EVERY, *ANSWERS], ids=lambda word: type(word).__name__)
def test_S10_missing_fields_are_refused(word):
    with pytest.raises(RemoteProtocolError):
        type(word).from_header({})
