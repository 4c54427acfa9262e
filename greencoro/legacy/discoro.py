"""The module ``asyncoro.discoro``: computations, whose functions are sent to servers and run there."""

from __future__ import annotations

import numbers
import os
import sys
import traceback
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, ClassVar

from greencoro import compute
from greencoro.compute import computation
from greencoro.compute.client_phase import Phase
from greencoro.compute.filters import NodeFacts
from greencoro.compute.inline import current_inline_server
from greencoro.compute.source_packaging import NamedFunction, SourcePackager
from greencoro.distributed.addresses import resolve
from greencoro.distributed.location import Location
from greencoro.distributed.options import off_the_hub
from greencoro.distributed.runtime import runtime
from greencoro.errors import (
    ComputationClosed,
    DeadlineExceeded,
    GreencoroError,
    NoMatchingServer,
    PackagingError,
    PartialFailure,
)
from greencoro.hub import exit as process_exit
from greencoro.hub.binding import is_generator_function
from greencoro.hub.coroutine import Coro as NativeCoro
from greencoro.legacy import asyncoro, disasyncoro, scheduler
from greencoro.legacy.coro import Coro
from greencoro.legacy.creating import started_there
from greencoro.legacy.discoro_words import CoroInfo as CoroInfo
from greencoro.legacy.discoro_words import (
    DiscoroCoroInfo,
    DiscoroNodeAvailInfo,
    DiscoroNodeFilter,
    DiscoroNodeInfo,
    DiscoroServerInfo,
    DiscoroStatus,
)
from greencoro.legacy.logger import logger
from greencoro.legacy.private_scheduler import Scheduler
from greencoro.legacy.server_jobs import ENTRY, PREAMBLE
from greencoro.legacy.signatures import filled_in
from greencoro.legacy.status_news import StatusNews
from greencoro.legacy.sub_calls import sub_call

__all__ = [
    "Computation",
    "DiscoroCoroInfo",
    "DiscoroNodeAvailInfo",
    "DiscoroNodeFilter",
    "DiscoroNodeInfo",
    "DiscoroServerInfo",
    "DiscoroStatus",
    "Scheduler",
]

# As Python does where they are imported by these names.
asyncoro.disasyncoro = disasyncoro  # type: ignore[attr-defined]
asyncoro.discoro = sys.modules[__name__]  # type: ignore[attr-defined]

# Programs assign these, before there is a computation.

#: Longest wait for messages between processes, in seconds.
MsgTimeout: float = 10
#: Limits of a computation's ``pulse_interval``, in seconds.
MinPulseInterval: float = 10
MaxPulseInterval: float = 100

#: Among what is called at the end of a program, where higher ones come first.
_CLOSE = 10

#: Why there is no coroutine, and nobody at a server is to blame.
_NO_SERVER = (NoMatchingServer, DeadlineExceeded, ComputationClosed, OSError)


class _Computation(computation.Computation):
    """One whose code travels as source."""

    _new_packager = staticmethod(lambda: SourcePackager(ENTRY, PREAMBLE))


