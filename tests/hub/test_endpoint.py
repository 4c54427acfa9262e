import gc
import os
import socket
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest

from greencoro import BusyResource
from greencoro.hub import endpoint as endpoints
from greencoro.hub.endpoint import Endpoint

from .places import from_greenlet_of_another_hub


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    ours, theirs = socket.socketpair()
    with theirs:
        made = endpoints.of(ours)
        yield made
        made.close()


def test_a_socket_has_one_endpoint_as_long_as_somebody_holds_that() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        first = endpoints.of(ours)
        assert endpoints.of(ours) is first
        assert endpoints.of(theirs) is not first
        first.straight = 7
        del first
        gc.collect()
        assert endpoints.of(ours).straight == 0
        assert os.fstat(ours.fileno())  # nobody closed it


def test_who_is_alone_reads_and_writes_until_the_block_is_left(endpoint: Endpoint) -> None:
    with pytest.raises(KeyError), endpoint.alone("the test"):
        with pytest.raises(BusyResource, match=r"recv\(\): somebody else reads from this socket"):
            endpoint.start_reading("recv()")
        with pytest.raises(BusyResource, match=r"send\(\): somebody else writes to this socket"):
            endpoint.start_writing("send()")
        raise KeyError
    endpoint.start_reading("recv()")
    endpoint.start_writing("send()")


def test_who_cannot_be_alone_holds_nothing(endpoint: Endpoint) -> None:
    endpoint.start_writing("send()")
    with pytest.raises(BusyResource), endpoint.alone("the test"):
        pass
    endpoint.start_reading("recv()")


def test_datagrams_have_any_number_of_writers_and_the_last_closes() -> None:
    raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made = endpoints.of(raw)
    made.start_writing("sendto()")
    made.start_writing("sendto()")
    made.close()
    made.stop_writing()
    assert raw.fileno() >= 0
    made.stop_writing()
    assert raw.fileno() == -1


def test_the_descriptor_blocks_again_however_the_block_is_left(endpoint: Endpoint) -> None:
    fd = endpoint.readiness.fd
    with pytest.raises(KeyError), endpoint.nonblocking():
        assert not os.get_blocking(fd)
        raise KeyError
    assert os.get_blocking(fd)
    os.set_blocking(fd, False)
    with endpoint.nonblocking():
        pass
    assert not os.get_blocking(fd)


def test_it_is_not_given_back_with_bytes_that_are_still_to_go_out(endpoint: Endpoint) -> None:
    endpoint.unsent += b"abc"
    with pytest.raises(RuntimeError, match=r"unwrap\(\): 0 bytes that came would be lost, and 3 that are still to go"):
        endpoint.give_back("unwrap()")
    endpoint.unsent.clear()
    assert endpoint.give_back("unwrap()") is endpoint.raw


def test_what_it_accepts_is_a_socket_of_its_own_kind(endpoint: Endpoint) -> None:
    with endpoint.adopt(os.dup(endpoint.readiness.fd)) as adopted:
        assert type(adopted) is socket.socket
        assert adopted.family == endpoint.raw.family

    def adopt() -> Any:
        ours, theirs = gevent.socket.socketpair()
        with ours, theirs, endpoints.of(ours).adopt(os.dup(theirs.fileno())) as adopted:
            return type(adopted)

    assert from_greenlet_of_another_hub(adopt) is gevent.socket.socket
