"""Measures what of this machine is free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.control_groups import groups
from greencoro.compute.cpu_count import quota_of
from greencoro.hub import native

__all__ = ["Availability"]


class Availability:
    """What is free for this process and its children; reads files, so it is not for a reactor.

    Where control groups limit this process, what is free within their limits counts, where that is less.

    Args:
        path (Path): A directory on the partition that is looked at.

        addr (str): The node's address, for `NodeAvailInfo`.

        root (Path): Where the system's file tree begins.
    """

    def __init__(self, path: Path, addr: str = "", root: Path = Path("/")) -> None:
        self._path = path
        self._addr = addr
        self._root = root
        self._at = native.monotonic()
        self._times = _cpu_times()
        self._used = self._used_seconds()

    def measure(self) -> NodeAvailInfo:
        """What is free now; of the CPUs on average since the last call (the first one: since this was made).

        Raises:
            OSError: It cannot be found out; the directory is gone, for instance.
        """
        try:
            memory, swap = psutil.virtual_memory().available, psutil.swap_memory()
        except (psutil.Error, RuntimeError) as error:
            raise OSError(f"cannot measure the memory: {error}") from error
        disk = os.statvfs(self._path)
        return NodeAvailInfo(
            cpu=round(self._free_cpu(), 1),
            memory=max(0, min([memory, *self._free_memory()])),
            disk=disk.f_bavail * disk.f_frsize,
            swap=round(100.0 - swap.percent, 1) if swap.total else 0.0,
            addr=self._addr,
        )

    def _free_cpu(self) -> float:
        """In percent."""
        now, times, used = native.monotonic(), _cpu_times(), self._used_seconds()
        free = [_idle_percent(self._times, times)]
        for group, (quota, seconds) in used.items():
            allowed = quota * (now - self._at)
            if group in self._used and allowed > 0:
                free.append(100.0 * (1 - (seconds - self._used[group][1]) / allowed))
        self._at, self._times, self._used = now, times, used
        return max(0.0, min(free))

    def _used_seconds(self) -> dict[Path, tuple[float, float]]:
        """Of each group with a quota the quota in CPUs, and the seconds of CPU time used so far."""
        limiting, counting = groups("cpu", self._root), groups("cpuacct", self._root)
        if [group.version for group in limiting] != [group.version for group in counting]:
            return {}  # version 1 with a tree for each, and this process at different depths: what counts for what?
        used = {}
        for group, counter in zip(limiting, counting, strict=True):
            quota = quota_of(group)
            if group.version == 2:
                seconds = _in(counter.number("cpu.stat", "usage_usec"), 1e6)
            else:
                seconds = _in(counter.number("cpuacct.usage"), 1e9)
            if quota is not None and seconds is not None:
                used[group.directory] = quota, seconds
        return used

    def _free_memory(self) -> Iterator[int]:
        """Of each group with a limit, in bytes."""
        for group in groups("memory", self._root):
            limit = group.number("memory.max" if group.version == 2 else "memory.limit_in_bytes")
            usage = group.number("memory.current" if group.version == 2 else "memory.usage_in_bytes")
            if limit is not None and usage is not None:
                # The cache of files counts as used, and is given back when somebody wants memory.
                cache = group.number("memory.stat", "inactive_file" if group.version == 2 else "total_inactive_file")
                yield limit - usage + (cache or 0)


def _in(count: int | None, unit: float) -> float | None:
    return None if count is None else count / unit


def _cpu_times() -> list[Any]:
    """Of each CPU that this process may use what it has done, as psutil counts it."""
    allowed = os.sched_getaffinity(0)
    times = psutil.cpu_times(percpu=True)
    return [time for number, time in enumerate(times) if number in allowed] or times


def _idle_percent(before: list[Any], after: list[Any]) -> float:
    busy = _busy_seconds(after) - _busy_seconds(before)
    idle = _idle_seconds(after) - _idle_seconds(before)
    # A CPU that came or went makes the sums jump.
    if len(before) != len(after) or busy < 0 or idle < 0 or busy + idle <= 0:
        return 100.0
    return 100.0 * idle / (busy + idle)


def _idle_seconds(times: list[Any]) -> float:
    return float(sum(time.idle + time.iowait for time in times))


def _busy_seconds(times: list[Any]) -> float:
    # What guests use is counted as the user's as well.
    return float(sum(time.user + time.nice + time.system + time.irq + time.softirq + time.steal for time in times))
