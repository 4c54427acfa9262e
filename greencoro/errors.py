"""Every public exception of greencoro.

::

    GreencoroError
      WouldBlock                  (also BlockingIOError)  only by waiting could this be done
      DeadlineExceeded            (also TimeoutError)     the time given was over first
      BusyResource                two users at once of a thing for one
      ClosedResource              our side closed it
      BrokenResource              the other side or the network did
      EndOfChannel                nothing will come any more
      CoroTerminated              the coroutine waited for was terminated
      LinkedCoroEnded             .coro, .kind, .error: a linked coroutine did not finish
      TooManyRestarts             a supervisor gave up on a child
      RemoteError                 .traceback_text, .location: what went wrong elsewhere
      NetworkError                (also OSError)
        PeerUnreachable, PeerLost
        AuthenticationError
        ProtocolError             abstract
          LocalProtocolError      this side asked for something illegal: a bug here
          RemoteProtocolError     the peer did
        IncompatibleVersion
      TransferError
      ConfigError                 (also ValueError)       a setting that cannot work
      ComputeError
        PackagingError            (also TypeError)        this cannot be shipped
        NoMatchingServer, ServerDied, ComputationClosed
        JobTimeLimit              (also TimeoutError)     a job ran longer than it may
        PartialFailure            .results, .failures: some of several failed
    Terminated                    (greenlet.GreenletExit: a BaseException)
    MonitorException              the notice of a coroutine's end; a message, not raised
    HotSwapException              raised in a coroutine that is to go on as another function

``Terminated`` is what a coroutine meets inside itself when somebody ends it; it is no ``Exception``, so that
``except Exception`` in user code lets it by. Whoever waits for that coroutine gets ``CoroTerminated``.
"""

from __future__ import annotations

from typing import Any

from greenlet import GreenletExit

__all__ = [
    "AuthenticationError",
    "BrokenResource",
    "BusyResource",
    "ClosedResource",
    "ComputationClosed",
    "ComputeError",
    "ConfigError",
    "CoroTerminated",
    "DeadlineExceeded",
    "EndOfChannel",
    "GreencoroError",
    "HotSwapException",
    "IncompatibleVersion",
    "JobTimeLimit",
    "LinkedCoroEnded",
    "LocalProtocolError",
    "MonitorException",
    "NetworkError",
    "NoMatchingServer",
    "PackagingError",
    "PartialFailure",
    "PeerLost",
    "PeerUnreachable",
    "ProtocolError",
    "RemoteError",
    "RemoteProtocolError",
    "ServerDied",
    "Terminated",
    "TooManyRestarts",
    "TransferError",
    "WouldBlock",
]


class GreencoroError(Exception):
    """Root of what greencoro raises on purpose."""


class WouldBlock(GreencoroError, BlockingIOError):
    """The call could only be done by waiting, and its caller may not wait."""


class DeadlineExceeded(GreencoroError, TimeoutError):
    """The time given was over before the thing waited for happened.

    What was waited for goes on: a coroutine whose ``value(timeout)`` raised this still runs.
    """


class BusyResource(GreencoroError):
    """Two users at once of a thing that serves one."""


class ClosedResource(GreencoroError):
    """Our own side closed it earlier."""


class BrokenResource(GreencoroError):
    """The other side or the network broke it."""


class EndOfChannel(GreencoroError):
    """Nothing will come any more: the normal end."""


class CoroTerminated(GreencoroError):
    """The coroutine waited for was terminated, so it has no result."""


class LinkedCoroEnded(GreencoroError):
    """Raised at the waiting call of a coroutine when one that it is linked to raised or was terminated.

    Attributes:
        coro: The coroutine that ended.

        kind (str): As in `MonitorException`: ``"exception"``, ``"terminated"`` or ``"lost"``.

        error (BaseException | None): What it raised.
    """

    def __init__(self, coro: Any, kind: str, error: BaseException | None = None) -> None:
        self.coro = coro
        self.kind = kind
        self.error = error
        super().__init__(coro, kind, error)

    def __str__(self) -> str:
        reason = f": {type(self.error).__name__}: {self.error}" if self.error is not None else ""
        return f"linked coroutine {self.coro} ended ({self.kind}){reason}"


class TooManyRestarts(GreencoroError):
    """A supervisor's children failed more often than it may start them again; names the last and what it raised."""


