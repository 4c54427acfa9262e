"""Makes a process one that may use only so much, and runs as somebody else."""

from __future__ import annotations

import os
import pwd
import resource
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from greencoro.compute.limits import Limits
from greencoro.errors import ConfigError

__all__ = ["User", "apply", "check_can_run", "find_user", "hand_over"]

_KINDS = {
    "as": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
    "nproc": resource.RLIMIT_NPROC,
    "fsize": resource.RLIMIT_FSIZE,
}
#: SIGXCPU tells a process that its CPU time is over; one that goes on is killed so many seconds of it later.
_LAST_CPU_SECONDS = 1
#: A server's directory is so far below that which all daemons have in common.
_LEVELS = 2
#: What lets everybody go through a directory.
_PASSABLE = 0o011


@dataclass(frozen=True)
class User:
    """Whom a process runs as: all that is to be known before it is forked."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find_user(name: str) -> User:
    """The user of this name on this machine.

    Raises:
        ConfigError: There is none, or it is not for this process to start others as somebody else.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(f"user {name!r}: there is none on this machine") from None
    if os.geteuid() != 0:
        raise ConfigError(f"user {name!r}: only root can start servers as another user")
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


def check_can_run(user: User) -> None:
    """Can the user run this Python, with greencoro? For a process without threads; takes a moment.

    Raises:
        ConfigError: There is something that only the daemon's own user can read.
    """
    root = str(Path(__file__).resolve().parents[2])
    program = f"import sys; sys.path.insert(0, {root!r}); import pprint, gevent, greencoro.compute.confinement"
    try:
        subprocess.run(
            [sys.executable, "-P", "-c", program],
            cwd="/",
            user=user.uid,
            group=user.gid,
            extra_groups=user.groups,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.stderr.strip().rpartition("\n")[2]
        raise ConfigError(f"user {user.name!r} cannot run {sys.executable} with greencoro: {reason}") from None


def hand_over(directory: Path, user: User) -> None:
    """Give the user a directory of a node's server, with a way to it through those above that are the daemons'.

    Raises:
        OSError: It cannot be given.
    """
    for above in list(directory.parents)[:_LEVELS]:
        # The outer one may be anybody's, such as /tmp: what others may do there they still may.
        before = stat.S_IMODE(above.stat().st_mode)
        if before & _PASSABLE != _PASSABLE:
            above.chmod(before | _PASSABLE)
    os.chown(directory, user.uid, user.gid)


def apply(limits: Limits, user: User | None = None) -> None:
    """Limit this process for good, and have it run as the user; neither can be taken back, by nobody but root.

    For a fresh child, before anything of a job runs there. Changing the user clears what prctl(PR_SET_PDEATHSIG) set:
    set that afterwards.

    Raises:
        OSError: The kernel refuses. Then the child has to end: it may be half of what it was to become.
    """
    for kind, value in limits.by_kind().items():
        _limit(_KINDS[kind], value)
    if user is not None:
        # In this order: without its user a process may not change its groups.
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)


def _limit(kind: int, value: int) -> None:
    _, hard_before = resource.getrlimit(kind)
    hard = value + _LAST_CPU_SECONDS if kind == resource.RLIMIT_CPU else value
    if hard_before != resource.RLIM_INFINITY:
        # What the daemon itself was limited to stays.
        hard = min(hard, hard_before)
    try:
        resource.setrlimit(kind, (min(value, hard), hard))
    except ValueError as error:
        raise OSError(f"cannot set the limit: {error}") from error
