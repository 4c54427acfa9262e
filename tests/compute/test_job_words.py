"""The words around jobs between a client and its servers."""

import pytest

from greencoro.compute.job_words import MAX_SIBLINGS, IsAssigned, LooksForNames, Printed, SetUp, Siblings, reach_key
from greencoro.compute.output_book import Batch, OutputLine
from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError

TOKEN, OTHER = "ab" * 32, "cd" * 32
SET_UP = SetUp(TOKEN, "12" * 16, output=True, requirements={"numpy>=2": "2.1", "none": ""})
SIBLINGS = Siblings(TOKEN, {"0f" * 16: "10.0.0.1:5"})


@pytest.mark.parametrize("word", [IsAssigned(TOKEN), SET_UP, LooksForNames(TOKEN), SIBLINGS])
def test_each_word_arrives_as_it_was_said(word):
    assert type(word).from_header(word.to_header()) == word


def test_each_word_has_an_operation_of_its_own():
    assert len({kind.operation for kind in (IsAssigned, SetUp, LooksForNames, Siblings, Printed)}) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"token": "ab"},
        {"token": None},
        {"reach": "12" * 15},
        {"reach": "zz" * 16},
        {"output": 1},
        {"requirements": None},
        {"requirements": ["numpy"]},
        {"requirements": {"numpy": 2}},
        {"requirements": {str(number): "" for number in range(1001)}},
        {"requirements": {"n" * 1001: ""}},
    ],
)
def test_S11_a_set_up_that_is_none_is_refused(change):
    with pytest.raises(RemoteProtocolError):
        SetUp.from_header(SET_UP.to_header() | change)


@pytest.mark.parametrize(
    "servers",
    [
        [],
        {"0f" * 16: 5},
        {"0f" * 16: "1" * 301},
        {f"{number:032x}": "10.0.0.1:5" for number in range(MAX_SIBLINGS + 1)},
    ],
)
def test_S11_siblings_that_are_none_are_refused(servers):
    with pytest.raises(RemoteProtocolError):
        Siblings.from_header({"token": TOKEN, "servers": servers})


def test_siblings_are_incarnations_with_locations():
    assert SIBLINGS.checked() == [(bytes.fromhex("0f" * 16), Location("10.0.0.1", 5))]


@pytest.mark.parametrize(("id", "at"), [("zz", "10.0.0.1:5"), ("0f" * 16, "10.0.0.1:port")])
def test_S11_a_sibling_that_is_nowhere_is_refused(id, at):
    with pytest.raises(RemoteProtocolError, match="a sibling that is none"):
        Siblings(TOKEN, {id: at}).checked()


def test_what_was_printed_travels_with_the_token():
    batch = Batch((OutputLine("stdout", "f/1", "hello"),), 3)
    header = Printed.to_header(TOKEN, batch)
    assert header["token"] == TOKEN
    assert Batch.from_wire(header) == batch


def test_S16_the_reach_key_is_the_computations_own_and_tells_nothing_of_its_token():
    key = reach_key(TOKEN)
    assert key == reach_key(TOKEN)
    assert key != reach_key(OTHER)
    assert len(key) == 16
    assert key.hex() not in TOKEN
    # Client and server derive it each for itself, and may be of different versions.
    assert key.hex() == "245d11d669ece1d3349a4215ba064cb7"


def test_S5_neither_key_nor_token_is_shown():
    shown = repr([IsAssigned(TOKEN), SET_UP, LooksForNames(TOKEN), SIBLINGS])
    assert TOKEN not in shown
    assert SET_UP.reach not in shown
