"""What the bytecode says of the calls in a generator; run on every version of Python that is supported."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable
from types import CodeType
from typing import Any

import pytest

from greencoro.hub import call_sites

pytestmark = pytest.mark.skipif(not call_sites.can_read, reason="the bytecode of this Python version is not known")


class Recorder:
    """Notes for each call of its methods where the caller's frame stands."""

    def __init__(self) -> None:
        self.found: list[str | None] = []

    def receive(self, *args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)
        self.found.append(call_sites.sites_of(frame.f_code).yielded.get(frame.f_lasti))
        return 1

    sleep = receive


def names_found(body: str, times: int = 1) -> list[str | None]:
    """What is found where the generator with this body calls methods of ``x``, run through ``times`` times."""
    return run(make(body), times)


def make(body: str) -> Callable[..., Any]:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    namespace: dict[str, Any] = {}
    exec(f"def generator(x, y=None, z=()):\n{lines}", namespace)
    function: Callable[..., Any] = namespace["generator"]
    return function


def run(function: Callable[..., Any], times: int) -> list[str | None]:
    recorder = Recorder()
    for _ in range(times):
        generator = function(recorder)
        value = None
        with contextlib.suppress(StopIteration):
            while True:
                value = generator.send(value)
    return recorder.found


@pytest.mark.parametrize(
    "body",
    [
        "yield x.receive()",
        "y = yield x.receive()",
        "yield x.receive(1)",
        "yield x.receive(1, 2)",
        "yield x.receive(timeout=1)",
        "yield x.receive(1, alarm_value=2, match=3)",
        "yield x.receive(len([1, 2]), max(3, 4))",
        "yield x.receive(match=lambda m: m == 1)",
        "yield x.receive(-1 + 2 * 3, {'a': [1]})",
        "return [(yield x.receive())]",
        "while y is None:\n y = yield x.receive()",
        "if y is None:\n yield x.receive()",
        "for _ in range(1):\n yield x.receive()",
        "print(end=str((yield x.receive()))[:0])",
    ],
)
def test_a_call_whose_result_is_yielded_at_once_is_found_by_the_name_of_its_method(body: str) -> None:
    # Often, for the interpreter changes code that runs often.
    assert set(names_found(body, times=100)) == {"receive"}


def test_a_method_that_python_has_specialised_or_instrumented_is_found_still() -> None:
    function = make("yield x.receive()\nyield x.receive(1)")
    before = run(function, 1)
    sys.setprofile(lambda *_: None)
    try:
        while_profiled = run(function, 50)
    finally:
        sys.setprofile(None)
    sys.settrace(lambda *_: None)
    try:
        while_traced = run(function, 50)
    finally:
        sys.settrace(None)
    assert set(before + while_profiled + while_traced) == {"receive"}


@pytest.mark.parametrize(
    "body",
    [
        "z = x.receive()\nyield z",
        "x.receive()\nyield",
        "yield x.receive(), 1",
        "yield [x.receive()]",
        "yield [x.receive() for _ in range(1)]",
        "yield list(map(x.receive, [1]))",
        "yield list(iter(x.receive, 1))",
        "yield max([1], key=x.receive)",
        "yield sorted([1, 2], key=x.receive)",
        "r = x.receive\nyield r()",
        "yield x.receive(*z)",
        "yield x.receive(**{})",
        "yield x.receive(*z, **{})",
        "yield x.receive() or 2",
        "yield not x.receive()",
        "yield (lambda: x.receive())()",
        "yield x.receive(1 if y else 2)",
        "yield x.receive(y or 3)",
        "yield str(x.receive())",
        "yield getattr(x, 'receive')()",
        "yield (y := x.receive())",
        "yield from (i for i in [x.receive()])",
        "try:\n yield x.receive()\nfinally:\n y = 1",
        "try:\n yield x.receive()\nexcept KeyError:\n y = 1",
        "try:\n raise KeyError\nexcept KeyError:\n yield x.receive()",
        "with open('/dev/null'):\n yield x.receive()",
    ],
)
def test_any_other_call_is_not_taken_for_one(body: str) -> None:
    found = names_found(body, times=20)
    assert len(found) >= 20 and "receive" not in found


def test_a_modules_function_is_found_by_its_name_whichever_way_it_was_imported() -> None:
    recorder = Recorder()
    module = types.ModuleType("module")
    module.receive = receive = recorder.receive  # type: ignore[attr-defined]
    namespace: dict[str, Any] = {"receive": receive, "sys": sys}
    sys.modules["module"] = module
    try:
        exec(
            """
import module
def generator(x):
    yield module.receive(1)
    yield receive(x)
    yield module.receive(timeout=3)
    yield [module.receive(1)]
    yield module.receive(receive(2))
    yield module
    import module as local
    yield local.receive()
""",
            namespace,
        )
        for _ in range(20):
            list(namespace["generator"](recorder))
    finally:
        del sys.modules["module"]
    assert recorder.found == ["receive", "receive", "receive", None, None, "receive", "receive"] * 20


def test_nested_calls_are_told_apart() -> None:
    assert names_found("yield x.receive(x.sleep())", times=20) == [None, "receive"] * 20
    assert names_found("yield x.sleep(x.receive(x.sleep(1)), 2)", times=20) == [None, None, "sleep"] * 20


def test_code_with_many_names_and_constants_is_read_right() -> None:
    # Beyond 255 of them the instructions have extended arguments.
    padding = "\n".join(f"name_{n} = {n}.5; x.attribute_{n} = name_{n}" for n in range(300))
    assert names_found(f"{padding}\nyield x.receive(x.sleep(0.5))\nreturn x.receive()") == [None, "receive", None]


def bound_yields(body: str) -> list[bool]:
    """For each yield that is come to: must the generator stay on its greenlet?"""
    generator = make(body)(Recorder())
    found = []
    for _ in generator:
        found.append(generator.gi_frame.f_lasti in call_sites.sites_of(generator.gi_code).bound)
    return found


def test_a_generator_is_bound_to_its_greenlet_inside_try_and_with_and_yield_from() -> None:
    assert bound_yields("yield 1\nwith open('/dev/null'):\n yield 2\nyield 3") == [False, True, False]
    assert bound_yields("try:\n yield 1\nfinally:\n yield 2\nyield 3")[0] is True
    assert bound_yields("try:\n yield 1\nfinally:\n yield 2\nyield 3")[2] is False
    assert bound_yields("try:\n 1/0\nexcept ZeroDivisionError:\n yield 1\nyield 2") == [True, False]
    assert bound_yields("yield from (i for i in (1, 2))\nyield 3") == [True, True, False]
    assert bound_yields("for _ in range(2):\n yield 1") == [False, False]


def test_what_is_not_to_be_used_of_a_code_object_is_everything() -> None:
    assert call_sites.UNKNOWN.yielded == {}
    assert call_sites.UNKNOWN.bound and 5 in call_sites.UNKNOWN.bound


def test_code_is_read_once_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[CodeType] = []
    analyse = call_sites._analyse

    def count(code: CodeType) -> call_sites.CallSites:
        read.append(code)
        return analyse(code)

    monkeypatch.setattr(call_sites, "_analyse", count)
    monkeypatch.setattr(call_sites, "_known", {})
    monkeypatch.setattr(call_sites, "_KEEP", 10)
    code = make("yield x.receive()").__code__
    assert call_sites.sites_of(code) is call_sites.sites_of(code)
    assert len(read) == 1
    for _ in range(25):
        call_sites.sites_of(make("yield 1").__code__)
        assert len(call_sites._known) <= 10
