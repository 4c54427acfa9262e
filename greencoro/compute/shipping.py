"""What each server has been sent of a computation's code, so that nothing is sent to it twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from greencoro.compute.job import JobFunction, plain
from greencoro.compute.job_words import SetUp
from greencoro.compute.packaging import Packager
from greencoro.compute.parts import Package
from greencoro.compute.posting import post
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import PackagingError
from greencoro.hub.binding import bind, is_generator_function, name_of
from greencoro.hub.sync import Lock

__all__ = ["Prepared", "Shipping"]


class Prepared(NamedTuple):
    """A call, ready to be sent to any server.

    Attributes:
        function: What is called.

        name (str): Its name.

        entry (list): Which callable it is, as `parts.Entry` travels.

        packages (tuple): What has to be installed before, in this order.

        arguments (bytes): A snapshot of them.

        args, kwargs: The arguments themselves.

        retries (int), time_limit (float | None): As those of `Job`.
    """

    function: Callable[..., Any]
    name: str
    entry: list[str]
    packages: tuple[Package, ...]
    arguments: bytes
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    retries: int = 0
    time_limit: float | None = None


class _Sent:
    """What one server has, or is being sent.

    Attributes:
        lock: Keeps packages in the order in which jobs rely on them. Who holds it may wait for room on the way to the
            server: so it is one that coroutines wait for without holding up their hub.

        packages, parts (set[str]): Digests.
    """

    __slots__ = ("lock", "packages", "parts")

    def __init__(self) -> None:
        self.lock = Lock()
        self.packages: set[str] = set()
        self.parts: set[str] = set()


class Shipping:
    """The code of one computation on its way to servers.

    Args:
        components: See `Computation`.

    Raises:
        PackagingError: One of them cannot be shipped.
    """

    def __init__(self, components: Sequence[Any]) -> None:
        self._packager = Packager()
        self._components = self._packager.components(components)
        #: By incarnation.
        self._sent: dict[bytes, _Sent] = {}

    def check(self, function: JobFunction) -> None:
        """Find out whether a function, or that of a `Job`, can be shipped.

        Raises:
            PackagingError: It cannot.
        """
        self._packager.pack(plain(function).function)

    def prepare(self, function: JobFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared:
        """Make a call ready; ``function`` may be a `Job`.

        Raises:
            PackagingError: The function, or an argument, cannot be shipped.

            TypeError: The function does not take these arguments.
        """
        job = plain(function)
        function = job.function
        if is_generator_function(function):
            raise TypeError(
                f"{name_of(function)} is a generator function; write a job as a plain function, without yield: "
                "receive(), sleep() and the rest wait by themselves"
            )
        shipment = self._packager.pack(function)
        bind(function, args, kwargs)
        arguments = self._packager.arguments(args, kwargs)
        packages = tuple(package for package in (shipment.package, arguments.package) if package)
        entry, name = shipment.entry.to_wire(), name_of(function)
        return Prepared(function, name, entry, packages, arguments.data, args, kwargs, job.retries, job.time_limit)

    def set_up(self, runtime: Runtime, server: PeerInfo, asked: SetUp, timeout: float) -> None:
        """Install the components at a server.

        Raises:
            GreencoroError: It does not answer, does not serve this computation, or could not install them.
        """
        digests = self.send(runtime, server, asked.token, (self._components,) if self._components else ())
        runtime.request(server, asked.operation, {**asked.to_header(), "packages": digests}, timeout=timeout)

    def send(self, runtime: Runtime, server: PeerInfo, token: str, packages: Sequence[Package]) -> list[str]:
        """Send what the server lacks of the packages, before anything that is sent to it later.

        Returns:
            list: Their digests, by which requests refer to them.

        Raises:
            PackagingError: One is larger than a message may be.

            PeerLost, BusyResource: As `posting.post`.
        """
        digests = [package.digest for package in packages]
        sent = self._sent.get(server.incarnation)
        if sent is None:
            sent = self._sent.setdefault(server.incarnation, _Sent())
        if not sent.packages.issuperset(digests):
            with sent.lock:
                for package in packages:
                    if package.digest not in sent.packages:
                        self._send(runtime, server, token, package, sent)
        return digests

    def _send(self, runtime: Runtime, server: PeerInfo, token: str, package: Package, sent: _Sent) -> None:
        lacking = package.without(sent.parts)
        limit = runtime.settings.max_message_bytes
        if lacking.size > limit * 0.9:  # the rest is for the list of the parts
            raise PackagingError(f"{package!r} is too large for one message: max_message_bytes is {limit}")
        header, contents = lacking.to_wire()
        post(runtime, server, "server.package", {"token": token, "package": header}, contents)
        sent.parts |= package.digests()
        # Last: from here on others send jobs that rely on it, without the lock.
        sent.packages.add(package.digest)

    def forget(self, incarnation: bytes) -> None:
        """A server is gone, so nothing is sent to it any more."""
        self._sent.pop(incarnation, None)
