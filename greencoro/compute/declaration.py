"""What sends the jobs of a computation that is declared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from greencoro import compute
from greencoro.compute.filters import Filter
from greencoro.compute.hook_functions import HookFunctions
from greencoro.compute.job_launcher import JobLauncher
from greencoro.compute.packed import CodePackager
from greencoro.compute.requirements import parse_requirements
from greencoro.compute.shipping import Shipping
from greencoro.compute.terms import checked_terms

__all__ = ["launcher"]


def launcher(
    components: Sequence[Any] | Any,
    *,
    timeout: float | None,
    pulse_interval: float | None,
    ping_interval: float | None,
    zombie_period: float,
    node_filters: Iterable[Filter],
    requirements: Iterable[str],
    forward_output: bool,
    hooks: HookFunctions,
    packager: CodePackager | None,
) -> JobLauncher:
    """Made of the arguments of `Computation`, which see, and what packs its code; None: a `Packager`.

    Raises:
        PackagingError: A component cannot be shipped.

        TypeError, ValueError: Another argument is none of what it may be.
    """
    shortest, longest = compute.MinPulseInterval, compute.MaxPulseInterval
    terms = checked_terms(
        compute.MsgTimeout if timeout is None else timeout,
        2 * shortest if pulse_interval is None else pulse_interval,
        ping_interval,
        zombie_period,
        node_filters,
        shortest=shortest,
        longest=longest,
    )
    terms = replace(
        terms, requirements=parse_requirements(requirements), forward_output=bool(forward_output), hooks=hooks
    )
    listed = components if isinstance(components, list | tuple) else [components]
    return JobLauncher(Shipping(listed, terms.timeout, packager), terms)
