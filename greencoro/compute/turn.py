"""What a scheduler does again and again while a computation has its turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.client_words import Ask
from greencoro.compute.node_words import Pulse, Pulsed
from greencoro.compute.pulse_clock import SILENT_PULSES
from greencoro.compute.pulses import Pulses
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import RemoteProtocolError

__all__ = ["Turn"]


class Turn:
    """Pulses the nodes that are reserved, and looks for further ones as often as the computation wants. User hub.

    Args:
        computation (int): Its number; also an attribute.

        ask: What its client asked for.

        feed: Called with what happens.

        on_silent: Called with a node that was not heard, or says what cannot be, and the reason to give it up for that.
    """

    def __init__(
        self,
        runtime: Runtime,
        computation: int,
        ask: Ask,
        feed: Callable[[vocabulary.Event], None],
        on_silent: Callable[[str, str], None],
    ) -> None:
        self._runtime = runtime
        self.computation = computation
        self._feed = feed
        self._give_up = on_silent
        self._looks_for_nodes = ask.ping_interval is not None
        if ask.ping_interval is not None:
            runtime.set_ping_interval(ask.ping_interval)
        self._interval = ask.pulse_interval
        #: This process may be stopped for so long without anything being lost, in seconds.
        self._allowed = min([SILENT_PULSES * ask.pulse_interval, *([ask.zombie_period] if ask.zombie_period else [])])
        self._pulses: Pulses | None = None
        if ask.pulse_interval:
            self._pulses = Pulses(runtime, ask.pulse_interval, self._on_silent, self._on_answer, self._on_gap)
        #: Of the nodes that are pulsed: the numbers of their reservations.
        self._attempts: dict[str, int] = {}

    def watch(self, node: str, attempt: int, peer: PeerInfo, token: str) -> None:
        """A node is reserved."""
        if self._pulses is not None:
            self._attempts[node] = attempt
            self._pulses.watch(node, peer, Pulse.operation, Pulse(token).to_header())

    def forget(self, node: str) -> None:
        """It is not any more, or was not."""
        if self._pulses is not None and self._attempts.pop(node, None) is not None:
            self._pulses.forget(node)

    def end(self) -> None:
        """The computation is over."""
        self._attempts.clear()
        if self._pulses is not None:
            self._pulses.stop()
        if self._looks_for_nodes:
            self._runtime.set_ping_interval(self._runtime.settings.ping_interval_seconds)

    def _on_answer(self, node: str, header: dict[str, Any]) -> None:
        attempt = self._attempts.get(node)
        if attempt is None:
            return
        try:
            answer = Pulsed.from_header(header)
        except RemoteProtocolError as error:
            self._lose(node, str(error))
            return
        if not answer.is_held:
            self._feed(vocabulary.LeaseEnded(node, attempt, "was ended by its node, which knows of it no more"))
        elif answer.free is not None:
            self._feed(vocabulary.NodeFree(node, attempt, answer.free))

    def _on_silent(self, node: str) -> None:
        if node in self._attempts:
            self._lose(node, f"it was silent for {SILENT_PULSES * self._interval:g} s, {SILENT_PULSES} pulse intervals")

    def _lose(self, node: str, reason: str) -> None:
        self.forget(node)
        self._give_up(node, reason)

    def _on_gap(self, seconds: float) -> None:
        if seconds > self._allowed:
            reason = (
                f"this process was stopped for {seconds:.3g} s; after {self._allowed:g} s nodes may give its jobs up "
                "(pulse_interval, zombie_period)"
            )
            self._feed(vocabulary.Overslept(self.computation, reason))
