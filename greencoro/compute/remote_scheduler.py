"""A client's way to a scheduler in another process."""

from __future__ import annotations

import hmac
import weakref
from collections.abc import Callable
from typing import Any

from greencoro.compute import client_words as words
from greencoro.compute.ordered_posts import OrderedPosts
from greencoro.compute.pulse_clock import SILENT_PULSES, PulseClock
from greencoro.compute.unpickling import check_serializer
from greencoro.compute.words import Word
from greencoro.distributed import runtime as runtimes
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.repeating import Repetition
from greencoro.distributed.runtime import Runtime
from greencoro.errors import ComputeError, DeadlineExceeded, GreencoroError
from greencoro.hub import native, userhub

__all__ = ["SCHEDULER_NAME", "RemoteLink", "find_remote", "find_scheduler_peer"]

#: What the coroutine is called by which a scheduler that is a program of its own is found.
SCHEDULER_NAME = "discoro_scheduler"
#: Longest wait for why there are no servers, in seconds.
_WHY_SECONDS = 2.0
#: What a scheduler may tell before its answer to `client_words.Ask` is here.
_MAX_EARLY = 10_000

_NOTICES: tuple[type[words.Notice], ...] = (
    words.Queued,
    words.Begun,
    words.NodeOffered,
    words.NodeChanged,
    words.NodeFree,
    words.ServerStarted,
    words.ServerDraining,
    words.ServerGone,
    words.Ended,
)


class RemoteLink:
    """To a scheduler in another process, for one computation. A `SchedulerLink`.

    When the scheduler is lost, or was not heard for five pulse intervals, the last notice is an `Ended` that says so.
    """

    def __init__(self, runtime: Runtime, scheduler: PeerInfo) -> None:
        self._runtime = runtime
        self._scheduler = scheduler
        self._posts = OrderedPosts(runtime, scheduler, self._lose)
        self._token = ""
        self._listener: Callable[[words.Notice], None] | None = None
        #: None until the scheduler has answered, and once all is over.
        self._number: int | None = None
        #: What it told before its answer was here.
        self._early: list[words.Notice] = []
        self._heard = 0
        self._over = False
        self._position = 0
        # The reactor's, once the pulses have begun.
        self._clock = PulseClock[None](0.0, 0.0)
        self._repetition: Repetition | None = None
        self._ticks = 0

    @property
    def location(self) -> Location:
        """Where it is."""
        return self._scheduler.location

    @property
    def runtime(self) -> Runtime:
        """This process's."""
        return self._runtime

    def submit(self, ask: words.Ask, listener: Callable[[words.Notice], None], timeout: float) -> int:
        """See `SchedulerLink`."""
        self._token, self._listener = ask.token, listener
        ends = _ends_of(self._runtime)
        ends.add(self)
        try:
            answer = self._runtime.request(self._scheduler, ask.operation, ask.to_header(), timeout=timeout)
            number = words.Submitted.from_header(answer.header).computation
        except BaseException as error:
            ends.remove(self)
            if isinstance(error, DeadlineExceeded):
                # It may have come to be queued all the same. Where there is no room for this, its link is about to end.
                withdraw = words.Withdraw(self._token)
                self._runtime.post_nowait(self._scheduler, withdraw.operation, withdraw.to_header())
            raise
        userhub.post(self._begin, number, ask.pulse_interval)
        return number

    def tell(self, request: words.Request) -> None:
        """See `SchedulerLink`."""
        if not self._over:
            self._posts.put(request.operation, self._signed(request))

    def why_no_turn(self) -> str:
        """What a computation waits for, for people."""
        more = f" and {self._position} more" if self._position else ""
        return f"its turn at the scheduler at {self.location}: the one that has it{more} to be closed"

    def why_no_server(self) -> str:
        """See `SchedulerLink`; waits for the scheduler's answer for two seconds at most."""
        if self._number is None:
            return f"the scheduler at {self.location} has ended the computation"
        ask = words.AskWhy(self._number)
        try:
            answer = self._runtime.request(self._scheduler, ask.operation, self._signed(ask), timeout=_WHY_SECONDS)
            return words.Because.from_header(answer.header).reason
        except GreencoroError as error:
            return f"the scheduler at {self.location} does not say why: {error}"

    def _signed(self, word: Word) -> dict[str, Any]:
        return {**word.to_header(), **words.Credential(self._token).to_header()}

    def is_meant(self, scheduler: bytes, token: str) -> bool:
        """Does what that runtime says with that token concern this computation? Any thread."""
        return scheduler == self._scheduler.incarnation and hmac.compare_digest(self._token, token)

    # The user hub.

    def _begin(self, number: int, pulse_interval: float) -> None:
        self._number = number
        self._runtime.watch_peers(self._on_peer)
        early, self._early = self._early, []
        for notice in early:
            self.hear(notice)
        if self._runtime.last_heard(self._scheduler) is None:
            self._lose(f"{self._scheduler} is gone")  # before it was watched for
        elif pulse_interval and not self._over:
            self._clock = PulseClock(pulse_interval, native.monotonic())
            self._clock.watch(None, native.monotonic())
            self._repetition = self._runtime.every(pulse_interval / 2, self._tick)

    def hear(self, notice: words.Notice) -> None:
        """Take in what the scheduler told."""
        if self._over or self._listener is None:
            return
        if self._number is None:
            if len(self._early) < _MAX_EARLY:  # what is missing will be noticed
                self._early.append(notice)
            return
        if (notice.computation, notice.number) != (self._number, self._heard + 1):
            self._lose("some of its news did not arrive")
            return
        self._heard = notice.number
        if isinstance(notice, words.Queued):
            self._position = notice.position
        elif isinstance(notice, words.Ended):
            self._end()
        self._listener(notice)

    def _on_peer(self, event: Any) -> None:
        if not event.online and event.peer.incarnation == self._scheduler.incarnation:
            self._lose(event.reason)

    def _lose(self, reason: str) -> None:
        if self._over or self._number is None or self._listener is None:
            return
        number = self._number
        # Where it lives all the same, it is to know that nobody wants its servers any more.
        close = words.Close(number)
        self._runtime.post_nowait(self._scheduler, close.operation, self._signed(close))
        self._end()
        why = f"the scheduler at {self.location} was lost: {reason}"
        self._listener(words.Ended(number, self._heard + 1, why, lost=True))

    def _end(self) -> None:
        self._over = True
        self._number = None
        self._runtime.unwatch_peers(self._on_peer)
        if self._repetition is not None:
            self._repetition.stop()
        _ends_of(self._runtime).remove(self)

    # The reactor.

    def _tick(self) -> None:
        """Twice in a pulse interval: look at the clock, and every other time say that this client is alive."""
        number = self._number
        if number is None:
            return
        self._ticks += 1
        if self._ticks % 2:
            pulse = words.Pulse(number)
            self._runtime.post_nowait(self._scheduler, pulse.operation, self._signed(pulse))
        if self._clock.silent(native.monotonic()):
            userhub.post(self._lose, f"nothing was heard of it for {SILENT_PULSES} pulse intervals")

    def pulsed(self) -> None:
        """The scheduler has answered a pulse."""
        self._clock.heard(None, native.monotonic())


