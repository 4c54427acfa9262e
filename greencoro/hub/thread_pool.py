"""AsyncThreadPool: native threads that run what would block the hub.

The threads are unpatched ones also in a patched process, so what is given to them may read a terminal, compute in C or
wait in a library that knows nothing of gevent, while coroutines go on.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from greenlet import getcurrent

from greencoro.errors import ClosedResource, WouldBlock
from greencoro.hub import native, stuck
from greencoro.hub.binding import name_of
from greencoro.hub.completion import Completion
from greencoro.hub.sync import Semaphore

__all__ = ["AsyncThreadPool"]

_log = logging.getLogger(__name__)


class AsyncThreadPool:
    """A number of native threads, and the tasks that wait for one of them.

    The threads do not keep the process alive, and end when nothing refers to the pool any more. As a context manager
    it is terminated at the end of the block.

    Args:
        num_threads (int): So many tasks run at once; at least 1.

    Raises:
        TypeError, ValueError: ``num_threads`` is no such number.

        RuntimeError: The system allows no more threads.
    """

    def __init__(self, num_threads: int) -> None:
        if isinstance(num_threads, bool) or not isinstance(num_threads, int):
            raise TypeError(f"AsyncThreadPool() takes the number of its threads, not {num_threads!r}")
        if num_threads < 1:
            raise ValueError(f"AsyncThreadPool() needs at least 1 thread, not {num_threads}")
        # The threads know only this, so that they do not keep the pool itself.
        self._queue = _Queue(num_threads)
        finalizer = weakref.finalize(self, self._queue.close)
        finalizer.atexit = False
        for number in range(num_threads):
            thread = native.Thread(self._queue.serve, f"greencoro-pool-{number}")
            try:
                thread.start()
            except RuntimeError:
                self._queue.close()
                raise

    def async_task(self, /, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run ``target(*args, **kwargs)`` in one of the threads and wait for its result; may be called from anywhere.

        Tasks begin in the order in which they were given. Where there are no positional arguments, keywords ``args``
        and ``kwargs`` may hold all arguments, as in `threading.Thread`; a function that has parameters of these names
        itself gets them by position, or through `functools.partial`.

        Returns:
            What ``target`` returned.

        Raises:
            BaseException: What ``target`` raised.

            TypeError: ``target`` is not callable, or ``args`` and ``kwargs`` are not what `threading.Thread` takes.

            ClosedResource: The pool was terminated.

            WouldBlock: The caller is a callback of the hub.

            Terminated: The calling coroutine was terminated while it waited. The task runs all the same, and its result
                is dropped (an exception is logged).
        """
        if not callable(target):
            raise TypeError(f"async_task() runs a function, not {target!r}")
        if not args and not kwargs.keys().isdisjoint(("args", "kwargs")):
            args, kwargs = _as_thread_takes_them(**kwargs)
        if getcurrent() is native.thread_hub():
            raise WouldBlock("a callback of the hub may not wait")
        task = _Task(target, args, kwargs)
        self._queue.put(task)
        try:
            return task.outcome.result()
        except BaseException as error:
            if error is not task.outcome.error:
                # Whichever thread sets the outcome calls it; this one, if there is one by now.
                task.outcome.add_callback(task.report_dropped)
            raise
        finally:
            del task  # which refers to the exception, whose traceback refers to this frame

    def join(self) -> None:
        """Wait until all tasks given so far are over.

        Raises:
            RuntimeError: The caller is a task of this pool, and would wait for itself.
        """
        self._refuse_own_thread("join()")
        for task in self._queue.unfinished.copy():
            task.outcome.wait()

    def terminate(self) -> None:
        """Take no more tasks, wait until those given so far are over, and end the threads. A second call only waits.

        Raises:
            RuntimeError: The caller is a task of this pool, and would wait for itself.
        """
        self._refuse_own_thread("terminate()")
        self._queue.close()
        self._queue.ended.wait()

    def _refuse_own_thread(self, what: str) -> None:
        if native.get_ident() in self._queue.idents:
            raise RuntimeError(f"{what} of a thread pool, called by one of its own tasks, would wait for that task")

    def __enter__(self) -> AsyncThreadPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.terminate()


