"""The process's default runtime, which whoever needs one first makes."""

import pytest

from greencoro.config import Settings
from greencoro.distributed import homes, runtime
from greencoro.distributed.runtime import Runtime
from greencoro.errors import ConfigError
from greencoro.hub import native
from greencoro.hub.coroutine import Coro
from tests.distributed.conftest import SECRET_KEY
from tests.support.polling import poll_until


def made():
    return Runtime("127.0.0.1", discover_peers=False, secret_key=SECRET_KEY, settings=Settings(), announce=False)


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_all_who_come_at_once_get_the_same_default_runtime(kind, monkeypatch):
    begun, go_on, found = [], native.Event(), []

    def slow():
        begun.append(1)
        while not go_on.wait(0.01):
            pass
        return made()

    def ask():
        found.append(homes.default_or(slow if kind == "threads" else slow_coroutine))

    def slow_coroutine():
        begun.append(1)
        poll_until(go_on.is_set)
        return made()

    askers = [native.Thread(ask, "asker") if kind == "threads" else Coro(ask) for _ in range(3)]
    for asker in askers:
        if kind == "threads":
            asker.start()
    poll_until(lambda: begun)
    go_on.set()
    poll_until(lambda: len(found) == 3)
    assert begun == [1] and len({id(each) for each in found}) == 1
    assert runtime.runtime() is found[0] is runtime.current_runtime()
    found[0].finish()
    assert runtime.current_runtime() is None


def test_one_that_cannot_be_made_is_an_error_for_who_makes_it_and_the_next_one_tries_anew():
    def fail():
        raise ConfigError("no good")

    for _ in range(2):
        with pytest.raises(ConfigError, match="no good"):
            homes.default_or(fail)
    with homes.default_or(made) as default:
        assert homes.default() is default


def test_nobody_gets_a_default_runtime_that_is_not_all_made(monkeypatch):
    claimed, go_on, found = native.Event(), native.Event(), []
    claim = homes.claim_default

    def claim_and_stay(new):
        try:
            return claim(new)
        finally:
            claimed.set()
            go_on.wait(10)

    monkeypatch.setattr(homes, "claim_default", claim_and_stay)
    native.Thread(lambda: found.append(homes.default_or(made)), "maker").start()
    assert claimed.wait(10)
    asker = Coro(lambda: found.append(homes.default_or(made).names))
    # It waits with the one who makes it, or is over with an error.
    poll_until(lambda: not asker.is_alive() or len(homes._making._callbacks) > 1)
    go_on.set()
    poll_until(lambda: len(found) == 2)
    default = next(each for each in found if isinstance(each, Runtime))
    assert default.names in found
    asker.value(5)
    default.finish()
