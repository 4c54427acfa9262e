"""The user hub: the one gevent hub on which every coroutine of the process runs.

In a program it turns in a native thread of its own, so that the main thread may sit in ``input()``; in a compute server
it is adopted by the main thread (`adopt`), so that a signal can reach a coroutine that computes.

Two ways lead to it. `ready` puts a greenlet into the *ready queue*; only the hub's own thread may call it. `post` is
the *doorway* for every other thread: append first, then tell the hub unless it was told already; the drain clears that
flag before it pops, so nothing stays behind, and takes at most what it found, so a busy neighbour cannot hold it.

A greenlet that blocks (`park`) takes the next one from the ready queue and switches straight to it, which saves the way
through the hub. Two limits keep sockets and timers from waiting for their turn: after `_DIRECT_SWITCHES` of these in a
row a greenlet does go back to the hub, and the hub, after `_TURN` of the interpreter's switch intervals, looks at
sockets and timers before it goes on with the ready queue.

A hub that was stopped is not started again: its greenlets, coroutines half done among them, belong to a thread that is
gone.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from greenlet import getcurrent

from greencoro._preload import preload
from greencoro.errors import WouldBlock
from greencoro.hub import forks, native

__all__ = [
    "Wait",
    "abandon",
    "adopt",
    "backend",
    "call_later",
    "call_soon",
    "has_waited",
    "in_hub_callback",
    "is_started",
    "leave",
    "next_ready",
    "on_hub",
    "park",
    "post",
    "ready",
    "ready_first",
    "run_adopted",
    "start",
    "stop",
    "switch_to_hub",
    "unready",
    "watch",
]

# Measured: 20 already gives nearly the whole gain.
_DIRECT_SWITCHES = 50
# How long the ready queue may run before sockets and timers come, in switch intervals (`sys.getswitchinterval`, 5 ms).
# More than one: a turn of the loop releases the interpreter lock for an instant, too short for another thread to take
# it, and that thread begins to count its interval anew. Measured with a turn of 0.4: other threads got the lock after
# up to 8 s; with 1.5 after 5 ms.
_TURN = 1.5

#: Identity of the hub's thread; 0 while there is no hub.
ident = 0

# Re-entrant for a signal handler that makes a coroutine while the first one is being made.
_start_lock = native.RLock()
_starting = False
_thread: native.Thread | None = None
_over = ""  # why no hub can be started any more; empty while one can
_hub: Any = None
_loop: Any = None
_stopping: Any = None  # gevent.event.Event of the hub's thread

#: [True] where the greenlet that runs has waited since [False] was put here. A list, for to store in one takes a fifth
#: of the time that an attribute of a module takes.
has_waited = [False]

_ready: deque[Any] = deque()
_scheduled = False
# How many direct switches are left. A list, as `has_waited`.
_direct = [_DIRECT_SWITCHES]
_pause: Any = None  # the timer that lets the loop turn between two runs of the ready queue

#: What was the parent's, in a process that was forked.
_parents: list[Any] = []

_posted: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
_told = False
_async: Any = None


def is_started() -> bool:
    return ident != 0


def backend() -> str | None:
    """How the hub's loop waits ("epoll", ...); None where none turns."""
    return str(_loop.backend) if is_started() else None


def on_hub() -> bool:
    """Is this the thread of the user hub?"""
    return native.get_ident() == ident


def start() -> None:
    """Start the hub's thread; where it runs already, nothing. Any thread may call it.

    Raises:
        RuntimeError: The process is ending, or was forked from one with a hub.
    """
    global _thread, _starting
    if ident:
        return
    with _start_lock:
        if ident or _starting:
            # What is posted meanwhile comes to run once the hub turns.
            return
        _refuse_if_over()
        _starting = True
        try:
            _thread = _start_thread()
        finally:
            _starting = False


def _start_thread() -> native.Thread:
    preload()
    running = native.Event()
    failure: list[BaseException] = []
    thread = native.Thread(lambda: _turn(running, failure), "greencoro-user-hub")
    thread.start()
    running.wait()
    if failure:
        raise failure[0]
    return thread


