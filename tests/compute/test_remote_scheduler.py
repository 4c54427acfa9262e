"""A client's way to a scheduler elsewhere, which is whatever the test has it say."""

import socket

import pytest

from greencoro import Coro, Location, Runtime
from greencoro.compute import client_words as words
from greencoro.compute import remote_scheduler
from greencoro.compute.remote_scheduler import SCHEDULER_NAME, find_remote, find_scheduler_peer
from greencoro.errors import BusyResource, ComputeError, DeadlineExceeded, NetworkError
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

TOKEN, OTHER = "aa" * 16, "bb" * 16
NUMBER = 7


@pytest.fixture
def runtime():
    with Runtime(node="127.0.0.1", discover_peers=False, secret="a secret of this test's own") as runtime:
        yield runtime


class FakeScheduler:
    """Takes what clients ask, and tells what the test wants."""

    def __init__(self, key, name="scheduler"):
        options = {"node": "127.0.0.1", "discover_peers": False, "name": name, "secret_key": key}
        self.runtime = Runtime(role="scheduler", **options)
        self.asked = []
        self.client = None
        self.told = 0
        #: What `Ask` waits for before it is answered; what pulses are answered with.
        self.answers = Completion()
        self.answers.set()
        self.pulses_back = True
        for word in (words.Verdict, words.Close, words.SetUpFailed, words.AskWhy, words.Pulse, words.Withdraw):
            self.runtime.handle(word.operation, lambda request, word=word: self._on_request(word, request))
        self.runtime.handle(words.Ask.operation, self._on_ask)

    def _on_ask(self, request):
        self.asked.append(words.Ask.from_header(request.header))
        self.client = request.peer
        self.answers.wait(20)
        request.reply(words.Submitted(NUMBER).to_header())

    def _on_request(self, word, request):
        asked = word.from_header(request.header)
        assert words.Credential.from_header(request.header).token == TOKEN
        self.asked.append(asked)
        if word is words.AskWhy:
            request.reply(words.Because("there are no nodes").to_header())
        elif word is words.Pulse and self.pulses_back:
            self.send(words.Heard(asked.computation))

    def tell(self, notice, token=TOKEN):
        self.send(notice, token)

    def send(self, word, token=TOKEN):
        header = {**word.to_header(), **words.Credential(token).to_header()}
        assert self.runtime.post(self.client, word.operation, header) == 0

    def of(self, kind):
        return [each for each in self.asked if isinstance(each, kind)]


@pytest.fixture
def scheduler(runtime):
    made = FakeScheduler(runtime.secret.key)
    with made.runtime:
        yield made


@pytest.fixture
def heard():
    return []


def submit(scheduler, heard, pulse_interval=0.0, timeout=20.0):
    link = find_remote(scheduler.runtime.location, 20.0)
    assert link.submit(words.Ask(TOKEN, "client", pulse_interval), heard.append, timeout) == NUMBER
    return link


@pytest.fixture
def _often(monkeypatch):
    monkeypatch.setattr("greencoro.hub.waiting_aloud.SAY_SECONDS", 0.05)


def test_whoever_waits_for_a_scheduler_is_told_of_schedulers_and_of_what_to_try(runtime, caplog, _often):
    with Runtime(node="127.0.0.1", discover_peers=False, name="other", secret_key=runtime.secret.key) as other:
        runtime.connect(other.location)  # a peer that is none
        with pytest.raises(DeadlineExceeded) as caught:
            find_scheduler_peer(runtime, None, 0.3, ", or make one")
    assert str(caught.value) == (
        "no scheduler has been found within 0.3 s: start one with `greencoro scheduler`, or make one"
    )
    said = [text for text in caplog.messages if text.startswith("still waiting for ")]
    assert said
    assert said[0].startswith("still waiting for a scheduler, which `greencoro scheduler` starts, for 0 s: asked ")
    assert "1 peer is online. Does it run" in said[0]
    assert not [text for text in said if "coroutine" in text or "registered" in text or SCHEDULER_NAME in text]


