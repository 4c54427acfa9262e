"""What each server has been sent of a computation's code, so that nothing is sent to it twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

from greencoro import compute
from greencoro.compute.big_parts import check_size, largest_whole, send_in_pieces
from greencoro.compute.job import JobFunction, plain
from greencoro.compute.job_words import Free, IsAssigned, Purpose, SetUp
from greencoro.compute.packaging import Packager
from greencoro.compute.packed import CodePackager, Shipment
from greencoro.compute.parts import DataFile, Package, Part, digest_of
from greencoro.compute.posting import post
from greencoro.compute.scattered import Scattered
from greencoro.distributed.fields import Header, NumberedHeader
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import PackagingError
from greencoro.hub import forks
from greencoro.hub.sync import Lock

__all__ = ["Prepared", "Shipping"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: For one server. Lambdas given as jobs may be any number.
_MAX_HEADERS = 1024


class Prepared(NamedTuple):
    """A call, ready to be sent to any server.

    Attributes:
        function: What is called.

        name (str): Its name.

        shipment (Shipment): Which callable it is.

        packages (tuple): What has to be installed before, in this order.

        arguments (bytes): A snapshot of them.

        args, kwargs: The arguments themselves.

        retries (int), time_limit (float | None): As those of `Job`.

        scattered (tuple): What has to be at the server before, of what is scattered.

        size (int): Bytes of its own: of the snapshot, and of a function that has no name.

        is_generator (bool): Is what the function returns to be run as a generator?
    """

    function: Callable[..., Any]
    name: str
    shipment: Shipment
    packages: tuple[Package, ...]
    arguments: bytes
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    retries: int = 0
    time_limit: float | None = None
    scattered: tuple[Scattered, ...] = ()
    size: int = 0
    is_generator: bool = False

    def spent(self) -> Prepared:
        """What is left when nothing will be sent any more; what it holds may be large."""
        return self._replace(function=_spent, packages=(), arguments=b"", args=(), kwargs={}, scattered=())


def _spent() -> None:
    """In place of the function of a call that is over."""


class _Sent:
    """What one server has, or is being sent.

    Attributes:
        runtime, server, token: The way there.

        headers (dict): Of requests for jobs that have all but their number in common; of their packages that server has
            been sent all.

        pieces: Held by who sends it something in pieces: one content at a time.

        lock: Keeps packages in the order in which jobs rely on them. Who holds it may wait for room on the way to the
            server: so it is one that coroutines wait for without holding up their hub.

        packages, parts, scattered (set[str]): Digests.
    """

    __slots__ = ("headers", "lock", "packages", "parts", "pieces", "runtime", "scattered", "server", "token")

    def __init__(self, runtime: Runtime, server: PeerInfo, token: str) -> None:
        self.runtime = runtime
        self.server = server
        self.token = token
        self.headers: dict[Hashable, NumberedHeader] = {}
        self.pieces = Lock()
        self.lock = Lock()
        self.packages: set[str] = set()
        self.parts: set[str] = set()
        self.scattered: set[str] = set()


class Shipping:
    """The code of one computation on its way to servers.

    Args:
        components: See `Computation`.

        timeout (float | None): Longest wait until a server has taken a piece of something large, in seconds; None:
            `greencoro.compute.MsgTimeout`.

        packager: What packs it; None: a `Packager`.

    Raises:
        PackagingError: One of them cannot be shipped.
    """

    def __init__(
        self, components: Sequence[Any], timeout: float | None = None, packager: CodePackager | None = None
    ) -> None:
        self._timeout = compute.MsgTimeout if timeout is None else timeout
        self._packager = Packager() if packager is None else packager
        self._components = self._packager.components(components)
        for part in self._components.parts:
            check_size(repr(part), len(part.content or b""))
        #: By digest.
        self._scattered: dict[str, Scattered] = {}
        #: By incarnation.
        self._sent: dict[bytes, _Sent] = {}

    def check(self, function: JobFunction) -> None:
        """Find out whether a function, or that of a `Job`, can be shipped.

        Raises:
            PackagingError: It cannot.
        """
        forks.refuse()
        self._packager.pack(plain(function).function)

    def prepare(self, function: JobFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared:
        """Make a call ready; ``function`` may be a `Job`.

        Raises:
            PackagingError: The function, or an argument, cannot be shipped.

            TypeError: The function does not take these arguments.
        """
        forks.refuse()
        job = plain(function)
        name, shipment, arguments, is_generator = self._packager.call(job.function, args, kwargs)
        check_size(f"the arguments of {name} (see Computation.scatter)", len(arguments.data))
        for scattered in arguments.scattered:
            if scattered.owner is not self:
                raise PackagingError(f"an argument of {name}: {scattered!r} belongs to another computation")
            scattered.checked()
        return Prepared(
            job.function,
            name,
            shipment,
            shipment.packages if not arguments.package else (*shipment.packages, arguments.package),
            arguments.data,
            args,
            kwargs,
            job.retries,
            job.time_limit,
            arguments.scattered,
            len(arguments.data) + shipment.own_size,
            is_generator,
        )

    def set_up(self, runtime: Runtime, server: PeerInfo, asked: SetUp, timeout: float) -> None:
        """Install the components at a server.

        Raises:
            GreencoroError: It does not answer, does not serve this computation, or could not install them.
        """
        # First: what comes to a server before its node has told it whom it serves is not kept there.
        runtime.request(server, IsAssigned.operation, IsAssigned(asked.token).to_header(), timeout=timeout)
        digests = self.send(runtime, server, asked.token, (self._components,) if self._components else ())
        runtime.request(server, asked.operation, {**asked.to_header(), "packages": digests}, timeout=timeout)
        self.send_all_scattered(runtime, server, asked.token)

    def send(self, runtime: Runtime, server: PeerInfo, token: str, packages: Sequence[Package]) -> list[str]:
        """Send what the server lacks of the packages, before anything that is sent to it later.

        Returns:
            list: Their digests, by which requests refer to them.

        Raises:
            PackagingError: A part is larger than a server takes.

            DeadlineExceeded: A piece of a large part was not taken in time.

            PeerLost, BusyResource: As `posting.post`.
        """
        digests = [package.digest for package in packages]
        sent = self._sent_to(runtime, server, token)
        if not sent.packages.issuperset(digests):
            for package in packages:
                # Without the lock, as that takes long; it is at the server when this has returned.
                self._send_large_parts(package, sent)
            with sent.lock:
                for package in packages:
                    if package.digest not in sent.packages:
                        self._send(package, sent)
        return digests

    def _sent_to(self, runtime: Runtime, server: PeerInfo, token: str) -> _Sent:
        sent = self._sent.get(server.incarnation)
        if sent is None:
            sent = self._sent.setdefault(server.incarnation, _Sent(runtime, server, token))
        return sent

    def _send_large_parts(self, package: Package, sent: _Sent) -> None:
        largest = largest_whole(sent.runtime)
        for part in package.parts:
            content = part.content
            if content is None or len(content) <= largest or part.digest in sent.parts:
                continue
            what = f"{part.kind} {part.path if isinstance(part, DataFile) else part.name}"
            check_size(what, len(content))
            with sent.pieces:
                if part.digest not in sent.parts:
                    self._send_in_pieces(sent, content, Purpose.PACKAGE, what, part.digest)
                    sent.parts.add(part.digest)

    def _send(self, package: Package, sent: _Sent) -> None:
        largest = largest_whole(sent.runtime)
        while (lacking := package.without(sent.parts)).size > largest:
            # Never to be installed: its contents are kept for the one that is.
            some = _beginning(lacking, largest)
            self._post(some, sent)
            sent.parts |= some.digests()
        self._post(lacking, sent)
        sent.parts |= package.digests()
        # Last: from here on others send jobs that rely on it, without the lock.
        sent.packages.add(package.digest)

    def _post(self, package: Package, sent: _Sent) -> None:
        header, contents = package.to_wire()
        post(sent.runtime, sent.server, "server.package", {"token": sent.token, "package": header}, contents)

    def _send_in_pieces(
        self, sent: _Sent, content: bytes, purpose: Purpose, what: str, digest: str = "", watch: int = 0
    ) -> None:
        send_in_pieces(
            sent.runtime,
            sent.server,
            sent.token,
            content,
            purpose,
            what,
            self._timeout,
            digest=digest,
            watch=watch,
        )

    def send_call(
        self,
        runtime: Runtime,
        server: PeerInfo,
        token: str,
        call: Prepared,
        lane: str | None,
        watch: int,
        send: Callable[[Header, list[bytes]], T],
    ) -> T:
        """Have a server asked to run a call, behind what that relies on.

        Args:
            lane (str | None): Of those with the same one, the server runs one after another.

            watch (int): The number under which its end is told.

            send: Sends the request, given its header and parts.

        Returns:
            What ``send`` does.

        Raises:
            DeadlineExceeded, PeerLost, BusyResource, PackagingError: As `send` and `send_scattered`.
        """
        sent = self._sent_to(runtime, server, token)
        if call.scattered:
            self.send_scattered(runtime, server, token, call.scattered)
        header = self._header(sent, call, lane)
        if len(call.arguments) <= largest_whole(runtime):
            return send(header.numbered(watch), [call.arguments])
        # Until the request is under way: the server keeps those of one job.
        with sent.pieces:
            self._send_in_pieces(sent, call.arguments, Purpose.ARGUMENTS, f"the arguments of {call.name}", watch=watch)
            return send({**header.header, "watch": watch, "apart": True}, [])

    def _header(self, sent: _Sent, call: Prepared, lane: str | None) -> NumberedHeader:
        """Of a request to run a call, but for its number; when this returns, the server has its packages."""
        entry = call.shipment.entry
        # Of packages their digests: what is packed anew for each job is not to be kept for the sake of a header.
        digests = [package.digest for package in call.packages]
        key = entry.module, entry.name, entry.digest, call.name, lane, call.time_limit, *digests
        known = sent.headers.get(key)
        if known is None:
            header: dict[str, Any] = {
                "token": sent.token,
                "packages": self.send(sent.runtime, sent.server, sent.token, call.packages),
                "entry": entry.to_wire(),
                "name": call.name,
            }
            if lane is not None:
                header["lane"] = lane
            if call.is_generator:
                header["generator"] = True
            if call.time_limit is not None:
                header["time_limit"] = call.time_limit
            known = NumberedHeader(header, "watch")
            if len(sent.headers) >= _MAX_HEADERS:
                sent.headers.clear()
            sent.headers[key] = known
        return known

    # What is scattered.

    def scatter(self, thing: Any) -> Scattered:
        """Make an object ready to be sent to every server, as it is now.

        Raises:
            PackagingError: It cannot be shipped.
        """
        forks.refuse()
        pickled = self._packager.arguments((thing,), {}, "scatter")
        if pickled.scattered:
            raise PackagingError(f"scatter: holds {pickled.scattered[0]!r}; pass each as an argument of the job")
        check_size("scatter", len(pickled.data))
        digest = digest_of(pickled.data)
        kind = type(thing).__name__
        needs = pickled.needs._replace(data=b"")  # which is to be forgotten when it is freed
        made = Scattered(self, kind, digest, pickled.data, needs, self._free)
        return self._scattered.setdefault(digest, made)

    def send_scattered(self, runtime: Runtime, server: PeerInfo, token: str, wanted: Sequence[Scattered]) -> None:
        """Send what the server lacks of those; when this returns, it has them.

        Raises:
            PackagingError: One is freed.

            DeadlineExceeded, PeerLost, BusyResource: As `send`.
        """
        sent = self._sent_to(runtime, server, token)
        for scattered in wanted:
            if scattered.digest in sent.scattered:
                continue
            with sent.pieces:
                content = scattered.checked()
                if scattered.digest not in sent.scattered:
                    self._send_in_pieces(sent, content, Purpose.SCATTERED, repr(scattered), scattered.digest)
                    sent.scattered.add(scattered.digest)
            if scattered.content is None:
                # Meanwhile; whoever freed it may not have known that it was to be here.
                self._free_at(sent, scattered.digest)

    def send_all_scattered(self, runtime: Runtime, server: PeerInfo, token: str) -> None:
        """As `send_scattered`, with all that there is."""
        for scattered in list(self._scattered.values()):
            try:
                self.send_scattered(runtime, server, token, [scattered])
            except PackagingError:
                continue  # freed meanwhile

    def _free(self, scattered: Scattered) -> None:
        self._scattered.pop(scattered.digest, None)
        for sent in list(self._sent.values()):
            if scattered.digest in sent.scattered:
                self._free_at(sent, scattered.digest)

    def _free_at(self, sent: _Sent, digest: str) -> None:
        sent.scattered.discard(digest)
        if not sent.runtime.post_nowait(sent.server, Free.operation, Free(sent.token, digest).to_header()):
            _log.info("%s may keep what was scattered as %s to its end", sent.server, digest[:8])

    def free_all(self) -> None:
        """The computation is over."""
        self._sent.clear()
        for scattered in list(self._scattered.values()):
            scattered.free()

    def forget(self, incarnation: bytes) -> None:
        """A server is gone, so nothing is sent to it any more."""
        self._sent.pop(incarnation, None)


def _beginning(package: Package, size: int) -> Package:
    """Its first parts that have contents, of at most so many bytes together."""
    some: list[Part] = []
    for part in package.parts:
        if part.content is not None:
            size -= len(part.content)
            if size < 0:
                break
            some.append(part)
    return Package(some, package.python)