def adopt() -> None:
    """Make the calling thread the hub's thread; it then turns in `run_adopted`.

    Raises:
        RuntimeError: The hub runs already, or can run no more.
    """
    with _start_lock:
        if ident:
            raise RuntimeError("the user hub runs already; adopt() must come before the first coroutine")
        _refuse_if_over()
        preload()
        _set_up()


def run_adopted() -> None:
    """Turn the adopted hub until `stop`; only the thread that called `adopt`."""
    try:
        _stopping.wait()
    finally:
        _tear_down()


def stop(timeout: float | None = None) -> bool:
    """Stop the hub for good and wait for its thread; what is still parked on it never goes on.

    Returns:
        bool: False where the hub did not stop within ``timeout`` seconds (a coroutine keeps it from turning).
    """
    if not ident:
        return True
    thread = _thread
    post(_stopping.set)
    if thread is None or on_hub():
        return True
    return thread.join(timeout)


def abandon() -> None:
    """In a process just forked: there is no hub here, its thread is the parent's."""
    global ident, _thread, _async, _start_lock, _over, _hub, _loop
    was_here = on_hub()
    # Never let go of: a greenlet without any reference is ended, and would run its `finally` blocks here.
    _parents.append((_hub, _loop, list(_ready), list(_posted), _stopping, _pause, _async))
    _ready.clear()
    _posted.clear()
    ident = 0
    _thread = _async = None
    _start_lock = native.RLock()
    _over = forks.REASON
    if was_here:
        # The caller is the only greenlet to go on, as a plain thread does. Where it gives way to the loop all the same
        # (it is no coroutine), that ends.
        _loop.break_()
        native.forget_thread_hub()
    _hub = _loop = forks.Gone("here no coroutine can wait")


def _refuse_if_over() -> None:
    if _over:
        raise RuntimeError(f"no coroutine can be created: {_over}")


def _turn(running: native.Event, failure: list[BaseException]) -> None:
    try:
        _set_up()
    except BaseException as error:
        failure.append(error)
        return
    finally:
        running.set()
    try:
        _stopping.wait()
    finally:
        _tear_down()


def _set_up() -> None:
    global ident, _hub, _loop, _stopping, _async, _pause
    _hub = gevent.get_hub()
    _loop = _hub.loop
    from gevent.event import Event

    _stopping = Event()
    _pause = _loop.timer(0.0)
    _async = _loop.async_()
    _async.start(_drain)
    ident = native.get_ident()
    if _posted:
        _async.send()


def _tear_down() -> None:
    """Leave the hub as it is, turning no more: other threads may still be about to tell it of something."""
    global ident, _thread, _async, _over
    ident = 0
    _thread = _async = None
    _over = "the process is ending"


def post(function: Callable[..., Any], *args: Any) -> None:
    """Call ``function(*args)`` on the hub soon, in the hub's greenlet: it must not block. Any thread may call this."""
    global _told
    _posted.append((function, args))
    if not _told:
        _told = True
        doorbell = _async
        if doorbell is not None:
            doorbell.send()


def _drain() -> None:
    global _told
    _told = False
    try:
        for _ in range(len(_posted)):
            function, args = _posted.popleft()
            try:
                function(*args)
            except Exception:
                _hub.handle_error(function, *sys.exc_info())
    finally:
        if _posted and not _told:
            _told = True
            _async.send()


def ready(who: Any) -> None:
    """Let ``who`` go on when its turn comes: a parked greenlet, or a `workers.Start`. Hub's thread only."""
    global _scheduled
    if not _scheduled:
        # What this raises (a RecursionError) must leave nothing behind that looks done.
        _loop.run_callback(_run_ready)
        _scheduled = True
    _ready.append(who)


def ready_first(who: Any) -> None:
    """Give ``who``, taken from the ready queue by `next_ready`, its turn back. Hub's thread only."""
    global _scheduled
    if not _scheduled:
        _loop.run_callback(_run_ready)
        _scheduled = True
    _ready.appendleft(who)


def unready(who: Any) -> bool:
    """Take ``who`` out of the ready queue; False where it was not there. Hub's thread only."""
    try:
        _ready.remove(who)
    except ValueError:
        return False
    return True


