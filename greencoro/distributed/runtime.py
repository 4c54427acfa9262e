"""Runtime: this process's place among others. The only place where the parts of the network are wired together."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from greenlet import getcurrent

from greencoro._version import __version__
from greencoro.config import Settings
from greencoro.distributed import arrival, credentials, homes, options
from greencoro.distributed import reactor as reactors
from greencoro.distributed.calls import Calls
from greencoro.distributed.contacts import Contacts
from greencoro.distributed.delivery import Delivery
from greencoro.distributed.discovery import Discovery
from greencoro.distributed.dispatch import Dispatcher
from greencoro.distributed.files_api import FilesApi
from greencoro.distributed.hello import Hello
from greencoro.distributed.identity import Identity
from greencoro.distributed.inflows import Inflows
from greencoro.distributed.json_codec import CODECS
from greencoro.distributed.link import Link
from greencoro.distributed.listening import Listening
from greencoro.distributed.locate import Locator
from greencoro.distributed.location import Location
from greencoro.distributed.memory import MemoryNetwork
from greencoro.distributed.neighbours import Neighbours
from greencoro.distributed.operations_api import OperationsApi
from greencoro.distributed.peer_events import PeerEvent, PeerObservers
from greencoro.distributed.peer_status import StatusReports
from greencoro.distributed.peers import Peers
from greencoro.distributed.peers_api import PeersApi
from greencoro.distributed.places import take_place, told_of
from greencoro.distributed.reach import Reach
from greencoro.distributed.references_api import ReferencesApi
from greencoro.distributed.repeating import Repetitions
from greencoro.distributed.search import DEFAULT_PORT
from greencoro.distributed.services import Services
from greencoro.distributed.stream import Transport
from greencoro.distributed.tls import Tls
from greencoro.distributed.transfer import Transfers
from greencoro.distributed.transport import Tcp
from greencoro.distributed.watches import Watches
from greencoro.errors import ConfigError, WouldBlock
from greencoro.hub import exit as process_exit
from greencoro.hub import names, native, watchdog
from greencoro.hub.completion import Completion
from greencoro.hub.waiting import seconds

__all__ = ["DEFAULT_PORT", "PeerEvent", "Runtime", "current_runtime", "runtime"]

_log = logging.getLogger(__name__)


class Runtime(PeersApi, FilesApi, OperationsApi, ReferencesApi):
    """Starts network services for this process: it can be dialled, dials others, and coroutines find each other.

    The first one of a process is its default: coroutines are at home there unless they were started with `spawn`.

    Args:
        node (str | Sequence[str] | None): Host name or address to listen at; None takes that of the first interface
            that is up. Of several, of IPv4 and IPv6, all are listened at, and the first is what peers are told.

        udp_port (int | None): UDP port for discovery, shared by all runtimes that are to find each other; None or 0:
            51350.

        tcp_port (int): TCP port to listen at; 0 takes any free one.

        ext_ip_addr (str | None): Address of the gateway that forwards ``tcp_port`` to this machine: what peers are
            told in place of ``node``. Those on the networks of ``node`` itself find it there all the same.

        name (str | None): A name by which peers can `locate` this runtime, unlike those of all others; default: its
            location as text.

        discover_peers (bool | str): Find those on the networks of ``node``, and be found. If False, only those that are
            named become peers, and those who name this one. ``"schedulers"``: as True, but with none except those of
            the ``role`` of schedulers, however many others are there.

        peers: Who to connect to, now and until they answer: `Location`, ``"host:port"``, or a host, as in `peer`.

        secret (str | None): What all runtimes that talk to each other share. None: the secret of this user, from a file
            made on first use; ``""``: none, on loopback only unless ``insecure``.

        certfile, keyfile: PEM files of the certificate and its key (which may be in ``certfile`` too); every connection
            is TLS 1.3 then, with certificates on both sides.

        notifier (str | None): How the loops of this process wait: "epoll", "poll", "select" or "kqueue".

        dest_path, dest_path_prefix: Directory below which files of peers are saved; two names for one thing. None: one
            of this user's own, under the temporary directory.

        max_file_size (int | None): Bytes of the largest file that is taken; None or 0: no limit.

        max_dest_size (int | None): Bytes that all files of one peer may have here; None: half of the free disk.

        settings (Settings | None): Limits and clocks; None reads the environment. The ``max_blocked_seconds`` of a
            process are those of its default runtime.

        secret_key (bytes | None): The derived key itself, as a parent process hands it to its children.

        network (MemoryNetwork | None): Run over this network inside the process instead of TCP, without discovery.

        insecure (bool): Without a secret, listen at any address. Whoever reaches it can run code in this process.

        announce (bool): Where this is the default runtime, say at its start where it is: to the log, or on a terminal
            whose program set up no logging. In any runtime, say which of ``peers`` the first try did not reach.

        role (str): What it is for, as peers are told (`PeerInfo.role`): "node", "server", "scheduler", or nothing of
            these. For the layer that has such things.

        closed (bool): Peers find what is here (coroutines, channels, RCIs, names), and leave or remove files, only once
            they were given a reference to something here; whoever merely knows the secret does not. Other operations
            are open to them all the same.

        listen_on (Sequence[int]): Descriptors of listening TCP sockets, IPv4 or IPv6, in place of ``node`` and
            ``tcp_port``. They are duplicated, and do not block from then on, wherever else they are open.

        accepting (bool): Let peers in from the start; if False, with `accept`. They can connect before, and wait.

        serializer (str): How messages, results and arguments travel. ``"pickle"``: nearly all objects of Python, from
            peers that are trusted to run code here. ``"json"``: what JSON has, and references; nothing that comes is
            unpickled. Peers have the same one; node daemons and their clients have ``"pickle"``.

    Raises:
        ConfigError: A parameter that cannot work.

        OSError: The place to listen at cannot be had.
    """

    def __init__(
        self,
        node: str | Sequence[str] | None = None,
        udp_port: int | None = None,
        tcp_port: int = 0,
        ext_ip_addr: str | None = None,
        name: str | None = None,
        discover_peers: bool | str = True,
        peers: Location | str | Sequence[Location | str] = (),
        secret: str | None = None,
        certfile: str | os.PathLike[str] | None = None,
        keyfile: str | os.PathLike[str] | None = None,
        notifier: str | None = None,
        dest_path: str | os.PathLike[str] | None = None,
        dest_path_prefix: str | os.PathLike[str] | None = None,
        max_file_size: int | None = None,
        *,
        max_dest_size: int | None = None,
        settings: Settings | None = None,
        secret_key: bytes | None = None,
        network: MemoryNetwork | None = None,
        insecure: bool = False,
        announce: bool = True,
        role: str = "",
        closed: bool = False,
        listen_on: Sequence[int] = (),
        accepting: bool = True,
        serializer: str = "pickle",
    ) -> None:
        options.check_types(
            ext_ip_addr=ext_ip_addr,
            name=name,
            secret=secret,
            secret_key=secret_key,
            insecure=insecure,
            announce=announce,
            closed=closed,
            accepting=accepting,
            certfile=certfile,
            keyfile=keyfile,
            dest_path=dest_path,
            dest_path_prefix=dest_path_prefix,
            settings=settings,
            network=network,
        )
        #: What it is for, and whom it wants to meet.
        self.presence = options.as_presence(role, discover_peers)
        process_exit.prepare()
        self.settings = settings if settings is not None else Settings.from_env()
        #: How messages, results and arguments travel: ``"pickle"`` or ``"json"``.
        self.serializer = options.as_serializer(serializer)
        #: That itself.
        self.codec = CODECS[self.serializer]
        wanted = options.as_peers(peers)
        udp_port, tcp_port = options.as_udp_port(udp_port), options.as_tcp_port(tcp_port)
        dest_path = options.dest_path_of(dest_path, dest_path_prefix)
        shown = credentials.load(certfile, keyfile)
        self.secret = options.as_secret(secret, secret_key, self.settings)
        descriptors = options.as_descriptors(listen_on, node, tcp_port)
        loopback_only = self.secret.is_open and not insecure
        hosts = [] if descriptors else options.hosts_of(node, loopback_only)
        if network is None:
            hosts = options.addresses_of(hosts)
            if loopback_only:
                options.refuse_insecure(hosts, ext_ip_addr)
        options.use_notifier(notifier)
        identity = Identity(os.urandom(32))
        #: 16 bytes that tell this runtime from all others, earlier ones at the same place among them.
        self.incarnation = identity.incarnation
        self._finished = False
        self._finish_lock = native.Lock()
        self.max_mailbox_messages = self.settings.max_mailbox_messages
        self.send_timeout_seconds = self.settings.effective_send_timeout_seconds
        self.answer_timeout_seconds = self.settings.connect_timeout_seconds + self.settings.peer_timeout_seconds
        self.reactor = reactors.acquire(self.settings.log_lines_per_second)
        undo: list[Callable[[], object]] = [reactors.release]
        try:
            transport: Transport = Tcp(self.reactor) if network is None else network.transport(self.reactor)
            if shown is not None:
                transport = Tls(transport, shown)
            gateway = ext_ip_addr if network is None else None
            self._place = take_place(transport, hosts, tcp_port, descriptors, loopback_only, gateway)
            listeners = self._place.listeners
            undo[:0] = [listener.close for listener in listeners]
            #: Where this runtime can be dialled: first what peers are told, then what else it listens at.
            self.locations: Sequence[Location] = self._place.locations
            #: The first of them.
            self.location: Location = self.locations[0]
            self.name = name if name is not None else str(self.location)
            #: Does it take part in discovery, as far as its networks have a way for it?
            self.discovers = bool(discover_peers) and network is None
            window = self.settings.max_queue_messages, self.settings.max_queue_bytes
            hello = Hello(
                self.incarnation,
                self.location,
                self.name,
                platform.python_version(),
                __version__,
                *window,
                self.settings.max_message_bytes,
                self.presence,
                udp_port if self.discovers else 0,
                serializer=self.serializer,
            )
            dispatcher = Dispatcher()
            self.peer_table = Peers(
                self.reactor,
                transport,
                hello,
                identity,
                self.secret,
                self.settings,
                dispatcher,
                self._on_change,
                self.codec,
            )
            self._listening = Listening(self.reactor, transport, listeners, self.peer_table.incoming.let_in, accepting)
            #: Which peers reach what is here, by which key.
            key = os.urandom(16) if closed else b""
            self.reach = Reach(dispatcher, key, lambda link: self._locator.peer_came(link))
            self._calls = Calls(dispatcher, self.spawn, *window, self.send_timeout_seconds, self._warn)
            #: What peers have under way to mailboxes and channels.
            self.inflows = Inflows(*window)
            self._transfers = Transfers(self, dest_path, max_file_size, max_dest_size)
            undo[:0] = [self._transfers.close]
            #: The networks it can tell of itself on.
            self._ways = told_of(listeners, self.settings.multicast_group) if network is None else {}
            discovery = Discovery(self.incarnation, self.secret.discovery_key(), self.presence)
            self._neighbours = Neighbours(
                self.reactor,
                self.peer_table,
                self._calls,
                discovery,
                self.locations,
                self._ways if self.discovers else {},
                [listener.location.addr for listener in listeners],
                udp_port,
                self.settings.ping_interval_seconds,
            )
        except BaseException as error:
            for step in undo:
                step()
            if isinstance(error, ValueError) and not isinstance(error, ConfigError):
                raise ConfigError(str(error)) from None
            raise
        is_default = homes.claim_default(self)
        if is_default:
            # There is one for the process, as there is one default runtime.
            watchdog.configure(self.settings.max_blocked_seconds)
        #: What is registered by coroutines at home here.
        self.names = names.default if is_default else names.Names()
        self._observers = PeerObservers(self.reactor.guard)
        self._repetitions = Repetitions(self.reactor)
        self._status = StatusReports(self._observers)
        self._contacts = Contacts(self, self._neighbours, discovery, self._observers)
        find_for = self.reach.guard(self._find)
        self.watches = Watches(dispatcher, find_for)
        self._locator = Locator(dispatcher, self, self.names)
        self._delivery = Delivery(dispatcher, self._find, self.reach, self.inflows, self._warn)
        self.names.network = self._locator
        homes.plug_in()
        #: What peers are offered beside mailboxes.
        self.services = Services(self, dispatcher, self._calls, find_for, self._warn)
        self.serve_basics()
        process_exit.at_exit(0, self.finish)
        self.reactor.post(self._start, [location for location in wanted if not self.is_own(location)], announce)
        if network is None:
            arrival.tell_of(self, announce and is_default, node is None and not descriptors)

    def _start(self, wanted: list[Location], is_told: bool) -> None:
        self._listening.start()
        self._neighbours.start()
        for location in wanted:
            self._contacts.keep(location, self._neighbours.udp_port, is_told)

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

        Raises:
            TypeError, ValueError: ``timeout`` is no number of seconds.

            WouldBlock: Called by a callback of a hub, which may not wait; nothing is finished.
        """
        limit = seconds(timeout, "finish")
        if limit is None:
            raise TypeError(f"finish waits for so many seconds at most, a number, not {timeout!r}")
        with self._finish_lock:
            if self._finished:
                return
            if native.thread_hub() is getcurrent():
                raise WouldBlock("finish waits, which a callback of a hub may not: call it in a coroutine or a thread")
            self._finished = True
        # Whatever ends a wait from here on, as Ctrl-C, all that waits for nothing is done.
        closed, sent = Completion(), Completion()
        try:
            try:
                process_exit.cancel_at_exit(self.finish)
                self._locator.close()
                options.off_the_hub(lambda: self._transfers.close(limit))
            finally:
                self.reactor.post(self._close, sent)
            if not sent.wait(limit):
                _log.warning("finish: not all that was queued for peers could be sent within %g s", limit)
        finally:
            self.reactor.post(self.peer_table.abort)
            self.reactor.post(closed.set)
            try:
                closed.wait(limit)
            finally:
                homes.leave_default(self)
                if self.names.network is self._locator:
                    # Not that of a new default runtime, which has the same names.
                    self.names.network = None
                options.off_the_hub(lambda: reactors.release(limit))

    def _close(self, sent: Completion) -> None:
        self._repetitions.close()
        self._neighbours.close()
        self._contacts.close()
        self._listening.close()
        self.peer_table.close("it finished", sent.set)

    def _warn(self, logger: logging.Logger, line: str, *args: Any) -> None:
        """Log a warning, so many of one kind a second; any thread."""
        if self._finished and not self.reactor.is_current:
            # A message that came before may be read long after; nobody is left who could send more of them.
            logger.warning(line, *args)
            return
        self.reactor.post(self.reactor.log.log, logger, logging.WARNING, line, *args)

    def _on_change(self, link: Link, online: bool, reason: str, dropped: int) -> None:
        if online:
            self.reach.came(link)
            self._delivery.peer_came(link)
            self._locator.peer_came(link)
        else:
            self._locator.peer_left(link)
        self._contacts.on_change(link, online)
        self._observers.tell(PeerEvent(link.info, online, reason, dropped))


def runtime() -> Runtime:
    """The process's default runtime; started with default parameters where there is none."""
    found: Runtime = homes.default_or(Runtime)
    return found


def current_runtime() -> Runtime | None:
    """The process's default runtime; None where there is none, and none is made."""
    found: Runtime | None = homes.default()
    return found
