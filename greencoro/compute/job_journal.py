"""The log of this process's jobs, for any thread."""

from __future__ import annotations

from typing import Any

from greencoro.compute.job_log import JobLog, JobRecord
from greencoro.errors import ComputeError, GreencoroError, MonitorException
from greencoro.hub import native

__all__ = ["JobJournal", "journal"]

#: Of a list the last so many.
_MOST_LISTED = 1000


class JobJournal:
    """As `JobLog`, with the time and the lock; jobs are counted from 1.

    Nothing here calls anything of the user's, so it may be told things on any thread but the reactor.
    """

    def __init__(self) -> None:
        # Held for a few lines, with no call out.
        self._lock = native.Lock()
        self._log = JobLog()
        self._last = 0

    def submitted(self, name: str, since: float | None = None, why: str = "") -> int:
        """There is a new job, which waits since then (None: now); its number."""
        with self._lock:
            self._last += 1
            self._log.submitted(self._last, name, native.monotonic() if since is None else since, why)
            return self._last

    def waits(self, job: int, why: str) -> None:
        """See `JobLog.waits`; where a server has it meanwhile, nothing."""
        with self._lock:
            if self._log.is_waiting(job):
                self._log.waits(job, why, native.monotonic())

    def sent(self, job: int, server: str) -> None:
        """See `JobLog.sent`."""
        with self._lock:
            self._log.sent(job, server, native.monotonic())

    def begun(self, job: int, coro: str) -> None:
        """See `JobLog.begun` and `JobLog.referred`."""
        with self._lock:
            self._log.begun(job, native.monotonic())
            self._log.referred(job, coro)

    def lost(self, job: int, explanation: str, why: str) -> None:
        """See `JobLog.lost`."""
        with self._lock:
            self._log.lost(job, explanation, why, native.monotonic())

    def over(self, job: int, notice: Any) -> None:
        """It has its outcome: a `MonitorException`, or what the runtime has in its place, which is not decoded."""
        explanation = _explanation(notice)
        with self._lock:
            self._log.over(job, notice.kind, native.monotonic(), explanation)

    def given_up(self, job: int, error: BaseException) -> None:
        """It was not sent anywhere, because of this; where a server has had it, nothing."""
        self._over_unsent(job, "not sent", _said(error))

    def cancelled(self, job: int) -> None:
        """Nobody wants it any more, and no server has had it."""
        self._over_unsent(job, "cancelled", "before it was sent")

    def _over_unsent(self, job: int, outcome: str, explanation: str) -> None:
        with self._lock:
            if self._log.is_unsent(job):
                self._log.over(job, outcome, native.monotonic(), explanation)

    # For people.

    def lines(self, job: int | str) -> list[str]:
        """See `JobRecord.lines`.

        Raises:
            ComputeError: Nothing is known of it.
        """
        with self._lock:
            return list(self._known(job).lines(native.monotonic()))

    def report(self, job: int | str) -> dict[str, Any]:
        """See `JobRecord.report`; raises as `lines`."""
        with self._lock:
            return self._known(job).report(native.monotonic())

    def last(self, count: int) -> tuple[list[str], list[dict[str, Any]]]:
        """The last jobs in the order of their numbers: a line and the JSON of each."""
        with self._lock:
            now = native.monotonic()
            records = sorted(self._log.records(), key=lambda record: record.id)[-min(count, _MOST_LISTED) :]
            return [record.line(now) for record in records], [record.report(now) for record in records]

    def _known(self, job: int | str) -> JobRecord:
        record = self._log.find(job)
        if record is None:
            how = "" if isinstance(job, int) else "it is named by a number, or as name/number@host:port; "
            raise ComputeError(f"nothing is known of job {job}: {how}this process has had {self._last} jobs")
        return record


def _explanation(notice: Any) -> str:
    if not isinstance(notice, MonitorException):
        return str(getattr(notice, "error_type", ""))
    if notice.error is None:
        return ""
    return _said(notice.error) if notice.kind == "lost" else type(notice.error).__name__


def _said(error: BaseException) -> str:
    # What others raise may hold arguments, and is not asked for its text, which runs their code.
    return f"{type(error).__name__}: {error}" if isinstance(error, GreencoroError) else type(error).__name__


#: That of this process.
journal = JobJournal()