def next_ready() -> Any:
    """The next of the ready queue for a direct switch, or None where the hub is due. Hub's thread only."""
    if _ready and _direct[0] > 0:
        _direct[0] -= 1
        return _ready.popleft()
    return None


def leave() -> None:
    """`park` for one who knows whether it was made ready, and sees to `unready` where it is thrown into then."""
    if _ready and _direct[0] > 0:
        _direct[0] -= 1
        _ready.popleft().switch()
    else:
        _hub.switch()
    has_waited[0] = True


def switch_to_hub() -> None:
    """Let the hub go on with the ready queue; the caller is parked, or about to end. Hub's thread only."""
    _hub.switch()


def park() -> None:
    """Block the calling greenlet until somebody who kept it makes it `ready`. Hub's thread only, not in the hub itself.

    What it does not do: guard against being made ready twice. Whoever parks publishes itself in one place, and the one
    who takes it from there makes it ready.
    """
    try:
        leave()
    except BaseException:
        # Thrown into (`terminate`, `gevent.Timeout`, `kill`) after it was made ready: its turn must not come any more,
        # or it would end a later wait.
        unready(getcurrent())
        raise


def _run_ready() -> None:
    global _scheduled
    until = native.monotonic() + _TURN * sys.getswitchinterval()
    try:
        while _ready:
            _direct[0] = _DIRECT_SWITCHES
            _ready.popleft().switch()
            if native.monotonic() >= until:
                break
    finally:
        if _ready:
            # Not `run_callback` at once: gevent runs what is added that way before it looks at sockets and timers.
            _pause.start(_loop.run_callback, _run_ready)
        else:
            _scheduled = False


def in_hub_callback() -> bool:
    """Is the caller the hub's own greenlet, which must not block?"""
    return getcurrent() is _hub


def call_later(seconds: float, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function(*args)`` in the hub's greenlet after ``seconds``; hub's thread only.

    Returns:
        The timer; whoever made it calls its `close()`, before or after it fired.
    """
    # In this order NaN gives 0.0; as a timer it would spoil the order of all others.
    timer = _loop.timer(max(0.0, seconds))
    # The loop's clock stands still between two turns: without `update` a timer set after a long computation is early.
    timer.start(function, *args, update=True)
    return timer


def call_soon(function: Callable[..., Any], *args: Any) -> None:
    """Call ``function(*args)`` in the hub's greenlet at its next turn; hub's thread only."""
    _loop.run_callback(function, *args)


def watch(descriptor: int, function: Callable[[], None]) -> Any:
    """Call ``function()`` in the hub's greenlet while ``descriptor`` is readable; hub's thread only.

    Returns:
        The watcher; whoever made it calls its `stop()` and `close()`.
    """
    watcher = _loop.io(descriptor, 1)
    watcher.start(function)
    return watcher


class Wait:
    """One wait of one greenlet of the hub's thread, ended by `wake` or by its time limit, whichever is first.

    Raises:
        WouldBlock: Made by the hub's own greenlet, which may not wait.
    """

    __slots__ = ("_greenlet", "expired")

    def __init__(self) -> None:
        self._greenlet: Any = getcurrent()
        if self._greenlet is _hub:
            raise WouldBlock("a callback of the hub may not wait")
        #: Did the time limit end the wait?
        self.expired = False

    def wake(self) -> None:
        """End the wait; a second call, or one after the limit, does nothing. Hub's thread only."""
        parked = self._greenlet
        if parked is not None:
            self._greenlet = None
            ready(parked)

    def wake_from_anywhere(self) -> None:
        """`wake` for any thread."""
        if native.get_ident() == ident:
            self.wake()
        else:
            post(self.wake)

    def _expire(self) -> None:
        if self._greenlet is not None:
            self.expired = True
            self.wake()

    def park(self, timeout: float | None = None) -> bool:
        """Block until `wake`; False where ``timeout`` seconds were over first."""
        timer = None if timeout is None else call_later(timeout, self._expire)
        try:
            leave()
        except BaseException:
            if self._greenlet is None:
                unready(getcurrent())
            raise
        finally:
            self._greenlet = None
            if timer is not None:
                timer.close()
        return not self.expired
