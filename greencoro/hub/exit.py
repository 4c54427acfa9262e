"""The end of the process: it waits for the coroutines that are not daemons, then stops what turns.

Order, at interpreter exit: wait for the non-daemon coroutines, while thread pools still work; Python waits for its
threads, which may go on creating coroutines; wait for those; call the upper layers' closers (they may still send);
terminate what is left, but nobody a second time who cleans up already; stop the hub and join its thread.

Ctrl-C, during that wait or anywhere in the main thread, ends the coroutines, which get a moment for their ``finally``
blocks, calls the closers, and then ends the process by SIGINT itself: the shell sees 130 and no traceback. All this
takes less than two seconds, and a second Ctrl-C ends it at once.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from gevent import monkey
from gevent.hub import Hub
from greenlet import getcurrent, greenlet

from greencoro.hub import forks, interrupts, late_signals, native, stuck, userhub, watchdog, workers
from greencoro.hub.completion import Completion, before_waiting
from greencoro.hub.process_settings import process_settings
from greencoro.hub.telling import tell
from greencoro.hub.whereabouts import place_of, whereabouts

__all__ = [
    "alive",
    "at_exit",
    "cancel_at_exit",
    "cleaning_up",
    "daemons",
    "end_of_forker",
    "ended",
    "finish",
    "has_told_all",
    "holding",
    "prepare",
    "set_daemon",
    "start",
    "terminate",
    "wait_for_coroutines",
    "while_pools_work",
]

_log = logging.getLogger(__name__)

#: What coroutines get for their ``finally`` blocks: daemons at the end, all of them after Ctrl-C.
GRACE_SECONDS = 1.0
#: This long after Ctrl-C the process ends, whatever still runs; the closers have what the coroutines left of it.
_INTERRUPTED_SECONDS = 1.6
#: After this long the wait at the end says, where a person looks on, what it waits for.
_SAY_AFTER_SECONDS = 5.0
#: This many coroutines are named in a line.
_NAMED = 5

#: Every local coroutine that is not over, by its id. Single dict operations only: the reactor reads it.
alive: dict[int, Any] = {}

#: The ids of those that do not keep the process from ending. They are the fewer ones, and an entry costs 40 bytes.
daemons: set[int] = set()

#: The ids of those that were terminated, have met it and are not over: their ``finally`` blocks may be running.
cleaning_up: set[int] = set()

# In a process that was forked: the coroutines of the parent, kept so that they are not ended, and the one that forked.
_parents: list[Any] = []
_forker: Any = None

# Who waits until no coroutine keeps the process from ending.
_waiting: set[Completion] = set()
_closers: list[tuple[float, Callable[[], object]]] = []
_prepared = False
# Re-entrant for a signal handler that makes a coroutine while the first one is being made.
_prepare_lock = native.RLock()
_interrupted = False
_ends_by_sigint = False
_has_told_all = False
# When the grace is over; None before it has begun.
_deadline: float | None = None
_excepthook: Callable[..., Any] | None = None


def start() -> None:
    """Start the user hub in its own thread and see to the end of the process."""
    limit = process_settings().max_blocked_seconds
    prepare()
    userhub.start()
    watchdog.start(limit)


def prepare() -> None:
    """See to the end of the process; once, before anything turns."""
    global _prepared, _excepthook
    if _prepared:
        return
    with _prepare_lock:
        if _prepared:
            return
        _prepared = True
        _excepthook = sys.excepthook
        sys.excepthook = _on_uncaught
        # What is registered last comes first there: before the end of thread pools, which concurrent.futures registered
        # when `_preload` imported it.
        with contextlib.suppress(RuntimeError):
            # Where the main thread is through already, and a thread it left makes the first coroutine, this is refused,
            # and the wait below is enough.
            threading._register_atexit(while_pools_work)  # type: ignore[attr-defined]
        interrupts.end_process_from_shutdown_on(_end_by_sigint)
        atexit.register(_after_threads)
        os.register_at_fork(after_in_child=_forget_parent)
        # A hub that meets Ctrl-C raises it in its thread's main greenlet. It need not print it as well.
        Hub.NOT_ERROR = (*Hub.NOT_ERROR, KeyboardInterrupt)
        if monkey.is_module_patched("time"):
            late_signals.handle_in_time()
        if monkey.is_module_patched("subprocess"):
            # gevent's works in the main thread's hub only. By name, as it stands above this module.
            importlib.import_module("greencoro.hub.popen").replace_gevents_subprocess()


def end_of_forker(coro: Any, error: BaseException) -> None:
    """Where ``coro`` has forked this process, and ends by `SystemExit`, that is the process's end; else nothing."""
    if coro is _forker and isinstance(error, SystemExit):
        code = error.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
        _end_now(code or 0)


