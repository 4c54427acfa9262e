"""The terms on which a computation is scheduled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from greencoro.compute.filters import Filter, check_filters
from greencoro.compute.hook_functions import HookFunctions
from greencoro.compute.requirements import Requirement

__all__ = ["Terms", "checked_terms", "checked_zombie_period"]


@dataclass(frozen=True)
class Terms:
    """What a client says of a computation beside its code.

    Attributes:
        timeout (float): Longest wait for a server, and for its answer, in seconds.

        pulse_interval (float): How often those who take part say that they are alive, in seconds.

        ping_interval (float | None): How often the scheduler looks for further nodes, in seconds; None: as it does
            anyway.

        zombie_period (float): Seconds without a job after which a node may close the computation; 0: never.

        node_filters: Which nodes it accepts.

        requirements: Packages that every server has to have.

        forward_output (bool): Show at the client what jobs print.

        hooks: What is run around the jobs.
    """

    timeout: float = 10.0
    pulse_interval: float = 20.0
    ping_interval: float | None = None
    zombie_period: float = 0.0
    node_filters: tuple[Filter, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    forward_output: bool = True
    hooks: HookFunctions = field(default_factory=HookFunctions)


def checked_terms(
    timeout: object,
    pulse_interval: object,
    ping_interval: object,
    zombie_period: object,
    node_filters: Iterable[Filter],
    *,
    shortest: float,
    longest: float,
) -> Terms:
    """The terms, once each is known to be possible.

    Args:
        shortest, longest (float): Limits of the pulse interval, in seconds.

    Raises:
        TypeError, ValueError: One is not.
    """
    seconds = _seconds("timeout", timeout)
    if not seconds > 0:
        raise ValueError(f"the timeout is a positive number of seconds, not {timeout!r}")
    pulse = _seconds("pulse_interval", pulse_interval)
    if not shortest <= pulse <= longest:
        raise ValueError(
            f"pulse_interval is {pulse:g} s; it can be from MinPulseInterval, {shortest:g} s, to MaxPulseInterval, "
            f"{longest:g} s"
        )
    ping = None if ping_interval is None else _seconds("ping_interval", ping_interval)
    if ping is not None and ping < shortest:
        raise ValueError(f"ping_interval is {ping:g} s; it is None, or at least MinPulseInterval, {shortest:g} s")
    zombie = _seconds("zombie_period", zombie_period)
    if zombie and zombie < longest:
        raise ValueError(f"zombie_period is {zombie:g} s; it is 0, or at least MaxPulseInterval, {longest:g} s")
    return Terms(seconds, pulse, ping, zombie, check_filters(node_filters))


def checked_zombie_period(value: object) -> float:
    """Seconds, or 0 for never.

    Raises:
        TypeError, ValueError: It is no number of seconds from 0 on.
    """
    zombie = _seconds("zombie_period", value)
    if zombie < 0:
        raise ValueError(f"zombie_period is 0 or more seconds, not {value!r}")
    return zombie


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} is a number of seconds, not {value!r}")
    return float(value)
