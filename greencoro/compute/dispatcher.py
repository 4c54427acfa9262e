"""What gives the jobs of one scheduler places at servers, one after another at each."""

from __future__ import annotations

import enum
import functools
import math
import secrets
from collections.abc import Callable
from typing import Any

from greencoro.compute.inline import current_inline_server
from greencoro.compute.job import Job
from greencoro.compute.job_handle import JobHandle
from greencoro.compute.job_journal import journal
from greencoro.compute.job_launcher import JobLauncher
from greencoro.compute.lanes import Grant, Lanes
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Prepared
from greencoro.compute.submission import Submission
from greencoro.errors import ComputationClosed, CoroTerminated, NoMatchingServer
from greencoro.hub import forks, native, userhub
from greencoro.hub.completion import Completion

__all__ = ["Dispatcher", "Ticket", "cancelled"]

_LATE_SECONDS = 0.01


class Ticket(Completion):
    """A claim to a place at a server: set when there is one; or it says why there will be none.

    Attributes:
        asked (float): When, by the monotonic clock.

        server (str | None): Where the place is, once there is one.
    """

    __slots__ = ("asked", "is_overdue", "server")

    def __init__(self, asked: float) -> None:
        super().__init__()
        self.asked = asked
        self.server: str | None = None
        #: Its time is over, and it is found out why; the user hub's.
        self.is_overdue = False


class _Standing(enum.Enum):
    """What a server is to a scheduler."""

    #: Its user has not said yet whether it may be used.
    MET = "met"
    #: May be used.
    OPEN = "open"
    #: May not.
    REFUSED = "refused"