class _Ends:
    """The computations of one runtime that are at schedulers elsewhere, for what these tell."""

    def __init__(self, runtime: Runtime) -> None:
        self._links: tuple[RemoteLink, ...] = ()
        self._lock = native.Lock()
        for word in _NOTICES:
            runtime.handle(word.operation, self._taking(word))
        runtime.handle(words.Heard.operation, self._on_heard, on_reactor=True)

    def add(self, link: RemoteLink) -> None:
        with self._lock:
            self._links += (link,)

    def remove(self, link: RemoteLink) -> None:
        with self._lock:
            self._links = tuple(each for each in self._links if each is not link)

    def _meant(self, request: Any) -> RemoteLink | None:
        token = words.Credential.from_header(request.header).token
        found = (link for link in self._links if link.is_meant(request.peer.incarnation, token))
        return next(found, None)

    def _taking(self, word: type[words.Notice]) -> Callable[[Any], None]:
        def handle(request: Any) -> None:
            link = self._meant(request)
            if link is not None:
                link.hear(word.from_header(request.header))

        return handle

    def _on_heard(self, request: Any) -> None:
        link = self._meant(request)
        if link is not None:
            link.pulsed()


_ends: weakref.WeakKeyDictionary[Runtime, _Ends] = weakref.WeakKeyDictionary()
_ends_lock = native.Lock()


def _ends_of(runtime: Runtime) -> _Ends:
    with _ends_lock:
        found = _ends.get(runtime)
        if found is None:
            found = _ends[runtime] = _Ends(runtime)
        return found


def find_remote(location: Location | None, timeout: float) -> RemoteLink:
    """The way to the scheduler there, or to one that is found; the runtime is started where there is none.

    Raises:
        As `find_scheduler_peer`.
    """
    runtime = runtimes.runtime()
    otherwise = ", or make a Scheduler or a LocalCluster in this process"
    return RemoteLink(runtime, find_scheduler_peer(runtime, location, timeout, otherwise))


def find_scheduler_peer(runtime: Runtime, location: Location | None, timeout: float, otherwise: str = "") -> PeerInfo:
    """The scheduler there, or one that is found by its name.

    Args:
        location (Location | None): Where it is; None: at any peer.

        timeout (float): Longest wait for it, in seconds.

        otherwise (str): What the caller can do instead, for people.

    Raises:
        DeadlineExceeded: None has answered in time.

        ComputeError: It is no scheduler that is there.

        ValueError: The location has no port.

        NetworkError: It cannot be reached; the message says what was tried.

        ConfigError: The runtime has another serializer than pickle.
    """
    check_serializer(runtime.serializer)
    deadline = native.monotonic() + timeout
    if location is None:
        what = "a scheduler, which `greencoro scheduler` starts"
        found = runtime.find_registered(SCHEDULER_NAME, timeout, what)
        if found is None:
            raise DeadlineExceeded(
                f"no scheduler has been found within {timeout:g} s: start one with `greencoro scheduler`{otherwise}"
            )
        location = Location.of(found.location, "locate")
    elif not location.port:
        raise ValueError(f"a scheduler is reached at its port, which its first line tells, and {location} has none")
    left = max(0.0, deadline - native.monotonic())
    scheduler = runtime.connect_to(location, left, "a scheduler (`greencoro scheduler` starts one) at")
    if scheduler.role != "scheduler":
        raise ComputeError(f"{scheduler} is no scheduler: `greencoro scheduler` starts one")
    return scheduler