def test_whoever_waits_for_a_scheduler_at_a_place_is_told_that_place(runtime, caplog, _often):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = Location(*silent.getsockname())
        with pytest.raises((DeadlineExceeded, NetworkError)):
            find_scheduler_peer(runtime, location, 0.3)
    said = [text for text in caplog.messages if text.startswith("still waiting for ")]
    assert said
    start = f"still waiting for a scheduler (`greencoro scheduler` starts one) at {location}, for 0 s: asked "
    assert said[0].startswith(start)


def queued(number, position=0):
    return words.Queued(NUMBER, number, position)


def test_computation_is_submitted_and_its_notices_come_in_order(scheduler, heard):
    link = submit(scheduler, heard)
    assert link.location == scheduler.runtime.location
    for number in range(1, 101):
        scheduler.tell(queued(number, 100 - number))
    poll_until(lambda: len(heard) == 100)
    assert heard == [queued(number, 100 - number) for number in range(1, 101)]
    assert scheduler.of(words.Ask) == [words.Ask(TOKEN, "client", 0.0)]


def test_requests_arrive_in_order_with_the_computations_token(scheduler, heard):
    link = submit(scheduler, heard)
    for server in range(100):
        link.tell(words.SetUpFailed(NUMBER, f"{server:032x}", "x"))
    poll_until(lambda: len(scheduler.of(words.SetUpFailed)) == 100)
    assert [int(each.server, 16) for each in scheduler.of(words.SetUpFailed)] == list(range(100))


def test_what_is_told_before_the_answer_is_heard_after_it(scheduler, heard, runtime):
    scheduler.answers = Completion()
    submitting = Coro(lambda: submit(scheduler, heard))
    poll_until(lambda: scheduler.client)
    scheduler.tell(queued(1, 1))
    scheduler.tell(queued(2, 0))
    poll_until(lambda: len(remote_scheduler._ends[runtime]._links[0]._early) == 2)
    assert heard == []
    scheduler.answers.set()
    poll_until(lambda: heard == [queued(1, 1), queued(2, 0)])
    submitting.value(5)


def test_S16_nothing_counts_without_the_token_or_from_somebody_else(scheduler, heard, runtime):
    submit(scheduler, heard)
    scheduler.tell(words.Ended(NUMBER, 1), token=OTHER)
    thief = FakeScheduler(runtime.secret.key, "thief")
    with thief.runtime:
        thief.client = thief.runtime.connect(runtime.location)
        thief.tell(words.Ended(NUMBER, 1))
        assert thief.runtime.request(thief.client, "greencoro.ping", {}, timeout=20)
    scheduler.tell(queued(1))
    poll_until(lambda: heard)
    assert heard == [queued(1)]


def test_S10_malformed_notices_disturb_nobody(scheduler, heard):
    submit(scheduler, heard)
    header = {**queued(1).to_header(), **words.Credential(TOKEN).to_header()}
    for name in header:
        scheduler.runtime.post(scheduler.client, words.Queued.operation, {**header, name: [1]})
    scheduler.tell(queued(1))
    poll_until(lambda: heard == [queued(1)])


@pytest.mark.parametrize("notice", [queued(2), queued(0), words.Queued(NUMBER + 1, 1, 0)])
def test_news_that_are_missing_end_the_computation_rather_than_leave_it_wrong(scheduler, heard, notice):
    submit(scheduler, heard)
    scheduler.tell(notice)
    [ended] = poll_until(lambda: list(heard))
    assert ended.lost
    assert "did not arrive" in ended.reason
    poll_until(lambda: scheduler.of(words.Close) == [words.Close(NUMBER)])


def test_J7_computation_of_a_scheduler_that_is_lost_is_ended(scheduler, heard):
    link = submit(scheduler, heard)
    scheduler.tell(queued(1))
    poll_until(lambda: heard)
    scheduler.runtime.finish()
    poll_until(lambda: len(heard) == 2)
    assert (heard[1].computation, heard[1].number, heard[1].lost) == (NUMBER, 2, True)
    assert heard[1].reason.startswith(f"the scheduler at {link.location} was lost: ")
    assert link.why_no_server() == f"the scheduler at {link.location} has ended the computation"
    link.tell(words.Close(NUMBER))