class Dispatcher:
    """Places for jobs at the servers of one computation.

    Args:
        launcher: What sends them.

        meet: Called on the user hub with each server that becomes ready; `open` or `refuse` says whether it is used.

        left: Called on the user hub with each server that was used and is gone.

        patience (float | None): How long a job waits while there is no server to be used, in seconds; None: the
            launcher's timeout.
    """

    def __init__(
        self,
        launcher: JobLauncher,
        meet: Callable[[Server], object],
        left: Callable[[Server], object],
        patience: float | None = None,
    ) -> None:
        forks.refuse()
        self.launcher = launcher
        self._meet = meet
        self._left = left
        self._patience = launcher.timeout if patience is None else patience
        self._name = secrets.token_hex(8)  # of its lanes at the servers
        # For `_lanes` and `Ticket.server`; held for a few lines, with no call out of these.
        self._lock = native.Lock()
        self._lanes = Lanes()
        #: How often all jobs were cancelled: whoever has more of them to send looks.
        self.cancels = 0
        #: Jobs that are not over.
        self.outstanding: dict[JobHandle, None] = {}
        #: The user hub's, from here on.
        self._servers: dict[str, tuple[Server, _Standing]] = {}
        #: Why servers were refused.
        self._refusals: dict[str, str] = {}
        #: Since when there is none that is or may come to be used; None while there is one.
        self._none_since: float | None = native.monotonic()
        self._timer: Any = None
        self._is_closed = False
        launcher.on_servers.append(self._look)
        launcher.on_shortage.append(self._count_waiting)
        # For those that are ready already.
        userhub.post(self._look)

    @property
    def room(self) -> int:
        """How many jobs all servers together may have at once."""
        with self._lock:
            return self._lanes.room

    # Tickets; any thread or coroutine.

    def ask(self, alone: bool) -> Ticket:
        """Have a place at a server, at once or later.

        Args:
            alone (bool): At one that has no job of this scheduler.

        Raises:
            ComputationClosed: It is not scheduled, or closed; or `close` was called.
        """
        self._check_open()
        ticket = Ticket(native.monotonic())
        with self._lock:
            ticket.server = self._lanes.ask(ticket, alone, ticket.asked)
        if ticket.server is not None:
            ticket.set()
        else:
            # After it can be found: whoever looks later finds it.
            userhub.post(self._watch_over_tickets)
        return ticket

    def give_up(self, ticket: Ticket) -> None:
        """Nothing will be sent with a ticket, be it granted or not."""
        server = self._change(self._lanes.give_up, ticket, ticket=ticket)
        if server is not None:
            self._free(ticket, ran=False)

    def withdraw(self, ticket: Ticket, error: BaseException) -> None:
        """Have whoever waits with a ticket get an error; nothing, where it is granted."""
        if self._change(self._lanes.give_up, ticket, ticket=ticket) is None:
            ticket.fail(error)

    def claim(self, alone: bool) -> Ticket:
        """As `ask`, then `await_place`."""
        return self.await_place(self.ask(alone))

    def await_place(self, ticket: Ticket) -> Ticket:
        """Wait until a ticket is granted; while there are servers, without limit. Where this raises, it is given up.

        Raises:
            NoMatchingServer: There was none within the computation's timeout.

            ComputationClosed: It is not scheduled, or closed.

            CoroTerminated: `cancel_all` was called.

            BaseException: What `withdraw` was called with.
        """
        try:
            ticket.result()
        except BaseException:
            self.give_up(ticket)
            raise
        return ticket

    def submit(self, ticket: Ticket, prepared: Prepared, number: int | None = None) -> JobHandle | None:
        """A job for the place that was granted; None where its server takes none any more: ask anew.

        Args:
            number (int | None): In the journal; None: it has been submitted when the place was asked for.

        Where its server is lost and it may be run again, it gets another place by itself.

        Raises:
            BusyResource: The server has too many jobs.

            ComputationClosed: It is closed.
        """

        def submit(server: Server) -> JobHandle:
            if number is None:
                job = journal.submitted(prepared.name, ticket.asked, "for its turn at a server")
            else:
                job = number
            return self.launcher.submit(server, prepared, self._name, self._send_again, number=job)

        job: JobHandle | None = self._put(ticket, submit)
        if job is not None:
            self.keep(job)
            self._free_after(ticket, job)
        return job

    def _send_again(self, job: JobHandle) -> None:
        """Give a place to a job that has lost its server, or was handed back; `JobLauncher.submit` says more."""
        is_sent: bool | None = None
        while is_sent is None:
            ticket = self.claim(alone=False)
            is_sent = self._put(ticket, functools.partial(self.launcher.submit_again, job))
        if is_sent:
            self._free_after(ticket, job)
            self.launcher.queue(job)
        else:
            self._free(ticket, ran=False)

    def _put(self, ticket: Ticket, submit: Callable[[Server], Any]) -> Any:
        """What ``submit(server)`` returns; None where the ticket's server takes no job any more."""
        assert ticket.server is not None
        try:
            server = self.launcher.take(ticket.server)
            if server is not None:
                return submit(server)
        except BaseException:
            self._free(ticket, ran=False)
            raise
        self._change(self._lanes.shut, ticket.server)
        self._free(ticket, ran=False)
        return None

    def _free_after(self, ticket: Ticket, job: JobHandle) -> None:
        """Free the place when this attempt is over."""
        attempt = job.attempt
        assert attempt is not None
        attempt.outcome.add_callback(functools.partial(self._attempt_over, ticket, attempt))

    def _attempt_over(self, ticket: Ticket, attempt: Submission) -> None:
        self._free(ticket, attempt.ended().ran_to_its_end)

    def _free(self, ticket: Ticket, ran: bool) -> None:
        self._change(self._lanes.over, ticket.server, ticket, ran)

    def keep(self, job: JobHandle) -> None:
        """Count a job among those outstanding, until it is over."""
        self.outstanding[job] = None
        job.outcome.add_callback(functools.partial(self.outstanding.pop, job, None))

    def prepare(self, job: Job, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared:
        """As `Shipping.prepare`; the arguments are those of now, also where they are not sent anywhere.

        Nobody is told of them, so that beside their snapshot they are not kept.
        """
        prepared = self.launcher.shipping.prepare(job, args, kwargs)
        inline = current_inline_server()
        return prepared._replace(args=(), kwargs={}) if inline is None else inline.snapshot(prepared)

    def cancel_all(self) -> int:
        """End all jobs; whoever waits for a place gets `CoroTerminated`. Returns how many were ended."""
        self.cancels += 1
        for ticket in self._waiting():
            self.withdraw(ticket, cancelled())
        return sum(job.cancel() for job in list(self.outstanding))

    def close(self) -> None:
        """Give no places any more: whoever waits for one, or asks for one, gets `ComputationClosed`.

        Jobs that have places go on; none of them is run again.
        """
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if not was_closed:
            self.launcher.on_servers.remove(self._look)
            self.launcher.on_shortage.remove(self._count_waiting)
            userhub.post(self._watch_over_tickets)

    def _check_open(self) -> None:
        self.launcher.check_open()
        if self._is_closed:
            raise ComputationClosed("what has sent the jobs is shut down")

    def _count_waiting(self) -> int:
        return len(self._waiting())

    def _waiting(self) -> list[Any]:
        with self._lock:
            return list(self._lanes.waiting())

    def _change(self, change: Callable[..., list[Grant]], *about: Any, ticket: Ticket | None = None) -> str | None:
        """Have the lanes changed, and tell whoever has a place now; the server of ``ticket``."""
        with self._lock:
            grants: list[Any] = change(*about, native.monotonic())
            for granted, server in grants:
                granted.server = server
            found = None if ticket is None else ticket.server
        for granted, _ in grants:
            granted.set()
        return found

    # Servers; on the user hub.

    def open(self, server: Server) -> None:
        """A server that was met may be used."""
        if server.id in self._servers:
            self._servers[server.id] = server, _Standing.OPEN
            self._change(self._lanes.open, server.id, server.node)

    def refuse(self, server: Server, why: str) -> None:
        """A server that was met may not be used."""
        if server.id in self._servers:
            self._servers[server.id] = server, _Standing.REFUSED
            self._refusals[server.id] = f"{server.location} {why}"
            self._watch_over_tickets()

    def used(self) -> list[Server]:
        """The servers that are used."""
        return [server for server, standing in list(self._servers.values()) if standing is _Standing.OPEN]

    def _look(self) -> None:
        """Servers have come or gone, or the computation is over."""
        client = self.launcher.client
        with client.lock:
            ready = list(client.pool.ready())
            gone = [known for known in self._servers if client.pool.get(known) is None]
        for server_id in gone:
            server, standing = self._servers.pop(server_id)
            self._refusals.pop(server_id, None)
            self._change(self._lanes.shut, server_id)
            if standing is _Standing.OPEN:
                self._left(server)
        for server in ready:
            if server.id not in self._servers:
                self._servers[server.id] = server, _Standing.MET
                self._meet(server)
        self._watch_over_tickets()

    def _watch_over_tickets(self) -> None:
        """See to it that nobody waits for ever for a server where there is none."""
        try:
            self._check_open()
        except ComputationClosed as error:
            for ticket in self._waiting():
                self.withdraw(ticket, error)
        if any(standing is not _Standing.REFUSED for _, standing in self._servers.values()):
            self._none_since = None
        elif self._none_since is None:
            self._none_since = native.monotonic()
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        if self._none_since is not None and self._patience < math.inf:
            self._refuse_overdue(self._none_since)

    def _refuse_overdue(self, none_since: float) -> None:
        now = native.monotonic()
        next_time: float | None = None
        overdue: list[Ticket] = []
        for ticket in self._waiting():
            until = max(ticket.asked, none_since) + self._patience
            if ticket.is_overdue:
                continue
            if until <= now:
                ticket.is_overdue = True
                overdue.append(ticket)
            elif next_time is None or until < next_time:
                next_time = until
        if overdue:
            # A coroutine, for a scheduler elsewhere is asked why there is no server.
            self.launcher.client.runtime.spawn(self._refuse_all, overdue).set_daemon()
        if next_time is not None:
            # A little late, so that it is over by then whatever the timer's resolution.
            self._timer = userhub.call_later(next_time - now + _LATE_SECONDS, self._watch_over_tickets)

    def _refuse_all(self, overdue: list[Ticket]) -> None:
        error = self._no_server()
        for ticket in overdue:
            ticket.is_overdue = False
            if self._none_since is not None:  # none has come meanwhile
                self.withdraw(ticket, NoMatchingServer(str(error)))

    def _no_server(self) -> NoMatchingServer:
        if self._refusals:
            refused = "; ".join(self._refusals.values())
            return NoMatchingServer(f"no server within {self._patience:g} s: {refused}")
        return self.launcher.no_server()


def cancelled() -> CoroTerminated:
    """What whoever wants a place gets where all jobs are cancelled."""
    return CoroTerminated("it was cancelled before a server was free for it")
