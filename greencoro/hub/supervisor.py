"""Supervisor: a coroutine that starts others, and starts them again when they fail."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from greencoro.errors import BrokenResource, CoroTerminated, DeadlineExceeded, MonitorException, TooManyRestarts
from greencoro.hub import native, userhub
from greencoro.hub.binding import name_of
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.requests import Request
from greencoro.hub.supervision import RESTARTS, Decision, Supervision
from greencoro.hub.waiting import seconds

__all__ = ["Supervisor"]

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Spec:
    """How a child is started, and what its next incarnation takes over from this one."""

    name: str | None
    target: Callable[..., Any] | Supervisor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    restart: str
    shutdown_seconds: float | None
    parent: Supervisor
    #: Its latest incarnation.
    coro: Coro | None = None
    #: Is that one (or the next) meant to run?
    running: bool = False
    daemon: bool = False
    registered: set[str] = field(default_factory=set)


class _Child(Coro):
    """A coroutine that keeps for its successor what it is known as, and whether the program waits for it."""

    _spec: _Spec | None = None

    def register(self, name: str | None = None) -> int:
        """As `Coro.register`; the next incarnation takes the name over."""
        result = super().register(name)
        if result == 0 and (spec := self._current_spec()) is not None:
            spec.registered.add(name or self.name)
        return result

    def unregister(self, name: str | None = None) -> int:
        """As `Coro.unregister`; the next incarnation does not take the name over."""
        result = super().unregister(name)
        if result == 0 and (spec := self._current_spec()) is not None:
            spec.registered.discard(name or self.name)
        return result

    def set_daemon(self, flag: bool = True) -> int:
        """As `Coro.set_daemon`; the next incarnation is what this one is."""
        result = super().set_daemon(flag)
        if (spec := self._current_spec()) is not None:
            spec.daemon = flag
            spec.parent._consider_holding()
        return result

    def _current_spec(self) -> _Spec | None:
        spec = self._spec
        return spec if spec is not None and spec.coro is self else None

    def _put_under(self, spec: _Spec) -> None:
        """Be the incarnation of ``spec`` from now on, known as the one before was."""
        self._spec = spec
        spec.coro, spec.running = self, True
        for name in sorted(spec.registered):
            if self.register(name) != 0:
                _log.error("%r could not take over the name %r: it is taken", self, name)
        if spec.daemon:
            self.set_daemon()


class Supervisor(_Child):
    """Starts children, watches them and restarts them, as in Erlang/OTP.

    A child is a function that runs as a coroutine (or another supervisor). When one ends, its ``restart`` says whether
    it is started again, and the supervisor's ``strategy`` whether others are ended and started with it. Where that
    happens too often, restarting does not help: the supervisor ends its children and fails itself, which its own
    supervisor, if it has one, hears of.

    The supervisor is a coroutine: `terminate` ends the children, last started first, and then it; `value` waits for
    its end. With ``with`` that happens at the end of the block. The end of the program waits for it as long as it waits
    for one of its children (those that were made daemons do not count), whatever its own `set_daemon` was told.

    Args:
        strategy (str): ``"one_for_one"``: only the child that ended; ``"one_for_all"``: all children;
            ``"rest_for_one"``: that child and those started after it.

        max_restarts (int): So many restarts within ``within_seconds`` are carried out, the next one is too many.

        within_seconds (float): In seconds.

    Raises:
        TypeError, ValueError: One of these cannot be.
    """

    def __init__(self, strategy: str = "one_for_one", max_restarts: int = 3, within_seconds: float = 5.0) -> None:
        self._rules = Supervision(strategy, max_restarts, within_seconds)
        # By name, in the order of their start. Changed on the hub only; others look.
        self._specs: dict[str, _Spec] = {}
        self._by_coro: dict[Coro, _Spec] = {}
        # Set, and replaced by a new one, when a child was started or will not be started again.
        self._changed = Completion()

        def supervisor() -> None:
            self._supervise()

        super().__init__(supervisor)

    def add(
        self,
        target: Callable[..., Any] | Supervisor,
        /,
        *args: Any,
        name: str | None = None,
        restart: str = "permanent",
        shutdown_seconds: float | None = 5.0,
        **kwargs: Any,
    ) -> Coro:
        """Start a child, after the others, and watch over it.

        Names that a child is registered under, and whether it is a daemon, go over to its next incarnation.

        Args:
            target: A function, called with ``args`` and ``kwargs`` at each start; or a `Supervisor`, in place of which
                a new one with the same children is started where it has failed.

            name (str | None): For `child`; default: the function's name, with a number where that is taken.

            restart (str): ``"permanent"``: it is started again whenever it ends; ``"transient"``: only where it raised;
                ``"temporary"``: never, and it is forgotten.

            shutdown_seconds (float | None): How long it may take to end when it is terminated, in seconds (None: as
                long as it takes). One that takes longer is left behind as a daemon, with an error in the log. A
                supervisor is given the time that its children take.

        Returns:
            Coro: The child as it is now; later ones are had from `child`.

        Raises:
            TypeError: ``target`` is not callable or does not take these arguments.

            ValueError: There is a child of that name; ``restart`` is none of the three; or ``target`` is a supervisor
                that has one already, or that is above this one.

            BrokenResource: This supervisor is over.
        """
        if name is not None and (not isinstance(name, str) or not name):
            raise TypeError(f"name= of a child is a text, not {name!r}")
        if restart not in RESTARTS:
            raise ValueError(f"restart= of a child is one of {', '.join(RESTARTS)}, not {restart!r}")
        limit = seconds(shutdown_seconds, "shutdown_seconds=")
        if isinstance(target, Supervisor):
            if args or kwargs:
                raise TypeError("a supervisor as a child takes no arguments")
            limit = None
        try:
            child: Coro = self.call(_Spec(name, target, args, kwargs, restart, limit, self))
        except BrokenResource as error:
            raise BrokenResource(f"{self!r} is over and starts no children any more") from error.__cause__
        return child

    def child(self, name: str, timeout: float | None = 0.0) -> Coro:
        """The latest incarnation of a child: the one that runs, or else the one that ran last and may be started again.

        Args:
            name (str): As given to `add`, or as found in `children`.

            timeout (float | None): Where that one is over, how long to wait for the next, in seconds. ``None`` waits as
                long as it takes; ``0`` does not wait and returns the one that is over.

        Raises:
            LookupError: There is no child of that name (or a temporary one that is over).

            BrokenResource: With a ``timeout``: the child is over and will not be started again, or the supervisor is.

            DeadlineExceeded: It was not started again in time.
        """
        timeout = seconds(timeout, "child()")
        deadline = None if timeout is None else native.monotonic() + timeout
        while True:
            # In this order: what changes after the look sets it.
            changed = self._changed
            spec = self._specs.get(name)
            if spec is None or spec.coro is None:
                raise LookupError(f"{self!r} has no child named {name!r}")
            if spec.coro.is_alive() or (timeout is not None and timeout <= 0):
                return spec.coro
            if not spec.running or not self.add_observer(changed.set):
                raise BrokenResource(f"child {name!r} of {self!r} is over and is not started again")
            try:
                if not changed.wait(None if deadline is None else deadline - native.monotonic()):
                    raise DeadlineExceeded(f"child {name!r} of {self!r} was not started again within {timeout} s")
            finally:
                self.remove_observer(changed.set)

    def _tell_of_change(self) -> None:
        changed, self._changed = self._changed, Completion()
        changed.set()

    def children(self) -> dict[str, Coro]:
        """What `child` returns of each, by name, in the order of their start."""
        return {name: spec.coro for name, spec in list(self._specs.items()) if spec.coro is not None}

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()
        try:
            self.value()
        except CoroTerminated:
            return
        except Exception:
            # It was reported when it happened; what went wrong in the block is what the caller wants to know.
            if error is None:
                raise

    # What runs in its coroutine.

    def _supervise(self) -> None:
        self._hold()
        try:
            while True:
                message = self.receive()
                if isinstance(message, MonitorException):
                    self._on_end(message)
                elif isinstance(message, Request):
                    self._on_request(message)
                else:
                    _log.warning(
                        "%r is a supervisor and takes no messages: a %s was dropped", self, type(message).__name__
                    )
        finally:
            self._end_children()

    def _on_request(self, request: Request) -> None:
        spec = request.message
        if not isinstance(spec, _Spec):
            request.fail(TypeError(f"{self!r} is a supervisor and answers no calls"))
            return
        name = spec.name = spec.name or self._free_name(spec.target)
        try:
            if name in self._specs:
                raise ValueError(f"{self!r} has a child named {name!r} already")
            self._refuse_unless_free(spec.target)
            self._start(spec)
        except (TypeError, ValueError) as error:
            request.fail(error)
            return
        self._rules.add(name, spec.restart)
        self._specs[name] = spec
        self._hold()
        request.reply(spec.coro)

    def _refuse_unless_free(self, target: Any) -> None:
        if not isinstance(target, Supervisor):
            return
        above: Supervisor | None = self
        while above is not None:
            if above is target:
                raise ValueError(f"{target!r} cannot be a child of {self!r}: it is that one or above it")
            above = above._spec.parent if above._spec is not None else None
        if target._spec is not None and target.is_alive():
            raise ValueError(f"{target!r} has a supervisor already")

    def _free_name(self, target: Any) -> str:
        base = target.name if isinstance(target, Supervisor) else name_of(target)
        name, number = base, 1
        while name in self._specs:
            number += 1
            name = f"{base}-{number}"
        return name

    def _on_end(self, notice: MonitorException) -> None:
        spec = self._by_coro.pop(notice.coro, None)
        if spec is None:
            return  # ended by this supervisor
        assert spec.name is not None
        decision = self._rules.ended(spec.name, notice.kind, native.monotonic())
        if decision.give_up:
            raise self._too_many_restarts(spec.name, notice) from notice.error
        # Those that are to start again hold the program meanwhile.
        spec.running = spec.name in decision.start
        if decision.start:
            again = ", ".join(decision.start)
            _log.warning("%r: child %r ended (%s), starting %s", self, spec.name, notice.kind, again)
        self._carry_out(decision)
        self._hold()
        self._tell_of_change()

    def _too_many_restarts(self, name: str, notice: MonitorException) -> TooManyRestarts:
        last = notice.kind if notice.error is None else _text_of(notice.error)
        rules = self._rules
        many = f"{rules.max_restarts} restart{'' if rules.max_restarts == 1 else 's'}"
        return TooManyRestarts(
            f"{self!r} gives up: child {name!r} ended again ({last}), and the limit is {many} within "
            f"{rules.within_seconds:g} s"
        )

    def _carry_out(self, decision: Decision) -> None:
        for name in decision.stop:
            self._stop(self._specs[name])
        for name in decision.forget:
            del self._specs[name]
        for name in decision.start:
            self._start(self._specs[name])

    def _start(self, spec: _Spec) -> None:
        if isinstance(spec.target, Supervisor):
            self._start_supervisor(spec, spec.target)
        else:
            # It begins when this coroutine waits next, so that it finds its names registered.
            self._watch(spec, _Child(spec.target, *spec.args, **spec.kwargs))

    def _start_supervisor(self, spec: _Spec, given: Supervisor) -> None:
        if given.is_alive() and given._spec is None:
            self._watch(spec, given)
            given._hold()
            return
        rules = given._rules
        child = spec.target = Supervisor(rules.strategy, rules.max_restarts, rules.within_seconds)
        self._watch(spec, child)
        # Where it has failed before all are started, the notice of that is on its way.
        with contextlib.suppress(BrokenResource):
            for theirs in list(given._specs.values()):
                if theirs.restart != "temporary":
                    names = set(theirs.registered)
                    child.call(replace(theirs, parent=child, coro=None, running=False, registered=names))

    def _watch(self, spec: _Spec, child: _Child) -> None:
        self._by_coro[child] = spec
        child._put_under(spec)
        if self.monitor(child) != 0:
            # A supervisor that was terminated elsewhere between two lines of `add`.
            self.put_past_limit(child.notice())

    def _stop(self, spec: _Spec) -> None:
        """End a child and wait for its end."""
        child = spec.coro
        if child is None or self._by_coro.pop(child, None) is None:
            return
        ended = Completion()
        if child.terminate() != 0 or not child.add_observer(ended.set):
            return
        try:
            ended.wait(spec.shutdown_seconds)
        finally:
            child.remove_observer(ended.set)
        if child.is_alive():
            limit = spec.shutdown_seconds
            _log.error("%r: %r did not end within %s s; it is left behind as a daemon", self, child, limit)
            Coro.set_daemon(child)

    def _end_children(self) -> None:
        order = [self._specs[name] for name in self._rules.shutdown_order()]
        try:
            for spec in order:
                self._stop(spec)
        finally:
            # Terminated a second time: no waiting any more.
            for spec in order:
                if spec.coro is not None and self._by_coro.pop(spec.coro, None) is not None:
                    spec.coro.terminate()

    # The end of the program.

    def _consider_holding(self) -> None:
        if userhub.on_hub():
            self._hold()
        else:
            userhub.post(self._hold)

    def _hold(self) -> None:
        # A child that is over and starts again holds the program through its supervisor meanwhile.
        self.set_daemon(not any(spec.running and not spec.daemon for spec in self._specs.values()))


def _text_of(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except Exception:
        return f"{kind}, which cannot be shown"
