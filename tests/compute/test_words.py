"""What a peer says is checked field by field before anybody believes it."""

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import pytest

from greencoro.compute.words import (
    At,
    Count,
    Incarnation,
    Listed,
    Name,
    OneOf,
    Part,
    Reason,
    Seconds,
    Switch,
    Text,
    TextMap,
    Token,
    Word,
)
from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Inner(Word):
    name: Name


@dataclass(frozen=True)
class Every(Word):
    token: Token
    incarnation: Incarnation
    count: Annotated[int, Count(1, 5)]
    seconds: Seconds
    switch: Switch
    at: At
    colour: Annotated[Colour, OneOf(Colour)]
    tags: Annotated[Mapping[str, str], TextMap(2, 10)]
    inner: Annotated[Inner, Part(Inner)]
    reason: Reason | None


EVERY = Every(
    token="ab" * 32,
    incarnation="cd" * 16,
    count=3,
    seconds=1.5,
    switch=True,
    at=Location("::1", 5),
    colour=Colour.RED,
    tags={"gpu": "yes"},
    inner=Inner("one"),
    reason=None,
)


def test_a_word_arrives_as_it_was_said():
    assert Every.from_header(json.loads(json.dumps(EVERY.to_header()))) == EVERY


def test_a_field_of_a_later_version_does_no_harm():
    assert Every.from_header({**EVERY.to_header(), "news": 1}) == EVERY


@pytest.mark.parametrize("missing", sorted(set(EVERY.to_header()) - {"reason"}))
def test_S11_a_word_that_lacks_something_is_refused(missing):
    header = EVERY.to_header()
    del header[missing]
    with pytest.raises(RemoteProtocolError, match=f"'{missing}' of Every"):
        Every.from_header(header)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("token", 7),
        ("token", "ab"),
        ("token", "AB" * 32),
        ("token", "zz" * 32),
        ("token", " " + "ab" * 31 + " "),
        ("incarnation", "cd" * 32),
        ("count", 0),
        ("count", 6),
        ("count", True),
        ("count", 3.0),
        ("count", "3"),
        ("seconds", -1),
        ("seconds", float("nan")),
        ("seconds", float("inf")),
        ("seconds", 1e300),
        ("seconds", True),
        ("seconds", "1"),
        ("switch", 1),
        ("at", 5),
        ("at", "a:b:c"),
        ("at", "host:70000"),
        ("colour", "blue"),
        ("colour", ["red"]),
        ("tags", []),
        ("tags", {"a": "1", "b": "2", "c": "3"}),
        ("tags", {"a": 1}),
        ("tags", {"a": "x" * 11}),
        ("tags", {"x" * 11: "a"}),
        ("inner", "one"),
        ("inner", {"name": 1}),
        ("reason", 1),
        ("reason", "x" * 10_001),
    ],
)
def test_S11_a_field_that_is_not_what_it_should_be_is_refused(field, value):
    with pytest.raises(RemoteProtocolError):
        Every.from_header({**EVERY.to_header(), field: value})


def test_what_is_refused_is_shown_in_part_only():
    with pytest.raises(RemoteProtocolError) as refused:
        Every.from_header({**EVERY.to_header(), "colour": "x" * 100_000})
    assert len(str(refused.value)) < 200


def test_S5_what_may_be_a_key_is_not_shown_at_all():
    with pytest.raises(RemoteProtocolError) as refused:
        Every.from_header({**EVERY.to_header(), "token": "AB" * 32})
    assert "AB" not in str(refused.value)


def test_a_text_for_people_that_is_too_long_loses_its_end_on_its_way_out():
    assert Inner.from_header(Inner("x" * 5000).to_header()) == Inner("x" * 1000)


@dataclass(frozen=True)
class Many(Word):
    names: Annotated[Sequence[str], Listed(Text(5), 2)] = ()


def test_a_list_is_of_one_kind_and_not_too_long():
    assert Many.from_header(json.loads(json.dumps(Many(["a", "b"]).to_header()))) == Many(("a", "b"))
    for names in (["a", "b", "c"], ["a", 1], ["longer"], "ab", None, {"a": "b"}):
        with pytest.raises(RemoteProtocolError, match="names"):
            Many.from_header({"names": names})
