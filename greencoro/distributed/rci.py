"""RCI: functions that peers may start as coroutines here.

A call is never repeated: it asks once, and waits until the other process says which coroutine it started (or why none),
or is lost. So a call starts one coroutine or none, and only the loss leaves open which; the exception says so.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from greencoro.distributed import refs
from greencoro.distributed.calls import Request
from greencoro.distributed.elsewhere import Elsewhere, Home, may_wait
from greencoro.distributed.link import Link
from greencoro.distributed.outcomes import Watch
from greencoro.distributed.per_peer import PerPeer, Tally
from greencoro.distributed.refs import Reference
from greencoro.distributed.watches import Watches
from greencoro.errors import BrokenResource, BusyResource, PeerLost, RemoteError, RemoteProtocolError, WouldBlock
from greencoro.hub import exit as process_exit
from greencoro.hub import names, userhub
from greencoro.hub.binding import name_of
from greencoro.hub.coroutine import Coro, current_home

__all__ = ["CALL", "RCI", "RciServer", "RemoteRCI", "find", "plug_in"]

CALL = "greencoro.rci.call"

_NONE_STARTED = "no coroutine was started"
_MAY_RUN = "a coroutine may run there"

_ids = itertools.count(1)
# Those of this process.
_live: WeakValueDictionary[int, RCI] = WeakValueDictionary()
# (RCI) -> what `pickle` makes of one of this process, and its location.
_reduce: Callable[[Any], tuple[Any, ...]] | None = None
_locate_home: Callable[[Any], Any] | None = None


def plug_in(reduce: Callable[[Any], tuple[Any, ...]] | None, location: Callable[[Any], Any] | None) -> None:
    """Let the runtime say how an RCI of this process travels, and where it is."""
    global _reduce, _locate_home
    _reduce, _locate_home = reduce, location


def find(rci_id: int) -> RCI | None:
    """The RCI of this process with this id, if it is registered."""
    rci = _live.get(rci_id)
    return rci if rci is not None and rci.is_registered() else None


class RCI:
    """A function that peers may start as a coroutine here, once it is registered.

    They find it with `locate`; calling what that returns starts the coroutine: ``rcoro = rci(*args, **kwargs)``. What
    may be done with one that was registered here is the same.

    Args:
        method: A function or generator function, as for `Coro`.

        name (str | None): What it is registered as; default: the function's name.

    Raises:
        TypeError: ``method`` is no function that can be a coroutine (a class is none), or ``name`` is no text.

        ValueError: ``name`` is empty.
    """

    #: What a call starts.
    coro_class: ClassVar[type[Coro]] = Coro

    def __init__(self, method: Callable[..., Any], name: str | None = None) -> None:
        if not callable(method) or isinstance(method, type) or _is_async(method):
            raise TypeError(f"RCI() takes a plain function or a generator function, not {method!r}")
        self._home = current_home()
        self.method = method
        #: What it is registered as.
        self.name = names.checked(name_of(method) if name is None else name)
        #: A number unique in this process's life.
        self.id = next(_ids)
        _live[self.id] = self

    def register(self) -> int:
        """Let peers find and call it.

        Returns:
            int: 0; -1 where its name is another RCI's here.
        """
        if not userhub.is_started():
            # A call needs it, and comes on the reactor, which must not wait for its start.
            process_exit.start()
        return 0 if self._names().register("rci", self.name, self) else -1

    def unregister(self) -> int:
        """Undo `register`: calls are refused from now on, coroutines that were started go on; -1 where it is not."""
        return 0 if self._names().unregister("rci", self.name, self) else -1

    def is_registered(self) -> bool:
        """May peers call it?"""
        return id(self) in self._names().of

    @staticmethod
    def locate(name: str, location: Any = None, timeout: float | None = None) -> RCI | None:
        """Find the RCI registered as ``name``: here first, then at the peers, waiting for it to appear.

        Args:
            location (Location | None): Ask only there.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Returns:
            RCI | None: A reference; None where there was none in time.

        Raises:
            TypeError, ValueError: ``name`` is no text, or empty.

            RuntimeError: A location was given, and this process has no Runtime to ask there.
        """
        found: RCI | None = names.find("rci", name, location, timeout, current_home())
        return found

    def __call__(self, /, *args: Any, **kwargs: Any) -> Coro:
        """Start the coroutine.

        Returns:
            Coro: A reference to it. Its result is kept, so ``rci(...).value()`` gets it also where it is over by then.

        Raises:
            TypeError: The function does not take these arguments; no coroutine was started.

            BrokenResource: It is not registered (any more); no coroutine was started.

            BusyResource: So many coroutines that this process started run there already, or with so large arguments;
                no coroutine was started.

            RemoteError: The arguments cannot be decoded there; no coroutine was started.

            PeerLost: Its process is lost; the message says whether a coroutine may have been started.

            RemoteProtocolError: Its process answers what is no answer; a coroutine may have been started.

            WouldBlock: Called in a hub's callback or on an asyncio loop, where nothing may wait.

            Exception: What pickling ``(args, kwargs)`` raises, or why those are no JSON; no coroutine was started.
        """
        if self._home is None:
            return self.coro_class(self.method, *args, **kwargs)
        return self.coro_class.at_home(self._home, self.method, args, kwargs)

    def _names(self) -> names.Names:
        return names.default if self._home is None else self._home.names

    @property
    def home(self) -> Any:
        """The runtime in which it is at home; None stands for the process's default one."""
        return self._home

    def is_local(self) -> bool:
        """Is it one of this process, no reference to one elsewhere?"""
        return True

    @property
    def location(self) -> Any:
        """The `Location` of its process; None where that has no runtime."""
        return _locate_home(self) if _locate_home is not None else None

    def __reduce__(self) -> tuple[Any, ...]:
        if _reduce is None:
            raise TypeError(f"{self!r} cannot travel: this process has no Runtime, so nothing could refer to it")
        return _reduce(self)

    def __repr__(self) -> str:
        location = self.location
        return f"RCI {self.name}/{self.id}" if location is None else f"RCI {self.name}/{self.id}@{location}"


