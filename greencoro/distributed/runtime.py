"""Runtime: this process's place among others. The only place where the parts of the network are wired together."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from greencoro._version import __version__
from greencoro.config import Settings
from greencoro.distributed import reactor as reactors
from greencoro.distributed import refs
from greencoro.distributed.addresses import default_address, is_loopback
from greencoro.distributed.calls import Calls, Reply, Request
from greencoro.distributed.delivery import Delivery
from greencoro.distributed.dispatch import Dispatcher
from greencoro.distributed.handshake import Hello
from greencoro.distributed.link import Link, PeerInfo
from greencoro.distributed.locate import Locator
from greencoro.distributed.location import Location
from greencoro.distributed.memory import MemoryNetwork
from greencoro.distributed.peer_events import PeerEvent, PeerObservers
from greencoro.distributed.peers import Peers
from greencoro.distributed.proxies import RemoteCoro, outcome_setter
from greencoro.distributed.refs import Reference
from greencoro.distributed.secret import Secret
from greencoro.distributed.secret import load as load_secret
from greencoro.distributed.stream import Transport
from greencoro.distributed.transport import Tcp
from greencoro.distributed.watches import Watch, Watches
from greencoro.errors import (
    AuthenticationError,
    ConfigError,
    DeadlineExceeded,
    IncompatibleVersion,
    NetworkError,
    PeerUnreachable,
    RemoteProtocolError,
)
from greencoro.hub import coroutine, names, native, userhub, watchdog
from greencoro.hub import exit as process_exit
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["DEFAULT_PORT", "PeerEvent", "Runtime", "current_runtime", "runtime"]

_log = logging.getLogger(__name__)

#: The seeds' UDP port for discovery; node daemons answer on the TCP port of the same number.
DEFAULT_PORT = 51350

_default: Runtime | None = None
_default_lock = native.Lock()


class Runtime:
    """Starts network services for this process: it can be dialled, dials others, and coroutines find each other.

    The first one of a process is its default: coroutines are at home there unless they were started with `spawn`.

    Args:
        node (str | None): Host name or address to listen at; None takes that of the first interface that is up.

        tcp_port (int): TCP port to listen at; 0 takes any free one.

        name (str | None): A name by which peers can `locate` this runtime; default: its location as text.

        peers: Locations (or "host:port" texts), or one of them, to connect to, now and until they answer.

        secret (str | None): What all runtimes that talk to each other share. None: the secret of this user, from a file
            made on first use; ``""``: none, on loopback only.

        settings (Settings | None): Limits and clocks; None reads the environment. Those of the process's default
            runtime say how long a coroutine may keep the others waiting.

        secret_key (bytes | None): The derived key itself, as a parent process hands it to its children.

        network (MemoryNetwork | None): Run over this network inside the process instead of TCP.

    Raises:
        ConfigError: A parameter that cannot work.

        OSError: The place to listen at cannot be had.
    """

    def __init__(
        self,
        node: str | None = None,
        *,
        tcp_port: int = 0,
        name: str | None = None,
        peers: Location | str | Sequence[Location | str] = (),
        secret: str | None = None,
        settings: Settings | None = None,
        secret_key: bytes | None = None,
        network: MemoryNetwork | None = None,
    ) -> None:
        global _default
        process_exit.prepare()
        self.settings = settings if settings is not None else Settings.from_env()
        # One of them is a sequence as well, of characters or of parts.
        wanted = (peers,) if isinstance(peers, Location | str) else peers
        self._wanted: list[Location] = [_as_location(peer) for peer in wanted]
        self.secret = Secret.from_key(secret_key) if secret_key is not None else _load(secret, self.settings)
        address = node if node is not None else LOOPBACK if self.secret.is_open else default_address()
        if self.secret.is_open and network is None and not is_loopback(address):
            raise ConfigError(f"without a secret a runtime listens on loopback only, not at {address}; give secret=")
        #: 16 random bytes that tell this runtime from all others, earlier ones at the same place among them.
        self.incarnation = os.urandom(16)
        self.reactor = reactors.acquire(self.settings.log_lines_per_second)
        try:
            transport: Transport = Tcp(self.reactor) if network is None else network.transport(self.reactor)
            self._listener = transport.listen(Location(address, tcp_port))
        except BaseException:
            reactors.release()
            raise
        #: Where this runtime can be dialled.
        self.location: Location = self._listener.location
        self.name = name if name is not None else str(self.location)
        try:
            hello = Hello(
                self.incarnation,
                self.location,
                self.name,
                platform.python_version(),
                __version__,
                self.settings.max_queue_messages,
                self.settings.max_queue_bytes,
                self.settings.max_message_bytes,
            )
        except ValueError as error:
            self._listener.close()
            reactors.release()
            raise ConfigError(str(error)) from None
        self.max_mailbox_messages = self.settings.max_mailbox_messages
        self.send_timeout_seconds = self.settings.effective_send_timeout_seconds
        self.answer_timeout_seconds = self.settings.connect_timeout_seconds + self.settings.peer_timeout_seconds
        self._finished = False
        self._finish_lock = native.Lock()
        self._observers = PeerObservers()
        # Those of ``peers=`` that are online -> the location they were asked for at.
        self._answering: dict[bytes, Location] = {}
        with _default_lock:
            is_default = _default is None
            if is_default:
                _default = self
        if is_default and settings is not None:
            # There is one for the process, as there is one default runtime.
            watchdog.configure(settings.max_blocked_seconds)
        #: What is registered by coroutines at home here.
        self.names = names.default if is_default else names.Names()
        dispatcher = Dispatcher()
        self.watches = Watches(dispatcher, self._find)
        self._calls = Calls(dispatcher, self.spawn, self.settings.max_queue_messages, self._warn)
        self._locator = Locator(dispatcher, self, self.names)
        self._delivery = Delivery(
            dispatcher, self._find, self.settings.max_queue_messages, self.settings.max_queue_bytes, self._warn
        )
        self.names.network = self._locator
        self.peer_table = Peers(self.reactor, transport, hello, self.secret, self.settings, dispatcher, self._on_change)
        coroutine.plug_in(_reduce, _location_of)
        refs.plug_in(_resolve)
        self.handle("greencoro.ping", lambda request: request.reply(), on_reactor=True)
        process_exit.at_exit(0, self.finish)
        self.reactor.post(self.peer_table.serve, self._listener)
        for location in self._wanted:
            if location != self.location:
                self.reactor.post(self._keep_dialling, location)
        _log.info("runtime.started name=%s location=%s secret=%s", self.name, self.location, self.secret.fingerprint)

    def __repr__(self) -> str:
        return f"<Runtime {self.name} at {self.location}>"

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self, timeout: float = 5.0) -> None:
        """Send what is queued, say goodbye to the peers, stop listening; a second call does nothing.

        Coroutines go on, without the network.

        Args:
            timeout (float): Longest wait for what is queued to be sent, in seconds.
        """
        global _default
        with self._finish_lock:
            if self._finished:
                return
            self._finished = True
        process_exit.cancel_at_exit(self.finish)
        self._locator.close()
        closed, sent = Completion(), Completion()
        self.reactor.post(self._close, sent)
        try:
            if not sent.wait(timeout):
                _log.warning("finish: not all that was queued for peers could be sent within %g s", timeout)
        finally:
            self.reactor.post(self.peer_table.abort)
            self.reactor.post(closed.set)
            closed.wait(timeout)
            with _default_lock:
                if _default is self:
                    _default = None
            if self.names.network is self._locator:
                # Not that of a new default runtime, which has the same names.
                self.names.network = None
            _off_the_hub(lambda: reactors.release(timeout))

    def _close(self, sent: Completion) -> None:
        self._listener.close()
        self.peer_table.close("it finished", sent.set)

    def _warn(self, logger: logging.Logger, line: str, *args: Any) -> None:
        """Log a warning, so many of one kind a second; any thread."""
        if self._finished and not self.reactor.is_current:
            # A message that came before may be read long after; nobody is left who could send more of them.
            logger.warning(line, *args)
            return
        self.reactor.post(self.reactor.log.log, logger, logging.WARNING, line, *args)

    # Peers.

    def peer(self, loc: Location | str, *, timeout: float | None = None) -> int:
        """Contact the runtime at ``loc`` so that this one and that know each other.

        Args:
            loc: A `Location`, or a host (then the port is 51350, where node daemons answer).

            timeout (float | None): Longest wait, in seconds; None: the settings' time for connecting.

        Returns:
            int: 0 where it is a peer now; -1 where it could not be reached or does not know the secret (the log says;
                of a wrong secret once a minute).
        """
        try:
            self.connect(loc, timeout)
        except (AuthenticationError, IncompatibleVersion, RemoteProtocolError):
            # The reactor logs it, for whoever tried to connect.
            return -1
        except (NetworkError, DeadlineExceeded) as error:
            _log.warning("peer(%s) failed: %s", loc, error)
            return -1
        return 0

    def connect(self, loc: Location | str, timeout: float | None = None) -> PeerInfo:
        """As `peer`, but says who is there, or raises what went wrong.

        Raises:
            PeerUnreachable: No connection; the message says what was tried.

            AuthenticationError: The other side does not know the secret.

            IncompatibleVersion: It speaks another version of the protocol.

            RemoteProtocolError: It does not keep to the protocol.

            DeadlineExceeded: None of this within ``timeout`` seconds.
        """
        return self._link_at(_as_location(loc), timeout).info

    def _link_at(self, location: Location, timeout: float | None) -> Link:
        for link in self.peer_table.online():
            if link.info.location == location:
                return link
        if self._finished:
            raise PeerUnreachable(f"cannot reach {location}: this runtime is finished")
        if location == self.location:
            raise PeerUnreachable(f"{location} is this runtime itself")
        reached = Completion()

        def on_done(link: Link | None, error: NetworkError | None) -> None:
            if error is not None:
                reached.fail(error)
            else:
                reached.set(link)

        self.reactor.post(self.peer_table.dial, location, on_done)
        if timeout is None:
            timeout = self.settings.connect_timeout_seconds + self.settings.handshake_seconds + 1.0
        if not reached.wait(timeout):
            raise DeadlineExceeded(f"cannot reach {location}: no answer within {timeout:g} s")
        if reached.error is not None:
            raise reached.error
        return reached.value

    def peers(self) -> list[Location]:
        """The locations of the peers that are online."""
        return [link.info.location for link in self.peer_table.online()]

    def peer_infos(self) -> list[PeerInfo]:
        """Who is online."""
        return [link.info for link in self.peer_table.online()]

    def locate(self, name: str, timeout: float | None = None) -> Location | None:
        """The location of the peer runtime called ``name``, waiting for it to come; None after ``timeout`` seconds."""
        if name == self.name:
            return self.location
        found = Completion()

        def look(event: PeerEvent | None) -> None:
            for info in self.peer_infos():
                if info.name == name:
                    found.set(info.location)

        self.watch_peers(look)
        try:
            look(None)
            found.wait(timeout)
        finally:
            self.unwatch_peers(look)
        return found.value

    def watch_peers(self, callback: Callable[[PeerEvent], None]) -> None:
        """Call ``callback(event)`` when a peer comes or is lost, on the user hub, in order; it must not block."""
        self._observers.add(callback)

    def unwatch_peers(self, callback: Callable[[PeerEvent], None]) -> None:
        """Do not call ``callback`` any more."""
        self._observers.remove(callback)

    def _on_change(self, link: Link, online: bool, reason: str) -> None:
        if online:
            self._locator.peer_came(link)
        else:
            wanted_at = self._answering.pop(link.info.incarnation, None)
            if wanted_at is not None and not self._finished:
                self.reactor.call_later(self.settings.tick_seconds, self._keep_dialling, wanted_at)
        self._observers.tell(PeerEvent(link.info, online, reason))

    def _keep_dialling(self, location: Location) -> None:
        """Reach one of ``peers=``, again every tick until it answers."""
        if self._finished:
            return

        def on_done(link: Link | None, error: NetworkError | None) -> None:
            if link is not None:
                self._answering[link.info.incarnation] = location
            elif not self._finished:
                self.reactor.log.log(_log, logging.INFO, "still trying to reach a peer: %s", str(error))
                self.reactor.call_later(self.settings.tick_seconds, self._keep_dialling, location)

        self.peer_table.dial(location, on_done)

    # Coroutines and references.

    def spawn(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """Start a coroutine that is at home in this runtime, which matters where a process has several."""
        return Coro.at_home(self, target, args, kwargs)

    def link_for(self, reference: Reference) -> Link | None:
        """The link to a reference's incarnation, dialling where there is none; None where that is lost."""
        if self._finished:
            return None
        return self.peer_table.link_to(reference.location, str(reference.location), reference.incarnation)

    def _find(self, coro_id: int) -> Coro | None:
        """The live coroutine with this id, if it is at home here: peers have no access to other runtimes' ones."""
        coro = coroutine.find(coro_id)
        return coro if coro is not None and _home_of(coro) is self else None

    def resolve(self, reference: Reference) -> Coro:
        """What a reference means here: the live coroutine at its home, else a `RemoteCoro`."""
        if reference.incarnation == self.incarnation:
            coro = self._find(reference.id)
            if coro is not None:
                return coro
        return RemoteCoro(self, reference)

    def reference(self, peer: PeerInfo, coro_id: int, name: str, watch: Watch | None = None) -> RemoteCoro:
        """A reference to a coroutine of ``peer``; with ``watch`` its result is kept."""
        reference = Reference(peer.location, peer.incarnation, coro_id, name)
        return RemoteCoro(self, reference, None if watch is None else watch.outcome)

    # For the layers above: operations and watches.

    def handle(self, operation: str, handler: Callable[[Request], None], on_reactor: bool = False) -> None:
        """Serve an operation for peers; see `calls.Calls.handle`."""
        self._calls.handle(operation, handler, on_reactor)

    def request(
        self,
        to: PeerInfo | Location,
        operation: str,
        header: dict[str, Any],
        parts: Sequence[bytes] = (),
        timeout: float | None = None,
    ) -> Reply:
        """Have a peer do an operation; see `calls.Calls.request`, and `connect` for a location that is no peer yet."""
        return self._calls.request(self._link_of(to, timeout), operation, header, parts, timeout)

    def post(self, to: PeerInfo | Location, operation: str, header: dict[str, Any], parts: Sequence[bytes] = ()) -> int:
        """Have a peer do an operation, without an answer; 0 where that is queued, -1 where the peer is lost."""
        try:
            return self._calls.post(self._link_of(to, None), operation, header, parts)
        except NetworkError:
            return -1

    def _link_of(self, to: PeerInfo | Location, timeout: float | None) -> Link:
        if isinstance(to, Location):
            return self._link_at(to, timeout)
        link = self.peer_table.links.get(to.incarnation)
        if link is None:
            raise PeerUnreachable(f"{to} is no peer (any more)")
        return link

    def open_watch(self, peer: PeerInfo, coro_name: str) -> Watch:
        """A watch for a coroutine that ``peer`` is about to start; its number goes into the request."""
        link = self._link_of(peer, None)
        outcome = Completion()
        stand_in = RemoteCoro(self, Reference(peer.location, peer.incarnation, 0, coro_name))
        return Watch(self.watches.open(link, outcome_setter(stand_in, outcome)), outcome)

    def serve_watch(self, request: Request, watch_id: int, coro: Coro) -> None:
        """Send the asker of ``request`` the notice for its watch when ``coro`` is over."""
        self.watches.serve(request.link, watch_id, coro)


