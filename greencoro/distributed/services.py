"""What one runtime offers its peers beside mailboxes: channels, RCIs, answers, monitors, links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from greencoro.config import Settings
from greencoro.distributed import homes, rci, refs
from greencoro.distributed.asking import ANSWER, Answers, ReplyAddress
from greencoro.distributed.calls import Calls
from greencoro.distributed.channel_server import ChannelServer
from greencoro.distributed.dispatch import Dispatcher
from greencoro.distributed.elsewhere import Home
from greencoro.distributed.inflows import Inflows
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.monitors import NOTIFY, UNDO_NOTIFY, Monitors
from greencoro.distributed.rci import CALL, RCI, RciServer
from greencoro.distributed.reach import Reach
from greencoro.distributed.refs import Reference
from greencoro.distributed.remote_channel import SUBSCRIBE, UNSUBSCRIBE
from greencoro.distributed.remote_links import LINK, UNLINK, RemoteLinks
from greencoro.distributed.subscriptions import Subscriptions
from greencoro.hub import channel as channels
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro

__all__ = ["Services"]


class Owner(Home, Protocol):
    """What they need of their runtime."""

    settings: Settings
    location: Location
    reactor: Any
    inflows: Inflows
    reach: Reach

    def resolve(self, reference: Reference) -> Any:
        """What a reference means there."""


class Services:
    """See the module.

    Args:
        find: The live coroutine that a peer names by its id, if it is at home in the runtime and the peer is let in.

        warn: Logs a warning, rate-limited: (logger, line, *arguments); any thread.
    """

    def __init__(
        self,
        runtime: Owner,
        dispatcher: Dispatcher,
        calls: Calls,
        find: Callable[[Link, int], Coro | None],
        warn: Callable[..., None],
    ) -> None:
        self._runtime = runtime
        self.calls = calls
        window = runtime.settings.max_queue_messages, runtime.settings.max_queue_bytes
        channel_for, rci_for = runtime.reach.guard(self._channel), runtime.reach.guard(self._rci)
        self._channels = ChannelServer(
            dispatcher,
            channel_for,
            runtime.incarnation,
            runtime.inflows,
            *window,
            spawn=runtime.spawn,
            post=runtime.reactor.post,
            send_timeout=runtime.send_timeout_seconds,
            warn=warn,
        )
        subscriptions = Subscriptions(channel_for, runtime.resolve)
        functions = RciServer(rci_for, runtime.watches, *window)
        #: Of `RemoteCoro.call`.
        self.answers = Answers(runtime.location, runtime.incarnation, runtime.link_for, runtime.codec)
        #: Of `RemoteCoro.link`.
        self.links = RemoteLinks(
            find, runtime.resolve, runtime.watches, calls, runtime.spawn, runtime.answer_timeout_seconds
        )
        #: Of `RemoteCoro.monitor` and `Coro.notify`.
        self.monitors = Monitors(
            find, runtime.resolve, runtime.watches, calls, runtime.answer_timeout_seconds, window[1]
        )
        channels.plug_in(lambda channel: _reduce(channel, "channel"), _location_of)
        rci.plug_in(lambda function: _reduce(function, "rci"), _location_of)
        calls.handle(SUBSCRIBE, subscriptions.serve, on_reactor=True)
        calls.handle(UNSUBSCRIBE, subscriptions.undo, on_reactor=True)
        calls.handle(ANSWER, self.answers.serve, on_reactor=True)
        # Whoever has a coroutine or a registered RCI that these could be about has a user hub.
        calls.handle(CALL, functions.serve, starts_hub=False)
        calls.handle(NOTIFY, self.monitors.serve, starts_hub=False)
        calls.handle(UNDO_NOTIFY, self.monitors.undo, starts_hub=False)
        calls.handle(LINK, self.links.serve_link, starts_hub=False)
        calls.handle(UNLINK, self.links.serve_unlink, starts_hub=False)

    def resolve(self, reference: Reference) -> Any:
        """What a reference to a channel, an RCI, or an address for answers means here."""
        kind = refs.kind_of(reference.id)[0]
        runtime, classes = self._runtime, self._runtime.reference_classes
        at_home = reference.incarnation == runtime.incarnation and runtime.reach.is_own(reference.key)
        if kind == "channel":
            return (self._channel(reference.id) if at_home else None) or classes.channel(runtime, reference)
        if kind == "rci":
            return (self._rci(reference.id) if at_home else None) or classes.rci(runtime, reference)
        if kind == "answer":
            return ReplyAddress(self.answers, reference)
        raise ValueError(f"a reference to something that this version does not know: {reference.id:#x}")

    def _channel(self, number: Any) -> Channel | None:
        """The channel that is meant, if it is at home in this runtime and not closed."""
        if not isinstance(number, int) or refs.kind_of(number)[0] != "channel":
            return None
        channel = channels.find(refs.kind_of(number)[1])
        is_here = channel is not None and _home_of(channel) is self._runtime and channel.is_alive()
        return channel if is_here else None

    def _rci(self, number: Any) -> RCI | None:
        """The RCI that is meant, if it is at home in this runtime and registered."""
        if not isinstance(number, int) or refs.kind_of(number)[0] != "rci":
            return None
        function = rci.find(refs.kind_of(number)[1])
        return function if function is not None and _home_of(function) is self._runtime else None


def _home_of(thing: Any) -> Any:
    return thing.home if thing.home is not None else homes.default()


def _reduce(thing: Any, kind: str) -> tuple[Any, ...]:
    home = _home_of(thing)
    if home is None:
        raise TypeError(f"{thing!r} cannot travel: this process has no Runtime, so nothing elsewhere could refer to it")
    number = refs.number(kind, thing.id)
    return refs.reduced(Reference(home.location, home.incarnation, number, thing.name, home.reach.key))


def _location_of(thing: Any) -> Location | None:
    home = _home_of(thing)
    return None if home is None else home.location
