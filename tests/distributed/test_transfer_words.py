import dataclasses

import pytest

from greencoro.distributed.transfer_words import Answer, Offer, Place, Word, busy_seconds, read_answer, read_digest
from greencoro.errors import RemoteProtocolError, TransferError

OFFER = Offer(7, Place(("a", "b"), "f"), 1000, 5, 0o664, False, 2.0)


def test_an_offer_arrives_as_it_was_sent():
    assert Offer.of(OFFER.header()) == OFFER
    assert Offer.of(dataclasses.replace(OFFER, timeout=1e9).header()).timeout == 86_400


def test_F5_permissions_beyond_0o777_are_dropped_from_an_offer():
    assert Offer.of(OFFER.header() | {"mode": 0o104755}).mode == 0o755


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("size", value) for value in (-1, None, 1.5, "1", True, 2**63)),
        *(("transfer", value) for value in (-1, None, "x")),
        *(("mtime_ns", value) for value in (2**70, None, 1.0)),
        *(("mode", value) for value in (None, "755", -1)),
        *(("overwrite", value) for value in (None, 1, "yes")),
        *(("timeout", value) for value in (0, -1, None, "1", True, 1e9)),
        *(("directory", value) for value in (None, "a/b", [1], ["a", None], {"a": 1})),
        *(("file", value) for value in (None, 1, ["f"])),
    ],
)
def test_a_malformed_offer_is_refused(field, value):
    with pytest.raises(RemoteProtocolError):
        Offer.of(OFFER.header() | {field: value})


@pytest.mark.parametrize(
    ("directory", "file"),
    [
        *(([], name) for name in ("", ".", "..", "a/b", "/a", "a\\b", "c:a", "a\0b", "x" * 256, "é" * 128, "\udc80")),
        *(([name], "f") for name in ("", ".", "..", "/", "a/b", "\\\\host\\share", "C:", "x" * 256)),
        (["a"] * 64, "f"),
        (["a"] * 100_000, "f"),
        ([], ".greencoro-1234.lock"),
        ([".greencoro-x"], "f"),
    ],
)
def test_F3_a_name_that_is_no_entry_of_a_directory_is_refused(directory, file):
    with pytest.raises(TransferError) as refused:
        Place.of({"directory": directory, "file": file})
    assert len(str(refused.value)) < 2000


def test_a_place_may_have_many_directories_and_long_names():
    place = Place.of({"directory": ["a"] * 63, "file": "x" * 255})
    assert str(place).endswith("/a/" + "x" * 255)


def test_what_a_receiver_says_is_kept_as_small_as_it_has_to_be():
    word = Word.of({"failed": "x" * 100_000, "stat": [1] * 100_000, "else": "y"})
    assert len(word.failed) == 1000
    assert len(word.stat) == 10
    for header in ({"written": -1}, {"written": "1"}, {"result": None}, {"do": "dance"}, {"do": ["send"]}):
        with pytest.raises(RemoteProtocolError):
            Word.of(header)


def test_answers_and_digests_are_checked():
    assert [read_answer({"do": answer.value}) for answer in Answer] == list(Answer)
    assert read_digest({"digest": "0" * 64}) == "0" * 64
    for digest in (None, 1, "0" * 63, ["0"] * 64):
        with pytest.raises(RemoteProtocolError):
            read_digest({"digest": digest})


@pytest.mark.parametrize(("timeout", "between"), [(86_400.0, 0.5), (2.0, 0.5), (1.0, 0.25), (0.2, 0.05), (1e-9, 0.05)])
def test_F9_who_is_busy_says_so_several_times_within_the_timeout_but_no_more_often_than_it_can(timeout, between):
    assert busy_seconds(timeout) == between
