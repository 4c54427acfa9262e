"""`link` between coroutines of two runtimes, over every transport."""

import pytest

from greencoro.distributed import refs
from greencoro.errors import CoroTerminated, LinkedCoroEnded, NetworkError
from greencoro.hub.coroutine import Coro
from tests.distributed.conftest import reference
from tests.distributed.watching import open_watches
from tests.support.held import hold_still
from tests.support.polling import poll_until


def end_as_told(coro=None):
    """Ends as its message says; what a link raises is its result."""
    try:
        how = coro.receive()
    except LinkedCoroEnded as ended:
        return ended
    if how == "raise":
        raise KeyError("linked")
    return how


@pytest.fixture
def both(runtime_pair):
    """A coroutine of one and a coroutine of other."""
    here, there = runtime_pair.one.spawn(end_as_told), runtime_pair.other.spawn(end_as_told)
    yield here, there
    here.terminate()
    there.terminate()


@pytest.mark.parametrize(("how", "kind"), [("raise", "exception"), ("terminate", "terminated")])
@pytest.mark.parametrize("first", ["here", "there"])
def test_where_either_fails_the_other_does_not_go_on(runtime_pair, both, first, how, kind):
    here, there = both
    assert reference(runtime_pair.one, there).link(here) == 0
    ending, other = (here, there) if first == "here" else (there, here)
    if how == "terminate":
        ending.terminate()
    else:
        ending.send(how)
    ended = other.value(10)
    assert isinstance(ended, LinkedCoroEnded)
    assert (ended.coro, ended.kind) == (reference(other.home, ending), kind)
    assert isinstance(ended.error, KeyError if how == "raise" else type(None))
    for runtime in (runtime_pair.one, runtime_pair.other):
        poll_until(lambda runtime=runtime: not runtime.services.links._halves, what="the link is forgotten")


def test_the_one_here_may_be_linked_to_the_one_elsewhere_and_unlinked(runtime_pair, both):
    here, there = both
    far = reference(runtime_pair.one, there)
    assert (here.link(far), here.unlink(far), here.link(far)) == (0, 0, 0)
    there.send("raise")
    assert isinstance(here.value(10), LinkedCoroEnded)


@pytest.mark.parametrize("first", ["here", "there"])
def test_one_that_returns_breaks_no_link(runtime_pair, both, first):
    here, there = both
    assert reference(runtime_pair.one, there).link(here) == 0
    ending, other = (here, there) if first == "here" else (there, here)
    ending.send("done")
    assert ending.value(10) == "done"
    for runtime in (runtime_pair.one, runtime_pair.other):
        poll_until(lambda runtime=runtime: not runtime.services.links._halves, what="the link is forgotten")
    other.send("as well")
    assert other.value(10) == "as well"


def test_the_loss_of_the_process_ends_both(runtime_pair, both):
    here, there = both
    assert reference(runtime_pair.one, there).link(here) == 0
    runtime_pair.one.finish()
    for coro in both:
        ended = coro.value(10)
        assert (ended.kind, isinstance(ended.error, NetworkError)) == ("lost", True)


@pytest.mark.parametrize("side", ["one", "other"])
def test_unlink_undoes_it_from_either_side_and_they_may_be_linked_again(runtime_pair, both, side):
    here, there = both
    link = reference(runtime_pair.one, there)
    assert link.link(here) == 0
    if side == "one":
        assert link.unlink(here) == 0
    else:
        assert reference(runtime_pair.other, here).unlink(there) == 0

    def nothing_is_left():
        return not any(_halves(each) or open_watches(each) for each in (runtime_pair.one, runtime_pair.other))

    poll_until(nothing_is_left, what="both sides know")
    assert link.link(here) == 0
    assert len(open_watches(runtime_pair.one)) == 1
    link.unlink(here)
    poll_until(nothing_is_left, what="both sides know")
    poll_until(lambda: not (len(here._observers or ()) or len(there._observers or ())), what="no watch is kept")
    there.send("raise")
    with pytest.raises(KeyError):
        there.value(10)
    here.send("goes on")
    assert here.value(10) == "goes on"


def _halves(runtime):
    return list(runtime.services.links._halves.values())