def _end_process(coro: Any) -> None:
    """The coroutine that has forked this process is over."""
    _end_now(1 if coro.notice().kind == "exception" else 0)


def _end_as_waiting(worker: object) -> None:
    print(f"greencoro: {_forker!r} cannot wait in a process that it forked, which ends", file=sys.stderr)
    _end_now(1)


def _end_now(status: int) -> None:
    _flush()
    # Not by way of the interpreter's end: what is registered for that is the parent's, and this is not its main thread.
    os._exit(status & 0xFF)


def at_exit(priority: float, closer: Callable[[], object]) -> None:
    """Have ``closer()`` called once no coroutine is left to wait for; higher priorities come first.

    It runs in the main thread, may wait, and may create coroutines. Those that ones above 0 created are over before the
    others come, of which the network is one.
    """
    _closers.append((priority, closer))


def cancel_at_exit(closer: Callable[[], object]) -> None:
    """Do not call ``closer`` at the end; where it is not registered, nothing."""
    _closers[:] = [entry for entry in _closers if entry[1] != closer]


def ended(coro_id: int) -> None:
    """A coroutine is over, and who wanted to hear of that did."""
    alive.pop(coro_id, None)
    if daemons:
        daemons.discard(coro_id)
    if cleaning_up:
        cleaning_up.discard(coro_id)
    if _waiting:
        _consider_idle()


def set_daemon(coro_id: int, flag: bool) -> None:
    """Say whether a coroutine lets the process end. Any thread."""
    if not flag:
        daemons.discard(coro_id)
        return
    daemons.add(coro_id)
    if coro_id not in alive:
        daemons.discard(coro_id)
    _consider_idle()


def _consider_idle() -> None:
    if _waiting and not _is_held():
        for idle in _waiting.copy():
            idle.set()


def _is_held() -> bool:
    """Does a coroutine keep the process from ending?"""
    # Between two steps of `ended` or `set_daemon` there may be as many daemons though others are alive.
    return len(alive) > len(daemons) or bool(holding())


def holding() -> list[Any]:
    """The coroutines that keep the process from ending."""
    return [coro for coro_id, coro in list(alive.items()) if coro_id not in daemons]


def has_told_all() -> bool:
    """Were all coroutines told to end, as the process does? Each of them has its grace, and need not be told again."""
    return _has_told_all


def wait_for_coroutines(timeout: float | None = None) -> bool:
    """Block this thread until no non-daemon coroutine is left, or no hub turns that could bring one to its end.

    In a notebook's kernel it does not wait.

    Args:
        timeout (float | None): Longest wait, in seconds.

    Returns:
        bool: Is none left?
    """
    deadline = math.inf if timeout is None else native.monotonic() + timeout
    said = False
    say_at = native.monotonic() + _SAY_AFTER_SECONDS
    lookout = stuck.Lookout(holding)
    while _is_held() and userhub.is_started() and not _is_notebook():
        idle = Completion()
        _waiting.add(idle)
        try:
            if not _is_held():
                return True
            until = deadline if said else min(deadline, say_at)
            if lookout.wait(idle, None if until == math.inf else max(0.0, until - native.monotonic())):
                continue
            if native.monotonic() >= deadline:
                return False
            said = True
            if not lookout.has_spoken:
                _say_what_is_waited_for()
        finally:
            _waiting.discard(idle)
    return not _is_held()


def _say_what_is_waited_for() -> None:
    waiting = sorted((repr(coro) for coro in holding()), key=len)
    names = _listed(waiting, len(waiting))
    _log.info("the program's end waits for coroutines: %s", names)
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"greencoro: waiting for {names} to finish (Ctrl-C ends them)", file=sys.stderr, flush=True)


def _listed(names: list[str], count: int) -> str:
    """The first few of so many names."""
    return ", ".join(names[:_NAMED]) + (f" and {count - _NAMED} more" if count > _NAMED else "")


def while_pools_work() -> None:
    """At interpreter exit, first: before thread pools are shut down and the interpreter waits for threads."""
    if _interrupted or _uncaught_interrupt():
        _end_by_sigint()
    _until_interrupted(wait_for_coroutines)


def _after_threads() -> None:
    """At interpreter exit, last: no thread is left that could create a coroutine."""
    _until_interrupted(finish)


def _until_interrupted(step: Callable[[], object]) -> None:
    """``step()``; Ctrl-C meanwhile ends it, wherever it is, and then the process."""
    if _ends_by_sigint:
        # Another greenlet of this thread sees to that.
        Completion().wait()
    try:
        interrupts.raise_meanwhile()
        step()
        interrupts.end_process_with(_end_by_sigint)
    except KeyboardInterrupt:
        _end_by_sigint()