class RemoteRCI(Elsewhere, RCI):
    """A reference to an RCI of another process; two are equal where they mean the same one."""

    def __init__(self, runtime: Home, reference: Reference) -> None:
        self.name = self._refer(runtime, reference)
        #: The number that it has in its own process.
        self.id = refs.kind_of(reference.id)[1]
        self._home = None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Coro:
        if not may_wait():
            raise WouldBlock(f"{self!r} cannot be called where nothing may wait; {_NONE_STARTED}")
        link = self.reach_anew()
        if link is None:
            raise PeerLost(f"{self!r} cannot be called, its process is lost; {_NONE_STARTED}")
        arguments = b"".join(self.codec.dumps((args, kwargs), b""))
        outcome = Watch()
        place = self._reference._replace(id=0)
        watches = self._runtime.watches
        watch = watches.open(link, outcome.hear)
        started = None
        try:
            header = {"rci": self._reference.id, "watch": watch}
            reply = self._runtime.services.calls.request(link, CALL, header, [arguments], None).header
            if "refused" in reply:
                raise TypeError(f"{reply['refused']}; {_NONE_STARTED}")
            coro = reply.get("coro")
            if type(coro) is not int or not 0 < coro < 1 << 60:
                raise RemoteProtocolError(f"{self!r} answered without saying which coroutine it started; {_MAY_RUN}")
            started = coro
        except PeerLost as error:
            raise PeerLost(f"{self!r} was lost before it answered; {_MAY_RUN}: {error}") from None
        finally:
            if started is None:
                watches.close(link, watch)
        name = str(reply.get("name", self.name))[: refs.MAX_NAME_CHARACTERS]
        classes = self._runtime.reference_classes
        there: Coro = classes.coro(self._runtime, place._replace(id=started, name=name), outcome)
        return there

    def register(self) -> int:
        """It is registered in its own process: -1."""
        return -1

    def unregister(self) -> int:
        """It is registered in its own process: -1."""
        return -1

    def is_registered(self) -> bool:
        """Is its process not known to be lost? Only that knows for sure."""
        return self.reach_anew() is not None


class RciServer:
    """Starts what peers call.

    Args:
        find: The registered RCI that a peer names by its number, if it is at home in this runtime and the peer is let
            in.

        max_running, max_bytes: Coroutines that a peer started here and that are not over, and the arguments they were
            started with.
    """

    def __init__(
        self,
        find: Callable[[Link, Any], RCI | None],
        watches: Watches,
        max_running: int,
        max_bytes: int,
    ) -> None:
        self._find = find
        self._watches = watches
        # What runs holds the tally that counts it: those of an incarnation count over all its links.
        self._running = PerPeer(lambda: Tally(max_running, max_bytes))

    def serve(self, request: Request) -> None:
        """A peer calls an RCI; in a coroutine of its own, for unpickling the arguments runs their own code."""
        link, watch = request.link, request.header.get("watch")
        rci = self._find(link, request.header.get("rci"))
        if rci is None:
            raise BrokenResource(f"what was called is not registered (any more); {_NONE_STARTED}")
        if type(watch) is not int or not 0 <= watch < 1 << 64:
            raise RemoteProtocolError(f"a call with wrong fields; {_NONE_STARTED}")
        if ("watched", watch) in link.on_lost or len(request.parts) != 1:
            raise RemoteProtocolError(f"a call with wrong fields; {_NONE_STARTED}")
        size = len(request.parts[0])
        running = self._running.of(link.info.incarnation)
        # Before the arguments are opened, which may take a while: others come meanwhile.
        if not running.enter(size):
            already = f"{running.items} coroutines, with {running.size} bytes of arguments,"
            raise BusyResource(f"{already} of {link.info} run here already; {_NONE_STARTED}")
        try:
            coro = self._started(rci, request)
        except BaseException:
            running.leave(size)
            raise
        if coro is None or not coro.add_observer(lambda ended: running.leave(size)):
            running.leave(size)
        if coro is not None:
            request.reply({"coro": coro.id, "name": coro.name})
            self._watches.serve(link, watch, coro)

    def _started(self, rci: RCI, request: Request) -> Coro | None:
        arguments, why = request.link.codec.opened(request.parts[0])
        if why is None and not _are_arguments(arguments):
            why = "they are none"
        if why is not None:
            raise RemoteError(f"the arguments cannot be decoded ({why}); {_NONE_STARTED}")
        args, kwargs = arguments
        try:
            # What serves a request is at home in this runtime, so what it starts is.
            return rci(*args, **kwargs)
        except TypeError as error:
            request.reply({"refused": str(error)})
            return None


def _are_arguments(value: Any) -> bool:
    """Are these ``(args, kwargs)``? JSON has lists for tuples."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return isinstance(value[0], tuple | list) and isinstance(value[1], dict)


def _is_async(method: Any) -> bool:
    functions = method, type(method).__call__
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in functions)