class RemoteError(GreencoroError):
    """Something raised in another process.

    Where the exception's own class can be imported here, that exception is raised and this one is its ``__cause__``;
    where not, this one is raised in its place, and so it is for what is no `Exception`: `SystemExit` ends nobody here.

    Attributes:
        traceback_text (str): The traceback as the other process would have printed it.

        location: Where it happened (a ``Location``), or None where that is not known.
    """

    def __init__(self, message: str, traceback_text: str = "", location: Any = None) -> None:
        super().__init__(message, traceback_text, location)
        self.message = message
        self.traceback_text = traceback_text
        self.location = location

    def __str__(self) -> str:
        where = f" at {self.location}" if self.location is not None else ""
        if not self.traceback_text:
            return f"{self.message}{where}"
        return f"{self.message}{where}\n--- remote traceback ---\n{self.traceback_text.rstrip()}"


class NetworkError(GreencoroError, OSError):
    """What goes wrong between two processes."""

    __str__ = Exception.__str__


class PeerUnreachable(NetworkError):
    """No connection to the peer could be made; the message says what was tried."""


class PeerLost(NetworkError):
    """There was a connection to the peer and it is gone for good."""


class AuthenticationError(NetworkError):
    """The other side does not know our secret, or is not greencoro at all."""


class ProtocolError(NetworkError):
    """Somebody did not keep to the protocol. Abstract: one of the two below is raised."""


class LocalProtocolError(ProtocolError):
    """This side asked for something the protocol does not allow: a bug here."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the protocol does not allow."""


class IncompatibleVersion(NetworkError):
    """The peer speaks another version of the protocol, runs another minor version of Python, or has another serializer.

    It names both.
    """


class TransferError(GreencoroError):
    """A file could not be transferred."""


class ConfigError(GreencoroError, ValueError):
    """A setting, or two settings together, that cannot work."""


class ComputeError(GreencoroError):
    """What goes wrong about computations and their jobs."""


class PackagingError(ComputeError, TypeError):
    """A function, class or argument that cannot be shipped; the message names the path to the culprit."""


class NoMatchingServer(ComputeError):
    """There is no server that this could run on; the message says what was tried."""


class ServerDied(ComputeError):
    """The server process that ran a job is gone; the message says how it ended."""


class ComputationClosed(ComputeError):
    """The computation is not (or no longer) scheduled, so it runs no jobs."""


class JobTimeLimit(ComputeError, TimeoutError):
    """The job ran for longer than its time limit, so it was ended; the message says how long that was."""


class PartialFailure(ComputeError):
    """Of several starts asked for at once some failed.

    Attributes:
        results (list): What did start.

        failures (dict): Location (or address) -> exception, for those that did not.
    """

    def __init__(self, message: str, results: list[Any], failures: dict[Any, BaseException]) -> None:
        super().__init__(message, results, failures)
        self.results = results
        self.failures = failures

    def __str__(self) -> str:
        return str(self.args[0])


class Terminated(GreenletExit):
    """Raised at the waiting call of a coroutine that somebody terminates. Clean up and let it pass."""


class MonitorException(Exception):
    """The notice of a coroutine's end: it comes as a message to whoever monitors that coroutine, and is never raised.

    Unpacks as the seeds describe: ``coro, (type, value) = notice.args``.

    Attributes:
        coro: The coroutine that ended.

        kind (str): ``"finished"``, ``"exception"``, ``"terminated"`` or ``"lost"`` (its process is gone).

        value: Its result where it finished; else None.

        error (BaseException | None): What it raised, or what tells of the loss.

        traceback_text (str): The traceback of ``error`` as text, where there is one.
    """

    def __init__(
        self, coro: Any, kind: str, value: Any = None, error: BaseException | None = None, traceback_text: str = ""
    ) -> None:
        self.coro = coro
        self.kind = kind
        self.value = value
        self.error = error
        self.traceback_text = traceback_text
        # What old programs index: a terminated coroutine looks finished there (legacy-api 3.3).
        outcome = (StopIteration, value) if error is None or kind == "terminated" else (type(error), error)
        super().__init__(coro, outcome)

    def __reduce__(self) -> tuple[Any, ...]:
        return MonitorException, (self.coro, self.kind, self.value, self.error, self.traceback_text)

    def __str__(self) -> str:
        if self.kind == "finished":
            return f"{self.coro} finished"
        return f"{self.coro} {self.kind}" + (f": {type(self.error).__name__}: {self.error}" if self.error else "")


class HotSwapException(Exception):
    """Raised at the waiting call of a coroutine that `hot_swap` was called for.

    A function that catches it and goes on refuses the swap. One that lets it by, or raises it again, is over, and the
    coroutine goes on as the new function, with its messages.

    Attributes:
        args: One element: the new function (of a generator function: the new generator).
    """