def finish() -> None:
    """Come to the end of all coroutines now, as at the end of the process: there is no further one. Not in one."""
    wait_for_coroutines()
    _run_closers(above=0)
    wait_for_coroutines()
    _run_closers()
    wait_for_coroutines()
    deadline = _begin_grace()
    _terminate_all(deadline)
    userhub.stop(max(0.0, deadline - native.monotonic()))
    watchdog.stop()


def terminate() -> None:
    """`finish` that waits for no coroutine: all are told to end, and have their grace for that."""
    _terminate_all(_begin_grace())
    finish()


def _end_by_sigint() -> None:
    global _ends_by_sigint
    # From here on a second Ctrl-C ends the process at once, and so does an alarm where something takes too long. (Not a
    # thread: Python 3.12.1 starts none at this point.)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, lambda number, frame: _die())
    signal.setitimer(signal.ITIMER_REAL, _INTERRUPTED_SECONDS)
    _ends_by_sigint = True
    deadline = _begin_grace()
    _flush()
    _terminate_all(deadline)
    _run_closers()
    userhub.stop(max(0.0, deadline - native.monotonic()))
    if not interrupts.threads_are_over():
        # What the interpreter would call on its way out: temporary directories go, logs are written. In the middle of
        # them it would be too much: those that came before would be called twice.
        atexit.unregister(_after_threads)
        atexit._run_exitfuncs()
    _flush()
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _run_closers(above: float = -math.inf) -> None:
    while _closers:
        entry = max(_closers, key=lambda entry: entry[0])
        if entry[0] <= above:
            return
        _closers.remove(entry)
        try:
            entry[1]()
        except Exception:
            _log.exception("closing %r failed", entry[1])


def _begin_grace() -> float:
    """When the grace is over; where it has begun already, as Ctrl-C came in it, that goes on."""
    global _deadline
    if _deadline is None:
        _deadline = native.monotonic() + GRACE_SECONDS
    return _deadline


def _terminate_all(deadline: float) -> None:
    """Terminate every coroutine that is alive and give them until ``deadline`` to end; say whom that cuts off."""
    if not userhub.is_started():
        return
    userhub.post(_tell_all)
    ended = native.Event()
    while alive and native.monotonic() < deadline:
        ended.wait(0.005)
    left = list(alive.values())
    if left:
        names = _listed([_name_with_place(coro) for coro in left[:_NAMED]], len(left))
        line = f"the program ends, and cuts off what did not end within {GRACE_SECONDS:g} s of being told to: {names}"
        tell(_log, logging.WARNING, line)


def _tell_all() -> None:
    # In one go, on the hub: what the end of one does to others must not reach them before this.
    global _has_told_all
    _has_told_all = True
    for coro in list(alive.values()):
        coro.terminate()


def _name_with_place(coro: Any) -> str:
    seen = whereabouts(coro)
    if seen is None:
        return repr(coro)
    place = place_of(seen.frames)
    return f"{coro!r} {seen.state}{f' at {place}' if place else ''}"


def _on_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In place of `sys.excepthook`: Ctrl-C in the main thread ends everything, without a traceback."""
    global _interrupted
    if issubclass(kind, KeyboardInterrupt) and not _interactive():
        _interrupted = True
        return
    assert _excepthook is not None
    _excepthook(kind, error, trace)


def _uncaught_interrupt() -> bool:
    """Did Ctrl-C end the main thread, though another `sys.excepthook` than ours was told of it?"""
    kind = getattr(sys, "last_type", None)
    return isinstance(kind, type) and issubclass(kind, KeyboardInterrupt) and not _interactive()


def _interactive() -> bool:
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)


def _is_notebook() -> bool:
    # Nobody looks at a kernel that was told to shut down, and Jupyter kills one that takes longer than a moment.
    return "ipykernel.kernelapp" in sys.modules


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            # Closed, nobody reads, or a signal came in the middle of its own writing.
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                stream.flush()


def _forget_parent() -> None:
    """In a process just forked: the coroutines and what would close are the parent's.

    Where a coroutine forked, its function goes on as that of a plain thread would; with its end the process ends.
    """
    global _forker, _has_told_all, _deadline
    forks.became_child()
    for coro in alive.values():
        _parents.append(coro)
        coro.leave_behind()
    worker = getcurrent()
    # Where it forks once more there, it is known.
    if userhub.on_hub() and isinstance(worker, workers.Worker):
        _forker = worker.coro
        _parents.append(_forker.come_along(_end_process))
        # A generator that waits leaves its worker, which would go on to the parent's hub.
        worker.parent = greenlet(_end_as_waiting, worker.parent)
    alive.clear()
    daemons.clear()
    cleaning_up.clear()
    _closers.clear()
    _waiting.clear()
    _deadline = None
    _has_told_all = False
    interrupts.forget_parent()
    userhub.abandon()


# A program may wait for others, such as a name to appear at a peer, without a coroutine of its own.
before_waiting(prepare)
