"""How many CPUs this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from greencoro.compute.control_groups import Group, groups

__all__ = ["cpu_count", "cpu_quota", "quota_of"]


def cpu_count(root: Path = Path("/")) -> int:
    """CPUs that this process may use: those of its affinity, fewer where a control group gives the time of fewer.

    A part of a CPU counts as one.
    """
    quota = cpu_quota(root)
    allowed = len(os.sched_getaffinity(0))
    return allowed if quota is None else min(allowed, max(1, math.ceil(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The time that control groups give, in CPUs (1.5: one and a half); None where they do not limit it."""
    return min((quota for group in groups("cpu", root) if (quota := quota_of(group)) is not None), default=None)


def quota_of(group: Group) -> float | None:
    """The time that a group gives, in CPUs; None where it does not limit it."""
    if group.version == 2:
        quota, _, period = group.read("cpu.max").strip().partition(" ")
        # "max 100000", where there is no limit
        return _share(int(quota), int(period)) if quota.isdecimal() and period.isdecimal() else None
    # -1 is no number here, and stands for no limit.
    quota_us, period_us = group.number("cpu.cfs_quota_us"), group.number("cpu.cfs_period_us")
    return None if quota_us is None or period_us is None else _share(quota_us, period_us)


def _share(quota: int, period: int) -> float | None:
    return quota / period if quota and period else None
