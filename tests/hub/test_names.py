import functools
from typing import Any

import pytest

from greencoro import Channel, Coro
from greencoro.hub import native
from greencoro.hub.names import Names


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.mark.parametrize(("name", "kind"), [("", ValueError), (5, TypeError), (["a"], TypeError), (b"a", TypeError)])
def test_what_is_no_name_is_neither_registered_nor_looked_for(name: Any, kind: type[Exception]) -> None:
    coro = Coro(lambda coro: coro.receive())
    for target in (coro, Channel("of this test")):
        for use in (target.register, target.unregister, functools.partial(target.locate, timeout=0)):
            with pytest.raises(kind, match="a name to register or look for"):
                use(name)
        with pytest.raises(TypeError, match="not None"):
            target.locate(None, timeout=0)  # type: ignore[arg-type]
    coro.send(None)
    coro.value(10)
    # Of one that is over as well.
    with pytest.raises(kind):
        coro.register(name)


def test_without_a_name_the_functions_is_registered() -> None:
    def with_a_name_of_its_own(coro: Any) -> Any:
        return coro.receive()

    coro = Coro(with_a_name_of_its_own)
    assert coro.register() == 0
    assert Coro.locate("with_a_name_of_its_own", timeout=0) is coro
    assert coro.unregister() == 0 and coro.unregister() == -1
    coro.send(None)


def test_what_is_registered_is_found_until_it_is_unregistered(names: Names) -> None:
    target = object()
    assert names.lookup("coro", "a") is None
    assert names.register("coro", "a", target)
    assert names.lookup("coro", "a") is target
    assert names.unregister("coro", "a", target)
    assert names.lookup("coro", "a") is None


def test_a_name_that_is_taken_stays_with_who_has_it(names: Names) -> None:
    first, second = object(), object()
    assert names.register("coro", "a", first)
    assert not names.register("coro", "a", second)
    assert names.lookup("coro", "a") is first
    assert not names.unregister("coro", "a", second)
    assert names.lookup("coro", "a") is first


def test_registering_the_same_again_is_no_error(names: Names) -> None:
    target = object()
    assert names.register("coro", "a", target) and names.register("coro", "a", target)


def test_kinds_do_not_share_names(names: Names) -> None:
    coro, channel = object(), object()
    assert names.register("coro", "a", coro) and names.register("channel", "a", channel)
    assert names.lookup("channel", "a") is channel


def test_forgetting_frees_every_name_of_a_target_and_no_other(names: Names) -> None:
    target, other = object(), object()
    for name in "abc":
        names.register("coro", name, target)
    names.register("coro", "d", other)
    names.unregister("coro", "b", target)
    names.register("coro", "b", other)
    names.forget(target)
    assert [names.lookup("coro", name) for name in "abcd"] == [None, other, None, other]
    names.forget(target)


def test_targets_that_look_equal_are_told_apart(names: Names) -> None:
    one, equal = [1], [1]
    assert names.register("coro", "a", one)
    assert not names.register("coro", "a", equal)
    assert not names.unregister("coro", "a", equal)


def test_a_listener_hears_of_a_name_that_appears_later(names: Names) -> None:
    heard: list[Any] = []
    names.listen("coro", "a", heard.append)
    names.register("coro", "other", object())
    assert heard == []
    target = object()
    names.register("coro", "a", target)
    assert heard == [target]


def test_a_listener_hears_at_once_of_a_name_that_is_there(names: Names) -> None:
    heard: list[Any] = []
    names.register("coro", "a", "target")
    names.listen("coro", "a", heard.append)
    assert heard == ["target"]


def test_a_listener_taken_out_hears_nothing_and_leaves_nothing(names: Names) -> None:
    heard: list[Any] = []
    names.listen("coro", "a", heard.append)
    names.unlisten("coro", "a", heard.append)
    names.unlisten("coro", "a", heard.append)
    names.register("coro", "a", "target")
    assert heard == []
    assert not names._listeners


def test_nothing_is_kept_of_a_target_that_is_forgotten(names: Names) -> None:
    for number in range(100):
        target = object()
        names.register("coro", f"name-{number}", target)
        names.forget(target)
    assert not names._bound and not names.of


def test_of_many_threads_that_want_a_name_one_gets_it(names: Names) -> None:
    for number in range(100):
        got: list[int] = []

        def want(me: int, name: str = f"n{number}", got: list[int] = got) -> None:
            if names.register("coro", name, ("target", me)):
                got.append(me)

        threads = [native.Thread(lambda me=me: want(me), "wanting") for me in range(4)]
        for thread in threads:
            thread.start()
        assert all(thread.join(10) for thread in threads)
        assert len(got) == 1


def test_no_listener_is_lost_when_others_leave_at_the_same_time(names: Names) -> None:
    go = native.Event()

    def come_and_go() -> None:
        listener = [].append
        while not go.is_set():
            names.listen("coro", "a", listener)
            names.unlisten("coro", "a", listener)

    others = [native.Thread(come_and_go, "other") for _ in range(2)]
    for thread in others:
        thread.start()
    try:
        for _ in range(3000):
            heard: list[Any] = []
            names.listen("coro", "a", heard.append)
            names.register("coro", "a", "target")
            assert heard == ["target"] or heard == ["target", "target"]
            names.unlisten("coro", "a", heard.append)
            names.unregister("coro", "a", "target")
    finally:
        go.set()
        assert all(thread.join(10) for thread in others)


@pytest.mark.parametrize(("kind", "words"), [(Coro, "a coroutine called"), (Channel, "a channel called")])
def test_without_a_runtime_whoever_waits_says_that_only_this_process_is_looked_at(
    kind: Any, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("greencoro.hub.waiting_aloud.SAY_SECONDS", 0.02)
    assert kind.locate("nobody has it", timeout=0.5) is None
    assert caplog.messages[0] == (
        f"still waiting for {words} 'nobody has it', for 0 s: this process has no Runtime, "
        "so only its own names are looked at"
    )
    assert len(caplog.messages) >= 2


def test_what_appears_while_somebody_says_so_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greencoro.hub.waiting_aloud.SAY_SECONDS", 0.02)
    target = Coro(lambda coro: coro.receive())
    waiting = Coro(lambda: Coro.locate("late one"))
    native.sleep(0.1)
    target.register("late one")
    assert waiting.value(10) is target
    target.send(None)
