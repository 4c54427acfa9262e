"""The environment of server processes, and so of jobs."""

from __future__ import annotations

from greencoro.compute.child import child_environment
from greencoro.config import ENVIRONMENT_PREFIX

__all__ = ["job_environment"]


def job_environment() -> dict[str, str]:
    """The daemon's, without greencoro's settings: where the secret is, say, is none of a job's business.

    A server has its settings from the daemon.
    """
    return {name: value for name, value in child_environment().items() if not name.startswith(ENVIRONMENT_PREFIX)}
