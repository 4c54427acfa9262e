"""Messages of peers into mailboxes here, with the credit that bounds them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from greencoro.distributed.dispatch import Dispatcher
from greencoro.distributed.inflows import ALL_DEBTS, Inflows, LinkedInflow, owe
from greencoro.distributed.link import Link
from greencoro.distributed.messages import Credit, Debt, Deliver, Gone, Ping, Pong, Result, Send, Terminate
from greencoro.distributed.reach import Reach
from greencoro.hub.coroutine import Coro, find
from greencoro.hub.mailbox import Encoded
from greencoro.log import escape

__all__ = ["Delivery"]

_log = logging.getLogger(__name__)

_SEND_HEADER_BYTES = 9
_DELIVER_HEADER_BYTES = 13
#: While so much waits for a peer to read about the connection, its heartbeats are not answered.
_MAX_UNSENT = 1000


class RemoteMessage(Encoded):
    """A message in a mailbox, as it came; its receiver decodes it, in its own coroutine."""

    __slots__ = ("_inflow", "_inflows", "_link", "_payload", "_size", "_warn", "was_received")

    def __init__(
        self, link: Link, inflows: Inflows, inflow: LinkedInflow, payload: Any, size: int, warn: Callable[..., None]
    ) -> None:
        self._link = link
        self._inflows = inflows
        self._inflow = inflow
        self._payload = payload
        self._size = size
        self._warn = warn
        #: Did a coroutine receive it?
        self.was_received = False

    def taken(self) -> None:
        self._inflows.taken(self._inflow, self._size)

    def decode(self) -> tuple[bool, Any]:
        self.was_received = True
        message, why = self._link.codec.opened(self._payload)
        if why is not None:
            self._link.undecodable += 1
            line = "a message from %s cannot be decoded and is dropped: %s"
            self._warn(_log, line, self._link.info, escape(why))
        return why is None, message


class Delivery:
    """The receiving side of `send`, `deliver` and `terminate`; its handlers run in the reactor's turn.

    Args:
        find: The live coroutine with an id, if it is at home in this runtime.

        reach: Which peers may name it.

        inflows: What peers have under way.

        warn: Logs a warning, rate-limited: (logger, line, *arguments); any thread.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        find: Callable[[int], Coro | None],
        reach: Reach,
        inflows: Inflows,
        warn: Callable[..., None],
    ) -> None:
        self._warn = warn
        self._find = find
        self._find_for = reach.guard(find)
        self._inflows = inflows
        dispatcher.register(Send, self._on_send)
        dispatcher.register(Deliver, self._on_deliver)
        dispatcher.register(Terminate, self._on_terminate)
        dispatcher.register(Credit, self._on_credit)
        dispatcher.register(Debt, owe)
        dispatcher.register(Gone, self._on_gone)
        dispatcher.register(Result, lambda link, result: link.answers.came(result.request, result.result))
        dispatcher.register(Ping, self._on_ping)
        dispatcher.register(Pong, lambda link, _: None)

    def _put(self, link: Link, target: int, payload: Any, size: int) -> bool:
        inflow = link.inflows.get(target) if link.standing.is_let_in else None
        if inflow is None:
            inflow = self._new_inflow(link, target, self._find_for(link, target))
        coro = find(target)
        if coro is None or inflow is None:
            link.send_urgent(Gone(target).encode())
            return False
        inflow.arrived(size)
        message = RemoteMessage(link, self._inflows, inflow, payload, size, self._warn)
        coro.put_past_limit(message)
        # It may have ended in the middle of this: where it is not alive now, it has got the message if it received it.
        return find(target) is coro or message.was_received

    def peer_came(self, link: Link) -> None:
        """Tell a peer what waits here of what it sent over links that are lost."""
        for target in self._inflows.left_over(link):
            if self._new_inflow(link, target, self._find(target)) is None:
                # A channel, or over: then it is told so when it sends.
                self._inflows.of(link, target)
        link.send_urgent(ALL_DEBTS.encode())

    def _new_inflow(self, link: Link, target: int, coro: Coro | None) -> LinkedInflow | None:
        if coro is None:
            return None

        def over(_: Coro) -> None:
            # Whoever waits for credit for this mailbox waits for nothing.
            link.inflows.pop(target, None)
            link.on_lost.pop(("inflow", target), None)
            link.send_urgent(Gone(target).encode())

        # In this order: the end, which may come on the user hub in the middle of this, takes out what it finds.
        inflow = self._inflows.of(link, target)
        link.when_lost(("inflow", target), lambda error: coro.remove_observer(over))
        if not coro.add_observer(over):
            link.inflows.pop(target, None)
            link.on_lost.pop(("inflow", target), None)
            return None
        return inflow

    def _on_send(self, link: Link, message: Send) -> None:
        self._put(link, message.target, message.payload, len(message.payload) + _SEND_HEADER_BYTES)

    def _on_deliver(self, link: Link, message: Deliver) -> None:
        taken = self._put(link, message.target, message.payload, len(message.payload) + _DELIVER_HEADER_BYTES)
        link.send_urgent(Result(message.request, 1 if taken else 0).encode())

    def _on_terminate(self, link: Link, message: Terminate) -> None:
        coro = self._find_for(link, message.target)
        told = -1 if coro is None else coro.terminate(message.hard)
        if message.request:
            link.send_urgent(Result(message.request, told).encode())

    def _on_credit(self, link: Link, credit: Credit) -> None:
        flow = link.outflows.get(credit.target)
        if flow is not None:
            flow.grant(credit.messages, credit.size)

    def _on_ping(self, link: Link, ping: Ping) -> None:
        # About the connection, as the question is: it does not wait for what is to be acknowledged before.
        if link.wire is not None and link.wire.connection.waiting_control < _MAX_UNSENT:
            link.wire.connection.push_control(Pong().encode())

    def _on_gone(self, link: Link, gone: Gone) -> None:
        link.target_gone(gone.target)
