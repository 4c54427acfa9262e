import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greencoro.errors import RemoteProtocolError
from greencoro.hub.framing import DEFAULT_MAX_MESSAGE_BYTES, HEADER_BYTES, LARGEST_MESSAGE_BYTES, Decoder, header

MESSAGES = st.lists(st.binary(max_size=300), max_size=20)

# However slow the machine is.
takes_its_time = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def encode(messages: list[bytes]) -> bytes:
    return b"".join(header(len(message)) + message for message in messages)


def take_all(decoder: Decoder) -> list[bytes]:
    messages = []
    while (message := decoder.take_message()) is not None:
        messages.append(message)
    return messages


def test_a_message_stands_behind_its_length_in_four_bytes_big_endian():
    assert header(0x01020304, LARGEST_MESSAGE_BYTES) == b"\x01\x02\x03\x04"
    assert header(0) == bytes(4)
    decoder = Decoder()
    decoder.feed(b"\x00\x00\x00\x03abcd")
    assert decoder.take_message() == b"abc"
    assert len(decoder) == 1


@takes_its_time
@given(MESSAGES, st.lists(st.integers(min_value=1, max_value=400)))
def test_any_split_of_the_stream_gives_the_same_messages(messages, sizes):
    stream = encode(messages)
    decoder = Decoder()
    found = []
    for size in [*sizes, len(stream)]:
        decoder.feed(stream[:size])
        stream = stream[size:]
        found += take_all(decoder)
    assert found == messages
    assert len(decoder) == 0


@takes_its_time
@given(MESSAGES)
def test_the_same_messages_come_out_byte_by_byte(messages):
    decoder = Decoder()
    found = []
    for byte in encode(messages):
        decoder.feed(bytes([byte]))
        found += take_all(decoder)
    assert found == messages


@takes_its_time
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_what_is_missing_never_reaches_into_the_next_message(messages):
    stream = encode(messages)
    position = 0
    for message in messages:
        decoder = Decoder()
        while missing := decoder.missing():
            decoder.feed(stream[position : position + missing])
            position += missing
        assert decoder.take_message() == message
        assert len(decoder) == 0
    assert position == len(stream)


def test_a_message_of_the_largest_size_allowed_passes_both_ways():
    decoder = Decoder(max_message_bytes=5)
    decoder.feed(header(5, max_message_bytes=5) + b"abcde")
    assert decoder.take_message() == b"abcde"


def test_a_larger_message_is_refused_by_its_sender():
    with pytest.raises(ValueError, match="a message of 6 bytes is too large to be sent: max_message_bytes is 5"):
        header(6, max_message_bytes=5)
    with pytest.raises(ValueError, match="too large"):
        header(DEFAULT_MAX_MESSAGE_BYTES + 1)


def test_a_larger_message_is_refused_as_soon_as_it_is_announced_and_ever_after():
    decoder = Decoder(max_message_bytes=5)
    decoder.feed(header(6))
    for ask in (decoder.missing, decoder.take_message, decoder.missing):
        with pytest.raises(RemoteProtocolError, match="announces a message of 6 bytes: max_message_bytes is 5"):
            ask()
    assert len(decoder) == HEADER_BYTES


@takes_its_time
@given(st.binary(max_size=50), st.integers(min_value=0, max_value=60))
def test_bytes_can_be_taken_whatever_they_are(data, size):
    decoder = Decoder()
    decoder.feed(data)
    assert decoder.take(size) == data[:size]
    assert len(decoder) == len(data[size:])
    assert decoder.take(100) == data[size:]


def test_bytes_that_come_one_by_one_are_kept_together():
    decoder = Decoder()
    for _ in range(20_000):
        decoder.feed(b"x")
    assert len(decoder._parts) < 10 and len(decoder) == 20_000


def test_a_length_may_be_split_anywhere_before_a_large_message():
    message = bytes(100_000)
    stream = header(len(message)) + message
    for cut in range(len(stream[:8])):
        decoder = Decoder()
        decoder.feed(stream[:cut])
        decoder.feed(stream[cut:-1])
        assert decoder.missing() == 1
        decoder.feed(stream[-1:])
        assert decoder.take_message() == message


def test_what_is_fed_may_be_any_bytes():
    decoder = Decoder()
    decoder.feed(bytearray(b"\x00\x00"))
    decoder.feed(memoryview(b"\x00\x02ab"))
    message = decoder.take_message()
    assert message == b"ab" and type(message) is bytes


@takes_its_time
@given(MESSAGES, st.integers(min_value=0))
def test_an_end_is_clean_between_messages_only(messages, cut):
    stream = encode(messages)
    came = stream[: cut % (len(stream) + 1)]
    decoder = Decoder()
    decoder.feed(came)
    whole = take_all(decoder)
    if came == encode(whole):
        decoder.end()
    else:
        with pytest.raises(RemoteProtocolError, match="the stream ended in the middle of a message"):
            decoder.end()
        assert decoder.take(len(stream)) == came[len(encode(whole)) :]


def test_an_end_after_a_message_that_nobody_took_is_clean():
    decoder = Decoder()
    decoder.feed(header(2) + b"ab")
    decoder.end()
    assert decoder.take_message() == b"ab"