def test_J7_scheduler_that_is_silent_for_five_pulses_is_lost_though_its_link_is_well(scheduler, heard):
    scheduler.pulses_back = False
    submit(scheduler, heard, pulse_interval=0.1)
    [ended] = poll_until(lambda: list(heard))
    assert (ended.lost, "5 pulse intervals" in ended.reason) == (True, True)
    assert len(scheduler.of(words.Pulse)) >= 4
    poll_until(lambda: scheduler.of(words.Close) == [words.Close(NUMBER)])


def test_client_pulses_whatever_its_coroutines_do_and_hears_the_answers(scheduler, heard):
    submit(scheduler, heard, pulse_interval=0.1)
    poll_until(lambda: len(scheduler.of(words.Pulse)) >= 15)  # three times what would be silence
    assert heard == []


def test_pulses_stop_when_the_computation_has_ended(scheduler, heard):
    link = submit(scheduler, heard, pulse_interval=0.1)
    poll_until(lambda: scheduler.of(words.Pulse))
    scheduler.tell(words.Ended(NUMBER, 1))
    poll_until(lambda: heard)
    assert link._repetition.is_stopped
    assert remote_scheduler._ends[link.runtime]._links == ()


def test_computation_that_was_not_answered_for_is_withdrawn(scheduler, heard):
    scheduler.answers = Completion()
    link = find_remote(scheduler.runtime.location, 20.0)
    with pytest.raises(DeadlineExceeded):
        link.submit(words.Ask(TOKEN, "client"), heard.append, 0.2)
    poll_until(lambda: scheduler.of(words.Withdraw) == [words.Withdraw(TOKEN)])
    scheduler.answers.set()
    assert remote_scheduler._ends[link.runtime]._links == ()


def test_refusal_of_the_scheduler_is_raised(scheduler, heard):
    def refuse(request):
        raise BusyResource("full")

    scheduler.runtime.handle(words.Ask.operation, refuse)
    with pytest.raises(BusyResource, match="full"):
        submit(scheduler, heard)


def test_scheduler_says_why_there_are_no_servers_and_what_the_turn_waits_for(scheduler, heard):
    link = submit(scheduler, heard)
    poll_until(lambda: link.why_no_server() == "there are no nodes")
    scheduler.tell(queued(1, 2))
    poll_until(lambda: heard)
    assert "and 2 more" in link.why_no_turn()


# Where it is.


def test_scheduler_is_found_by_its_name(scheduler, runtime):
    over = Completion()
    with_name = scheduler.runtime.spawn(over.wait)
    assert with_name.register(SCHEDULER_NAME) == 0
    runtime.connect(scheduler.runtime.location)
    assert find_remote(None, 20.0).location == scheduler.runtime.location
    over.set()
    with_name.value(5)


def test_J1_scheduler_that_is_nowhere_is_not_waited_for_longer_than_the_timeout(runtime):
    with pytest.raises(DeadlineExceeded, match="`greencoro scheduler`, or make a Scheduler"):
        find_remote(None, 0.2)
    # Whoever typed a command has no process to make one in.
    with pytest.raises(DeadlineExceeded, match=r"start one with `greencoro scheduler`$"):
        find_scheduler_peer(runtime, None, 0.2)
    with pytest.raises(NetworkError):
        find_remote(Location("127.0.0.1", 9), 5.0)


def test_place_that_has_no_scheduler_says_so(runtime):
    plain = Runtime(node="127.0.0.1", discover_peers=False, secret_key=runtime.secret.key)
    with plain, pytest.raises(ComputeError, match="is no scheduler"):
        find_remote(plain.location, 5.0)
    with pytest.raises(ValueError, match="port"):
        find_remote(Location("127.0.0.1", 0), 5.0)


def test_computation_waits_in_a_coroutine_as_well(scheduler, heard):
    assert Coro(lambda: submit(scheduler, heard).location).value(20) == scheduler.runtime.location
