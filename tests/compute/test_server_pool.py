import pytest

from greencoro.compute.placement import least_loaded
from greencoro.compute.server_pool import Server, ServerPool, ServerState
from greencoro.distributed.location import Location
from greencoro.errors import LocalProtocolError

ONE, TWO, ELSEWHERE = Location("10.0.0.1", 1), Location("10.0.0.1", 2), Location("10.0.0.2", 1)


def add(pool, name, location, ready=True):
    server = Server(name, location.addr, location.addr, location, name, "token")
    pool.add(server)
    if ready:
        server.advance("set_up")
    return server


@pytest.fixture
def pool():
    return ServerPool()


def ids(servers):
    return [server.id for server in servers]


def test_only_servers_that_are_set_up_take_jobs(pool):
    add(pool, "new", ONE, ready=False)
    add(pool, "rejected", ONE, ready=False).advance("failed")
    assert ids(pool.ready()) == []
    add(pool, "good", TWO)
    assert ids(pool.ready()) == ["good"]
    assert [each.server for each in pool.candidates()] == ["good"]


def test_servers_are_known_whatever_they_are_at(pool):
    add(pool, "new", ONE, ready=False)
    add(pool, "good", TWO)
    add(pool, "other", ELSEWHERE)
    assert ids(pool.known()) == ["new", "good", "other"]
    assert ids(pool.known(ONE)) == ["new"]
    assert ids(pool.known("10.0.0.1")) == ["new", "good"]


@pytest.mark.parametrize("event", ["silent", "drain"])
def test_server_that_drains_or_is_silent_takes_no_more(pool, event):
    server = add(pool, "s", ONE)
    server.advance(event)
    server.advance(event)
    assert ids(pool.ready()) == []
    assert pool.get("s") is server


def test_rejected_server_stays_so_until_it_is_gone(pool):
    server = add(pool, "s", ONE, ready=False)
    for event in ("failed", "silent", "drain"):
        server.advance(event)
        assert server.state is ServerState.REJECTED
    pool.gone(server, "was killed", for_good=True)
    assert server.is_gone


def test_gone_server_is_forgotten_and_keeps_its_explanation(pool):
    server = add(pool, "s", ONE)
    assert not server.is_gone
    pool.gone(server, "was killed", for_good=True)
    assert server.is_gone
    assert server.explanation == "was killed"
    assert pool.get("s") is None
    with pytest.raises(LocalProtocolError, match=r"server 10\.0\.0\.1:1, gone, cannot take 'set_up'"):
        server.advance("set_up")


def test_servers_are_found_by_place(pool):
    add(pool, "one", ONE)
    add(pool, "two", TWO)
    add(pool, "else", ELSEWHERE)
    assert ids(pool.ready()) == ["one", "two", "else"]
    assert ids(pool.ready(TWO)) == ["two"]
    assert ids(pool.ready("10.0.0.1")) == ["one", "two"]
    assert [each.server for each in pool.candidates("10.0.0.2")] == ["else"]
    assert ids(pool.ready("10.0.0.3")) == []


def test_jobs_are_counted_for_placement(pool):
    add(pool, "s", ONE)
    add(pool, "t", TWO)
    first = pool.job_started("s")
    assert least_loaded(pool.candidates()) == "t"
    pool.job_started("t")
    pool.job_started("t")
    pool.job_over(first)
    assert least_loaded(pool.candidates()) == "s"


def test_end_of_a_job_at_a_server_that_is_gone_is_counted_nowhere_else(pool):
    server = add(pool, "s", ONE)
    pool.job_started("s")
    pool.gone(server, "why", for_good=True)
    pool.job_over(server)
    assert server.load == 0


def test_clearing_tells_which_took_jobs(pool):
    add(pool, "new", ONE, ready=False)
    add(pool, "good", TWO)
    assert ids(pool.clear()) == ["good"]
    assert pool.get("good") is None
    assert pool.get("new") is None


def test_token_is_in_no_text_of_a_server(pool):
    assert "token" not in repr(add(pool, "s", ONE))


def test_where_a_server_has_died_for_good_is_known_until_another_one_is_there(pool):
    pool.gone(add(pool, "one", ONE), "was killed", for_good=True)
    pool.gone(add(pool, "two", TWO), "was killed", for_good=False)
    assert [pool.death_at(where) for where in (ONE, TWO, ELSEWHERE, "10.0.0.1", None)] == ["was killed", "", "", "", ""]
    add(pool, "next", ONE)
    assert pool.death_at(ONE) == ""


def test_of_many_deaths_the_last_are_known(pool):
    for port in range(1, 1011):
        pool.gone(add(pool, f"s{port}", Location("10.0.0.1", port)), "was killed", for_good=True)
    assert [pool.death_at(Location("10.0.0.1", port)) for port in (1, 10, 11)] == ["", "", "was killed"]