def _as_thread_takes_them(
    args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **others: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if others:
        raise TypeError(f"async_task() takes arguments either as they are or as args= and kwargs=, not also {others!r}")
    try:
        return tuple(args), dict(kwargs or {})
    except (TypeError, ValueError):
        raise TypeError(
            f"async_task() takes a tuple as args= and a dictionary as kwargs=, not {args!r} and {kwargs!r}"
        ) from None


class _Task:
    """One call, and its outcome."""

    __slots__ = ("args", "kwargs", "outcome", "target")

    def __init__(self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.target = target
        self.args = args
        self.kwargs = kwargs
        self.outcome = Completion()

    def run(self) -> None:
        """Make the call; raises nothing."""
        # Where the interpreter ends while the task waits in `input`, it would close the stream under it, which the
        # thread has locked, and abort. The frames of such a thread stay, and so does what they refer to.
        _stdin = sys.stdin
        try:
            value = self.target(*self.args, **self.kwargs)
        except BaseException as error:
            # This file's frame is no news to anybody, and would keep the task as long as its exception.
            self.outcome.fail(error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None))
        else:
            self.outcome.set(value)

    def report_dropped(self) -> None:
        error = self.outcome.error
        if error is not None:
            _log.warning(
                "task %s failed in a thread pool, and nobody waits for it", name_of(self.target), exc_info=error
            )


class _Queue:
    """The tasks of one pool, and what its threads share.

    A thread begins when it gets one of the `_permits`. There is one for each task, put there after the task was, and
    when the pool is closed one more for each thread: who finds no task is to end.

    Attributes:
        unfinished: Tasks that are not over.

        idents: Of the threads that have not ended.

        ended: Set when no thread is left.
    """

    def __init__(self, num_threads: int) -> None:
        self.unfinished: set[_Task] = set()
        self.idents: set[int] = set()
        self.ended = Completion()
        self._waiting: deque[_Task] = deque()
        self._permits = Semaphore(0)
        self._closed = False
        # Replaced by another one with each task.
        self._latest = object()
        self._num_threads = num_threads
        # An entry for each thread that has not ended; whoever leaves none was the last.
        self._running = [None] * num_threads

    def put(self, task: _Task) -> None:
        if not self._closed:
            self.unfinished.add(task)
            self._latest = object()
            self._waiting.append(task)
            # Where another thread has closed it since, there may be nobody left to run this.
            if not self._closed or not self._withdraw(task):
                self._permits.release()
                return
        raise ClosedResource("this thread pool was terminated and takes no more tasks")

    def _withdraw(self, task: _Task) -> bool:
        """Take back ``task``; False where a thread has begun it."""
        try:
            self._waiting.remove(task)
        except ValueError:
            return False
        self.unfinished.discard(task)
        return True

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for _ in range(self._num_threads):
                self._permits.release()

    def serve(self) -> None:
        """What a thread of the pool does."""
        ident = native.get_ident()
        self.idents.add(ident)
        stuck.idle_threads[ident] = self._last_done
        try:
            while self._serve_next():
                pass
            hub = native.thread_hub()
            if hub is not None:
                # In a patched process a task that slept, say, has made one.
                hub.destroy(destroy_loop=True)
        finally:
            stuck.idle_threads.pop(ident, None)
            self.idents.discard(ident)
            self._running.pop()
            if not self._running:
                self.ended.set()

    def _serve_next(self) -> bool:
        """Run the next task, waiting for it; False where there will be none. Keeps no reference to it."""
        self._permits.acquire()
        try:
            task = self._waiting.popleft()
        except IndexError:
            return False
        try:
            task.run()
        finally:
            if native.thread_hub() is not None:
                # What the task left on it may go on while this thread waits for the next one.
                stuck.idle_threads.pop(native.get_ident(), None)
            self.unfinished.discard(task)
        return True

    def _last_done(self) -> object | None:
        """What tells the last task from the next; None where there is one that is not over."""
        # In this order: one that is put meanwhile shows in one of the two, now or when this is asked again.
        latest = self._latest
        return None if self.unfinished else latest