class Computation:
    """Functions, classes, modules and files that are sent to servers, and generator functions that are run there.

    Args:
        components (list): Paths of files, modules, functions, generator functions, classes, or instances for their
            classes. Of functions and classes the text of their source is run at the servers.

        status_coro (Coro | None): Is sent what happens to nodes, servers and jobs; to be set until `schedule`.

        timeout (float): Longest wait for a server, and for its answer, in seconds, from 1 to `MaxPulseInterval`.

        pulse_interval (float): How often those who take part say that they are there, in seconds, from
            `MinPulseInterval` to `MaxPulseInterval`; default: twice the lower one. Who is silent for 5 of them is lost.

        ping_interval (float | None): Look for further nodes every so many seconds, at least `MinPulseInterval`.

        zombie_period (float): After so many seconds without a job it is closed; 0: never. What is less than
            `MaxPulseInterval` is taken for that.

        node_filters (list): `DiscoroNodeFilter`, the first of which that is meant for a node decides.

    Raises:
        Exception: One of them is not what it has to be.
    """

    _native_class: ClassVar[type[computation.Computation]] = _Computation
    _news_class: ClassVar[type[StatusNews]] = StatusNews
    #: What its jobs are.
    _coro_class: ClassVar[type[Coro]] = Coro

    def __init__(
        self,
        components: Any,
        status_coro: NativeCoro | None = None,
        timeout: float | None = None,
        pulse_interval: float | None = None,
        ping_interval: float | None = None,
        zombie_period: float = 0,
        node_filters: Any = (),
    ) -> None:
        self.timeout = MsgTimeout if timeout is None else timeout
        self.pulse_interval = 2 * MinPulseInterval if pulse_interval is None else pulse_interval
        self.ping_interval = ping_interval
        self.zombie_period = zombie_period
        self.node_filters = node_filters
        self.status_coro = status_coro
        self._check()
        compute.MsgTimeout, compute.MinPulseInterval, compute.MaxPulseInterval = (
            MsgTimeout,
            MinPulseInterval,
            MaxPulseInterval,
        )
        listed = list(components) if isinstance(components, list | tuple) else [components]
        listed = [_place_of(each) if isinstance(each, str | os.PathLike) else each for each in listed]
        self._files = [each for each in listed if isinstance(each, str)]
        self._news: StatusNews | None = None
        try:
            self._native = self._native_class(
                listed,
                None,
                self.timeout,
                self.pulse_interval,
                self.ping_interval,
                max(zombie_period, MaxPulseInterval) if zombie_period else 0,
                [self._learn, *node_filters],
                # As of old: it is shown where it was printed.
                forward_output=False,
            )
        except (PackagingError, TypeError, ValueError) as error:
            raise Exception(str(error)) from error
        #: The generator functions that all servers have, by name.
        self._named = {
            each.__name__: each
            for each in listed
            if isinstance(each, FunctionType | MethodType) and is_generator_function(each)
        }
        #: Functions that servers were able to run, and names of such.
        self._proven = set(map(_proof_of, self._named.values()))

    def _check(self) -> None:
        if self.status_coro is not None and not isinstance(self.status_coro, Coro):
            raise Exception(f"status_coro is a coroutine, not {self.status_coro!r}")
        if not _is_number(self.timeout) or not 1 <= self.timeout <= MaxPulseInterval:
            raise Exception(f"timeout is from 1 to MaxPulseInterval, {MaxPulseInterval}, not {self.timeout!r}")
        if not _is_number(self.pulse_interval) or not MinPulseInterval <= self.pulse_interval <= MaxPulseInterval:
            raise Exception(
                f"pulse_interval is from MinPulseInterval, {MinPulseInterval}, to MaxPulseInterval, "
                f"{MaxPulseInterval}, not {self.pulse_interval!r}"
            )
        ping = self.ping_interval
        if ping is not None and (not _is_number(ping) or ping < MinPulseInterval):
            raise Exception(f"ping_interval is None, or at least MinPulseInterval, {MinPulseInterval}, not {ping!r}")
        if not _is_number(self.zombie_period) or self.zombie_period < 0:
            raise Exception(f"zombie_period is a number of seconds, not {self.zombie_period!r}")
        filters = self.node_filters
        if not isinstance(filters, list | tuple) or not all(isinstance(one, DiscoroNodeFilter) for one in filters):
            raise Exception(f"node_filters is a list of DiscoroNodeFilter, not {filters!r}")

    def _learn(self, facts: NodeFacts) -> bool | None:
        """A filter that leaves all nodes to the others."""
        if self._news is not None:
            self._news.learn(facts)
        return None

    # Its life.

    @sub_call
    def schedule(self, location: Location | None = None, timeout: float | None = None) -> int:
        """With ``yield``: wait for this computation's turn.

        Args:
            location (Location | None): Where the scheduler is; None: in this process, or one that is found by its name.

            timeout (float | None): Longest wait for its answer, in seconds; None: the computation's.

        Returns:
            int: 0 once it has its turn; -1 where there is no scheduler, it was scheduled before, or a file is missing.
        """
        return self._schedule(location, timeout)

    def _schedule(self, location: Location | None, timeout: float | None) -> int:
        missing = [path for path in self._files if not os.path.isfile(path)]
        if missing:
            logger.warning("not scheduled: %s is missing", ", ".join(missing))
            return -1
        scheduler.ensure_started()
        passing_on = None
        if self.status_coro is not None and self._phase is Phase.NEW:
            self._news = self._news_class(self.status_coro, self._name_of)
            passing_on = runtime().spawn(self._news.run)
            passing_on.set_daemon()
            self._native.status_coro = passing_on
        try:
            self._native.schedule(location, timeout)
        except (GreencoroError, TypeError, ValueError) as error:
            logger.warning("not scheduled: %s", error)
            if passing_on is not None:
                passing_on.terminate()
            return -1
        process_exit.at_exit(_CLOSE, self._native.close)
        return 0

    @property
    def _phase(self) -> Phase:
        return self._native._jobs.client.phase

    def _told_of(self, thing: Any) -> Any:
        """What callbacks are told of: where that is a server, its name as well."""
        return DiscoroServerInfo(self._name_of(thing), thing) if type(thing) is Location else thing

    def _name_of(self, location: Location) -> str:
        client = self._native._jobs.client
        with client.lock:
            return next((server.name for server in client.pool.known(location)), str(location))

    @sub_call
    def close(self) -> None:
        """With ``yield``: end jobs that still run, and give the servers back; where it is not scheduled, nothing."""
        self._close()

    def _close(self) -> None:
        process_exit.cancel_at_exit(self._native.close)
        self._native.close()

    # Where it runs.

    @sub_call
    def nodes(self) -> list[str]:
        """With ``yield``: the addresses of the nodes that are ready."""
        return self._native.nodes()

    @sub_call
    def servers(self) -> list[Location]:
        """With ``yield``: the locations of the servers that are ready."""
        return self._native.servers()

    # Jobs.

    @sub_call
    def run_at(self, where: Any, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: run ``gen(*args, **kwargs)`` as a coroutine at a server.

        Args:
            where: The location of one; the address of a node, for its least loaded one; None, as `run`.

            gen: A generator function, or the name of one that is at the server.

        Returns:
            Coro | tuple | None: A reference. None where there is no such server. Of what cannot be run it is the class
            of the exception, the name of the function, and the traceback as text.
        """
        return self._started(where, gen, args, kwargs, self._native.run_at)

    @sub_call
    def run(self, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: as `run_at`, at the least loaded server of the least loaded node."""
        return self._started(None, gen, args, kwargs, self._native.run_at)

    def _started(
        self,
        where: Any,
        gen: Callable[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        start: Callable[..., Any],
    ) -> Any:
        try:
            function, is_certain = self._called(gen, args, kwargs)
            place = _server_of(where)
            if is_certain:
                return start(place, function, *args, **kwargs)
            started = started_there(lambda words: start(place, function, *args, **words), kwargs, function.__name__)
            if isinstance(started, NativeCoro):
                self._proven.add(_proof_of(function))
            return started
        except _NO_SERVER as error:
            logger.warning("%s is not run: %s", _name_of(gen), error)
            return None
        except Exception as error:
            logger.warning("%s cannot be run: %s", _name_of(gen), error)
            return type(error), _name_of(gen), traceback.format_exc()

    @sub_call
    def run_nodes(self, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> list[Any]:
        """With ``yield``: as `run`, at one server of every node; a list of references, without those that failed."""
        return self._all_started(self._native.run_nodes, (), gen, args, kwargs)

    @sub_call
    def run_servers(self, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> list[Any]:
        """With ``yield``: as `run_nodes`, at every server."""
        return self._all_started(self._native.run_servers, (), gen, args, kwargs)

    @sub_call
    def run_node_servers(self, addr: str, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> list[Any]:
        """With ``yield``: as `run_nodes`, at every server of the node with this address or name."""
        return self._all_started(self._native.run_node_servers, (addr,), gen, args, kwargs)

    @sub_call
    def run_each(self, where: Any, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> list[Any]:
        """With ``yield``: `run_servers` for a location or ``"server"``, `run_nodes` for any other text."""
        is_of_servers = isinstance(where, Location) or where == "server"
        start = self._native.run_servers if is_of_servers else self._native.run_nodes
        return self._all_started(start, (), gen, args, kwargs)

    def _called(self, gen: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Callable[..., Any], bool]:
        """As `function_of`, for a call; and whether servers are certain to be able to run it.

        Raises:
            TypeError: It does not take these arguments.
        """
        function = self.function_of(gen)
        if not isinstance(function, NamedFunction):
            filled_in(function, args, kwargs, None, self._coro_class.own_parameter)
        # In an inline cluster there is nobody to say more than that.
        return function, _proof_of(function) in self._proven or current_inline_server() is not None

    def function_of(self, gen: Any) -> Callable[..., Any]:
        """What is run for a generator function, or for the name of one at the servers.

        Raises:
            Exception: It is neither.
        """
        if isinstance(gen, str):
            return self._named.get(gen) or NamedFunction(gen)
        if not is_generator_function(gen):
            raise Exception(f"{_name_of(gen)} is not a generator!")
        function: Callable[..., Any] = gen
        return function

    def _all_started(
        self,
        start: Callable[..., list[Any]],
        where: tuple[Any, ...],
        gen: Callable[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> list[Any]:
        try:
            return start(*map(_server_of, where), self._called(gen, args, kwargs)[0], *args, **kwargs)
        except PartialFailure as failure:
            logger.warning("%s is not run everywhere: %s", _name_of(gen), failure)
            return [coro for coro in failure.results if coro is not None]
        except Exception as error:
            logger.warning("%s is not run: %s", _name_of(gen), error)
            return []


def _proof_of(function: Callable[..., Any]) -> Any:
    return function.__name__ if isinstance(function, NamedFunction) else getattr(function, "__code__", function)


def _name_of(gen: Any) -> str:
    return gen if isinstance(gen, str) else str(getattr(gen, "__name__", gen))


def _server_of(where: Any) -> Any:
    if isinstance(where, DiscoroServerInfo):
        return where.location
    if isinstance(where, str):
        return off_the_hub(lambda: resolve(str(where)))[0]
    return where


def _place_of(path: str | os.PathLike[str]) -> str:
    """A file below the working directory keeps its place there, however it was named."""
    whole = os.path.abspath(path)
    inside = os.path.relpath(whole)
    return whole if inside.startswith(os.pardir) else inside


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
