"""Both sides of a file transfer, as pure code: no disk, no network, time as a number."""

import dataclasses
import random

import pytest

from greencoro.distributed.transfer_plan import Limits, Phase, Receiving, Sending, Standing, Window, answer_to, refusal
from greencoro.distributed.transfer_words import Answer, Offer, Place
from greencoro.errors import RemoteProtocolError, TransferError

OFFER = Offer(7, Place(("a", "b"), "f"), 1000, 5, 0o664, False, 2.0)
SAME = Standing(True, 1000, 5, 0o644)
WINDOW = Window(100, 8)


@pytest.mark.parametrize(
    ("standing", "overwrite", "answer"),
    [
        (None, False, Answer.SEND),
        (None, True, Answer.SEND),
        (SAME, False, Answer.COMPARE),
        (SAME, True, Answer.COMPARE),
        (SAME._replace(size=1001), False, Answer.DIFFERS),
        (SAME._replace(mtime_ns=6), False, Answer.DIFFERS),
        (SAME._replace(permissions=0o664), False, Answer.DIFFERS),
        (SAME._replace(permissions=0o4644), False, Answer.DIFFERS),
        (SAME._replace(size=1001), True, Answer.SEND),
        (SAME._replace(permissions=0o4644), True, Answer.SEND),
        (SAME._replace(is_file=False), False, Answer.DIFFERS),
    ],
)
def test_F6_the_answer_depends_on_what_is_there(standing, overwrite, answer):
    assert answer_to(dataclasses.replace(OFFER, overwrite=overwrite), standing, 0o644) is answer


def test_F6_what_is_no_file_cannot_be_overwritten():
    with pytest.raises(TransferError, match="no regular file"):
        answer_to(dataclasses.replace(OFFER, overwrite=True), SAME._replace(is_file=False), 0o644)


def test_F4_limits_refuse_a_file_before_it_is_sent():
    assert refusal(1 << 60, Limits(0, 1 << 61), 0, 1 << 60, 0) is None
    assert refusal(100, Limits(100, 1000), 900, 1000, 0) is None
    assert "max_file_size is 100" in refusal(101, Limits(100, 1000), 0, 101, 0)
    assert "max_dest_size is 1000" in refusal(100, Limits(100, 1000), 901, 1001, 0)


def test_F4_by_default_a_peer_has_half_of_the_disk_that_is_free_without_its_files():
    assert refusal(50, Limits(), 0, 50, 100) is None
    assert refusal(51, Limits(), 0, 51, 100) is not None
    assert refusal(10, Limits(), 40, 50, 60) is None
    assert refusal(11, Limits(), 40, 51, 60) is not None


def test_F4_what_replaces_as_much_is_taken_where_the_disk_was_filled_by_others():
    assert refusal(40, Limits(), 40, 40, 0) is None
    assert refusal(41, Limits(), 40, 41, 0) is not None


