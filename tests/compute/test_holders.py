"""What comes to a node daemon from those who reserve it, and in which order."""

from types import SimpleNamespace

import pytest

from greencoro.compute.holders import Holders
from greencoro.compute.inbox import Inbox
from greencoro.compute.node_vocabulary import Holder
from greencoro.compute.node_words import (
    Attach,
    Command,
    LeaseEnded,
    NodeFacts,
    Operate,
    Pulse,
    Pulsed,
    Release,
    Released,
    Replace,
    Reserve,
    ReserveAnswer,
)
from greencoro.errors import PeerLost, RemoteProtocolError

TOKEN = "ab" * 32
WHO = "cd" * 16
PEER = SimpleNamespace(incarnation=bytes.fromhex(WHO))
FACTS = NodeFacts("10.0.0.1", "node", servers=1, ready=0, platform="Linux", cpus=1)
RESERVE = Reserve(TOKEN, 1, "a client")
ENDED = LeaseEnded(TOKEN, 1, "closed")


class Link:
    info = PEER

    def __init__(self):
        self.clean_ups = {}
        self.is_lost = False

    def when_lost(self, key, clean_up):
        self.clean_ups[key] = clean_up
        if self.is_lost:
            self.lose()

    def lose(self):
        self.is_lost = True
        for clean_up in self.clean_ups.values():
            clean_up(PeerLost("cut"))
        self.clean_ups.clear()


class Runtime:
    def __init__(self):
        self.handlers = {}
        self.posted = []
        self.has_room = True

    def handle(self, operation, handler, on_reactor=False):
        assert on_reactor
        self.handlers[operation] = handler

    def post_nowait(self, to, operation, header):
        if self.has_room:
            self.posted.append((to, operation, header))
        return self.has_room


class Servant:
    def __init__(self):
        self.done = []

    def facts(self):
        return FACTS

    def reserve(self, request, asked):
        self.done.append(asked)

    def pulse(self, request, asked):
        self.done.append(asked)

    def release(self, request, asked):
        self.done.append(asked)

    def operate(self, request, asked):
        self.done.append(asked)

    def replace(self, asked):
        self.done.append(asked)

    def holder_lost(self, holder, error):
        self.done.append((holder, str(error)))


@pytest.fixture
def node():
    runtime, inbox, servant = Runtime(), Inbox(), Servant()
    return SimpleNamespace(
        runtime=runtime, inbox=inbox, servant=servant, done=servant.done, holders=Holders(runtime, inbox, servant)
    )


def ask(node, link, word, **changes):
    answers = []
    request = SimpleNamespace(
        link=link, peer=link.info, header={**word.to_header(), **changes}, reply=answers.append, fail=answers.append
    )
    node.runtime.handlers[word.operation](request)
    return answers


def work(node):
    while (action := node.inbox.take(0)) is not None:
        action()


def test_what_is_asked_is_done_by_who_takes_from_the_inbox_and_not_before(node):
    words = [RESERVE, Pulse(TOKEN), Release(TOKEN), Replace(TOKEN, "cd" * 16), Operate(Command.STATUS)]
    answers = ask(node, Link(), Attach())
    for word in words:
        ask(node, Link(), word)
    assert node.done == answers == []
    work(node)
    assert answers == [FACTS.to_header()]
    assert node.done == words


def test_T1_the_loss_of_a_link_comes_before_what_its_successor_asks(node):
    first, second = Link(), Link()
    ask(node, first, RESERVE)
    first.lose()
    ask(node, second, RESERVE)
    work(node)
    assert node.done == [RESERVE, (Holder(WHO, first), "cut"), RESERVE]


def test_T1_the_loss_of_a_link_that_is_lost_already_comes_after_what_it_asked(node):
    link = Link()
    link.is_lost = True
    ask(node, link, RESERVE)
    work(node)
    assert node.done == [RESERVE, (Holder(WHO, link), "cut")]


def test_a_link_is_told_of_once_however_often_it_asked(node):
    link = Link()
    ask(node, link, RESERVE)
    ask(node, link, RESERVE)
    link.lose()
    work(node)
    assert node.done == [RESERVE, RESERVE, (Holder(WHO, link), "cut")]


def test_what_says_nothing_sensible_is_refused_and_not_done(node):
    answers = ask(node, Link(), RESERVE, attempt=-1)
    work(node)
    assert [type(answer) for answer in answers] == [RemoteProtocolError]
    assert node.done == []


def test_what_goes_wrong_with_a_request_is_its_answer(node, monkeypatch):
    monkeypatch.setattr(node.servant, "facts", lambda: 1 / 0)
    answers = ask(node, Link(), Attach())
    work(node)
    assert [type(answer) for answer in answers] == [ZeroDivisionError]


@pytest.mark.parametrize("word", [ReserveAnswer(), Pulsed(is_held=True), Released()])
def test_answers_are_words(node, word):
    answers = []
    node.holders.answer(SimpleNamespace(reply=answers.append), word)
    assert answers == [word.to_header()]


def test_T4_words_wait_for_room_in_their_order_and_nothing_else_waits_for_them(node):
    holder = Holder(WHO, Link())
    node.runtime.has_room = False
    words = [LeaseEnded(TOKEN, number, "closed") for number in range(3)]
    for word in words:
        node.holders.tell(holder, word)
    assert node.holders.next_due_at(5.0) > 5.0
    node.holders.send_waiting()
    assert node.runtime.posted == []
    node.runtime.has_room = True
    node.holders.send_waiting()
    assert node.runtime.posted == [(PEER, word.operation, word.to_header()) for word in words]
    assert node.holders.next_due_at(5.0) is None
    assert node.done == []


def test_a_holder_that_reads_nothing_for_long_is_as_good_as_lost(node):
    holder = Holder(WHO, Link())
    node.runtime.has_room = False
    for _ in range(10_000):
        node.holders.tell(holder, ENDED)
    assert node.done == []
    node.holders.tell(holder, ENDED)
    assert node.done == [(holder, "it does not read what it is told")]
    assert node.holders.next_due_at(0.0) is None


def test_what_a_lost_holder_was_not_told_is_forgotten(node):
    lost, other = Link(), Link()
    ask(node, lost, RESERVE)
    node.runtime.has_room = False
    node.holders.tell(Holder(WHO, lost), ENDED)
    node.holders.tell(Holder(WHO, other), ENDED)
    lost.lose()
    work(node)
    node.runtime.has_room = True
    node.holders.send_waiting()
    assert len(node.runtime.posted) == 1


def test_a_link_that_is_lost_holds_up_nobody(node):
    lost = Link()
    lost.is_lost = True
    node.runtime.has_room = False
    node.holders.tell(Holder(WHO, lost), ENDED)
    assert node.holders.next_due_at(0.0) is None


def test_the_loss_of_a_link_is_heard_of_that_only_pulsed(node):
    link = Link()
    ask(node, link, Pulse(TOKEN))
    link.lose()
    work(node)
    assert node.done == [Pulse(TOKEN), (Holder(WHO, link), "cut")]
