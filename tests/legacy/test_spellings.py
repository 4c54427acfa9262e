"""The table of old and native spellings, held against both sides and the manual."""

import importlib
import re

import pytest

import greencoro
from greencoro.legacy.spelling import Spelling, import_lines
from greencoro.legacy.spellings import BY_NAME, PAUSE, RETURN, SPELLINGS, SUB_CALL

from .migration_page import PAGE, with_tables

#: The native classes of what is named otherwise now.
NATIVE = {"AsynCoro": "Runtime", "AsyncDBCursor": "AsyncThreadPool"}
MODULES = {
    "asyncoro": "asyncoro",
    "asyncoro.asyncfile": "asyncfile",
    "asyncoro.disasyncoro": "disasyncoro",
    "asyncoro.discoro": "discoro",
    "asyncoro.discoro_schedulers": "discoro_schedulers",
}
STATEMENTS = (RETURN, PAUSE, SUB_CALL)


def sides(spelling):
    return f"{spelling.old} -> {spelling.new}"


@pytest.mark.parametrize("spelling", [each for each in SPELLINGS if each not in STATEMENTS], ids=sides)
def test_what_stands_on_the_native_side_is_there(spelling):
    method = re.match(r"\{of\}\.(\w+)\(", spelling.native)
    if method:
        owner = getattr(greencoro, NATIVE.get(spelling.owner, spelling.owner))
        of_an_old_class = spelling.owner == "AsynCoro" and spelling.module == "asyncoro"
        assert not of_an_old_class and hasattr(owner, method[1])
    elif spelling.native.startswith("greencoro.compute."):
        assert hasattr(importlib.import_module("greencoro.compute"), spelling.native.rpartition(".")[2])
    elif spelling.native.startswith("Status."):
        assert hasattr(greencoro.Status, spelling.name)
    elif spelling.native and not spelling.native.startswith(("{of}(", "pool.")):
        name = spelling.native.partition("(")[0].partition(".")[0]
        assert name in greencoro.__all__ or name in ("logging", "pickle")


@pytest.mark.parametrize("spelling", [each for each in SPELLINGS if each not in STATEMENTS], ids=sides)
def test_what_stands_on_the_old_side_is_in_the_module_of_old(spelling):
    module = pytest.importorskip(f"greencoro.legacy.{MODULES[spelling.module]}")
    if spelling.owner:
        owner = getattr(module, spelling.owner)
        assert not spelling.name or hasattr(owner, spelling.name)
    else:
        assert hasattr(module, spelling.name)


def test_every_name_of_the_old_modules_is_in_the_table():
    from greencoro.legacy import asyncfile, asyncoro, disasyncoro

    names = {*asyncoro.__all__, *disasyncoro.__all__, *asyncfile.__all__} - {"logger"}
    assert names <= {name for owner, name in BY_NAME if not owner}


def test_what_has_nothing_in_its_place_has_a_sentence():
    assert [each.old for each in SPELLINGS if not each.native and not each.note] == []


def test_braces_in_a_program_stay_as_they_are():
    spelling = Spelling("asyncoro", "Coro", "send", "{of}.send({args})", "message", "coro")
    assert spelling.instead_of("coros[0]", "{'a': '{of}'}") == "coros[0].send({'a': '{of}'})"


def test_what_is_imported_is_of_greencoro_or_a_module():
    natives = ["sleep({args})", "pickle.dumps({args})", "{of}.receive()", "greencoro.compute.MsgTimeout", "Status.Coro"]
    natives += ["return {args}", "pool.async_task({of}.execute, {args})"]
    assert import_lines(natives) == "import greencoro.compute; import pickle; from greencoro import Status, sleep"
    assert import_lines(["{of}.receive()"]) == ""


def test_the_manual_has_the_table():
    page = PAGE.read_text()
    assert page == with_tables(page), "run python -m tests.legacy.migration_page"