@pytest.mark.parametrize("which", ["here", "there"])
def test_one_that_is_over_is_linked_to_nobody(runtime_pair, both, which):
    here, there = both
    over = here if which == "here" else there
    over.send("over")
    over.value(10)
    assert reference(runtime_pair.one, there).link(here) == -1
    poll_until(lambda: not any(half.is_linked for half in _halves(runtime_pair.one) + _halves(runtime_pair.other)))
    (there if which == "here" else here).send("untouched")
    assert (there if which == "here" else here).value(10) == "untouched"


def test_bad_input_is_refused_at_the_call(runtime_pair, both):
    _, there = both
    link = reference(runtime_pair.one, there)
    for other in (None, "x", link, Coro):
        with pytest.raises(TypeError):
            link.link(other)


def test_S14_a_peer_links_its_own_coroutines_only(runtime_pair, both):
    _, there = both
    to = runtime_pair.one.peer_infos()[0]
    third = runtime_pair.world.runtime()
    stranger = third.spawn(end_as_told)
    for other in (refs.to_json(stranger), refs.to_json(there), None, [1]):
        with pytest.raises(NetworkError):
            runtime_pair.one.request(to, "greencoro.link", {"target": there.id, "other": other}, timeout=10)
    assert not _halves(runtime_pair.other)
    stranger.terminate()


def _nothing_is_left(pair):
    poll_until(
        lambda: (
            not any(
                each.services.links._halves or each.services.links._linking or open_watches(each)
                for each in (pair.one, pair.other)
            )
        ),
        what="no half is left on either side",
    )


def test_who_is_terminated_in_the_middle_of_it_leaves_nothing(runtime_pair, both):
    here, there = both
    far = reference(runtime_pair.one, there)

    hold = hold_still(runtime_pair.one.reactor)
    linking = runtime_pair.one.spawn(far.link, here)
    poll_until(lambda: _halves(runtime_pair.one))
    linking.terminate()
    with pytest.raises(CoroTerminated):
        linking.value(5)
    hold.set()
    _nothing_is_left(runtime_pair)
    poll_until(lambda: not (len(here._observers or ()) or len(there._observers or ())))


def test_who_links_the_same_two_meanwhile_gets_the_same_answer(runtime_pair, both):
    here, there = both
    far = reference(runtime_pair.one, there)
    hold = hold_still(runtime_pair.one.reactor)
    linking = [runtime_pair.one.spawn(far.link, here) for _ in range(2)]
    poll_until(lambda: runtime_pair.one.services.links._linking)
    assert runtime_pair.one.spawn(lambda: all(each.is_alive() for each in linking)).value(5)
    hold.set()
    assert [each.value(10) for each in linking] == [0, 0]
    there.send("raise")
    assert isinstance(here.value(10), LinkedCoroEnded)
    _nothing_is_left(runtime_pair)


def test_both_sides_may_link_the_same_two_at_once(runtime_pair, both):
    here, there = both
    linking = [
        runtime_pair.one.spawn(reference(runtime_pair.one, there).link, here),
        runtime_pair.other.spawn(reference(runtime_pair.other, here).link, there),
    ]
    assert [each.value(20) for each in linking] == [0, 0]
    there.send("raise")
    assert isinstance(here.value(10), LinkedCoroEnded)
    _nothing_is_left(runtime_pair)


def test_one_that_links_and_unlinks_on_and_on_keeps_nothing(runtime_pair, both):
    here, there = both
    far = reference(runtime_pair.one, there)

    def links(coro=None):
        return {(far.link(here), far.unlink(here)) for _ in range(100)}

    assert runtime_pair.run(links) == {(0, 0)}
    _nothing_is_left(runtime_pair)
    poll_until(lambda: not (len(here._observers or ()) or len(there._observers or ())))


def test_the_one_that_lives_on_keeps_nothing_of_those_that_ended(runtime_pair, both):
    here, _ = both

    def links(coro=None):
        for _ in range(30):
            partner = runtime_pair.other.spawn(end_as_told)
            assert reference(runtime_pair.one, partner).link(here) == 0
            partner.send("done")
            partner.value(10)

    runtime_pair.run(links)
    _nothing_is_left(runtime_pair)
    assert not len(here._observers or ())