LOOPBACK = "127.0.0.1"


def runtime() -> Runtime:
    """The process's default runtime; started with default parameters where there is none."""
    return _default if _default is not None else Runtime()


def current_runtime() -> Runtime | None:
    """The process's default runtime; None where there is none, and none is made."""
    return _default


def _home_of(coro: Coro) -> Runtime | None:
    home: Runtime | None = coro.home if coro.home is not None else _default
    return home


def _reduce(coro: Coro) -> tuple[Any, ...]:
    home = _home_of(coro)
    if home is None:
        raise TypeError(f"{coro!r} cannot travel: this process has no Runtime, so nothing elsewhere could refer to it")
    return refs.rebuild, (home.location.addr, home.location.port, home.incarnation, coro.id, coro.name)


def _location_of(coro: Coro) -> Location | None:
    home = _home_of(coro)
    return None if home is None else home.location


def _resolve(reference: Reference) -> Coro:
    home = coroutine.current_home() or _default
    if home is None:
        raise RuntimeError("a reference came to a process that has no Runtime")
    return home.resolve(reference)


def _as_location(loc: Location | str) -> Location:
    location = loc if isinstance(loc, Location) else Location.parse(loc)
    return location if location.port else Location(location.addr, DEFAULT_PORT)


def _load(secret: str | None, settings: Settings) -> Secret:
    """The secret; stretching a typed one takes a tenth of a second, which no hub should spend."""
    loaded: Secret = _off_the_hub(lambda: load_secret(secret, file=settings.secret_path))
    return loaded


def _off_the_hub(function: Callable[[], Any]) -> Any:
    """The result of ``function()``, called in another thread where a hub would stand still meanwhile."""
    if not userhub.on_hub():
        return function()
    done = Completion()

    def call() -> None:
        try:
            done.set(function())
        except Exception as error:
            done.fail(error)

    native.Thread(call, "greencoro-aside").start()
    return done.result()