def receiving(size, answer=Answer.SEND):
    return Receiving(answer, size, WINDOW, 2.0, 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_all_data_arrives_with_no_more_under_way_than_the_receiver_takes(seed):
    choose = random.Random(seed)
    size = choose.choice([0, 1, 99, 100, 101, 1000, 1237])
    sending = Sending(Answer.SEND, size, 30, WINDOW, 2.0, 0.0)
    taking = receiving(size)
    content = choose.randbytes(size)
    written, waiting, largest = b"", [], 0
    while not sending.all_written:
        if (chunk := sending.next_chunk()) and choose.random() < 0.7:
            data = content[sending.sent : sending.sent + chunk]
            waiting.append(taking.arrived(sending.sent, [data], 0.0))
            sending.sent_chunk(chunk)
            largest = max(largest, sum(map(len, waiting)))
        elif waiting:
            written += waiting[0]
            taking.wrote(len(waiting.pop(0)), 0.0)
            sending.told_written(taking.written, 0.0)
    sending.gave_digest()
    taking.told_digest("d", 0.0)
    assert written == content
    assert largest <= WINDOW.size
    assert taking.is_complete
    taking.check("d")


def test_the_sender_keeps_the_wire_full():
    sending = Sending(Answer.SEND, 1000, 25, WINDOW, 2.0, 0.0)
    for _ in range(4):
        sending.sent_chunk(sending.next_chunk())
    assert (sending.sent, sending.next_chunk()) == (100, 0)
    sending.told_written(25, 0.0)
    assert sending.next_chunk() == 25


def test_the_number_of_chunks_under_way_is_limited_as_well():
    sending = Sending(Answer.SEND, 1000, 1, WINDOW, 2.0, 0.0)
    for _ in range(8):
        sending.sent_chunk(sending.next_chunk())
    assert sending.next_chunk() == 0
    sending.told_written(3, 0.0)
    assert sending.next_chunk() == 1


@pytest.mark.parametrize(
    ("offset", "chunks", "what"),
    [
        (1, [b"x"], "was due"),
        (0, [], "one part"),
        (0, [b""], "one part"),
        (0, [b"x", b"y"], "one part"),
        (0, [b"x" * 51], "more bytes"),
    ],
)
def test_data_that_was_not_asked_for_is_refused(offset, chunks, what):
    taking = receiving(50)
    with pytest.raises(RemoteProtocolError, match=what):
        taking.arrived(offset, chunks, 0.0)


def test_F4_declared_as_one_byte_only_one_byte_is_taken():
    taking = receiving(1)
    taking.arrived(0, [b"x"], 0.0)
    with pytest.raises(RemoteProtocolError, match="more bytes came than the 1 that were offered"):
        taking.arrived(1, [b"x"], 0.0)


def test_a_sender_that_does_not_wait_is_refused_by_bytes_and_by_chunks():
    taking = receiving(1000)
    taking.arrived(0, [b"x" * 100], 0.0)
    with pytest.raises(RemoteProtocolError, match="under way"):
        taking.arrived(100, [b"x"], 0.0)
    taking = receiving(1000)
    for offset in range(8):
        taking.arrived(offset, [b"x"], 0.0)
    with pytest.raises(RemoteProtocolError, match="under way"):
        taking.arrived(8, [b"x"], 0.0)


def test_a_digest_comes_once_and_at_the_end():
    taking = receiving(10)
    taking.arrived(0, [b"x" * 5], 0.0)
    with pytest.raises(RemoteProtocolError, match="after 5 of 10"):
        taking.told_digest("d", 0.0)
    taking.arrived(5, [b"x" * 5], 0.0)
    taking.told_digest("d", 0.0)
    with pytest.raises(RemoteProtocolError, match="second digest"):
        taking.told_digest("d", 0.0)
    with pytest.raises(RemoteProtocolError, match="data came"):
        taking.arrived(10, [b"x"], 0.0)
    assert not taking.is_complete, "none of it is written yet"


def test_F2_what_was_written_must_have_the_digest_of_what_was_read():
    taking = receiving(0)
    taking.told_digest("d", 0.0)
    with pytest.raises(TransferError, match="digests differ"):
        taking.check("e")


def test_while_files_are_compared_no_data_may_come_and_a_digest_may():
    taking = receiving(10, Answer.COMPARE)
    with pytest.raises(RemoteProtocolError, match="COMPARING"):
        taking.arrived(0, [b"x"], 0.0)
    taking.told_digest("d", 0.0)
    taking.differs(0.0)
    assert taking.arrived(0, [b"x" * 10], 0.0) == b"x" * 10
    sending = Sending(Answer.COMPARE, 10, 5, WINDOW, 2.0, 0.0)
    assert (sending.next_chunk(), sending.all_written) == (0, False)
    sending.start_over(0.0)
    assert sending.next_chunk() == 5


def test_F9_a_side_that_hears_nothing_new_is_stalled():
    sending = Sending(Answer.SEND, 10, 5, WINDOW, 2.0, 100.0)
    sending.sent_chunk(5)
    assert sending.seconds_left(101.5) == 0.5
    sending.told_written(0, 101.5)
    assert sending.seconds_left(101.5) == 0.5, "nothing new was said"
    sending.told_written(5, 101.5)
    assert sending.seconds_left(101.5) == 2.0
    taking = Receiving(Answer.SEND, 10, WINDOW, 2.0, 100.0)
    taking.arrived(0, [b"x"], 101.0)
    assert taking.seconds_left(103.5) == -0.5


@pytest.mark.parametrize("written", [6, 2, -1])
def test_a_receiver_cannot_have_written_what_was_not_sent_or_less_than_before(written):
    sending = Sending(Answer.SEND, 10, 5, WINDOW, 2.0, 0.0)
    sending.sent_chunk(5)
    sending.told_written(3, 0.0)
    with pytest.raises(RemoteProtocolError, match="are said to be written"):
        sending.told_written(written, 0.0)


def test_a_phase_is_not_left_for_any_other():
    sending = Sending(Answer.SEND, 0, 5, WINDOW, 2.0, 0.0)
    with pytest.raises(RemoteProtocolError):
        sending.start_over(0.0)
    sending.gave_digest()
    assert sending.phase is Phase.CHECKING
    with pytest.raises(RemoteProtocolError):
        sending.gave_digest()
    sending.end()
    assert sending.next_chunk() == 0
