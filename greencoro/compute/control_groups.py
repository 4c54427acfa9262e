"""The control groups that this process is in.

A container, a batch system or a service manager limits what a process may use by these groups of the kernel, of which
there are two versions, at times both at once. A limit of a group holds for the groups inside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["Group", "groups", "memory_kills"]

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Group:
    """One group, as its directory.

    Attributes:
        version (int): 1 or 2; the files are called differently.
    """

    version: int
    directory: Path

    def number(self, file: str, word: str = "") -> int | None:
        """The number in a file, or that behind a word at the start of a line; None where there is none, or no limit."""
        for line in self.read(file).splitlines():
            words = line.split()
            if words and (not word or words[0] == word):
                last = words[-1]
                return int(last) if last.isdecimal() else None
        return None

    def read(self, file: str) -> str:
        """The text of a file; empty where it is not there or may not be read."""
        try:
            return (self.directory / file).read_text(encoding="ascii", errors="replace")
        except OSError:
            return ""


def groups(controller: str, root: Path = Path("/")) -> list[Group]:
    """This process's group for a controller (``cpu``, ``cpuacct``, ``memory``), and those around it, innermost first.

    Those outside of a container cannot be seen in it. Version 2 of the hierarchy comes after version 1.

    Args:
        root (Path): Where the system's file tree begins.
    """
    found = []
    own = dict(_own_groups(_read(root / "proc/self/cgroup"), controller))
    for version, mounted_group, mount_point in _mounts(_read(root / "proc/self/mountinfo"), controller):
        if version in own:
            top = root / mount_point.lstrip("/")
            directory = top / _below(own[version], mounted_group)
            while True:
                found.append(Group(version, directory))
                if directory == top:
                    break
                directory = directory.parent
    return sorted(found, key=lambda group: group.version)


def memory_kills(root: Path = Path("/")) -> int | None:
    """How many processes the kernel has killed for want of memory in this process's groups; None: it does not say."""
    for group in groups("memory", root):
        count = group.number("memory.events" if group.version == 2 else "memory.oom_control", "oom_kill")
        if count is not None:
            return count
    return None


def _own_groups(text: str, controller: str) -> Iterator[tuple[int, str]]:
    """Versions with the group's path: lines like ``4:memory,hugetlb:/a/b``, and ``0::/a/b`` of version 2."""
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            yield 2, path
        elif controller in controllers.split(","):
            yield 1, path


def _mounts(text: str, controller: str) -> Iterator[tuple[int, str, str]]:
    """Version, group at the top of the mount, mount point; as proc_pid_mountinfo(5) says."""
    for line in text.splitlines():
        mount, _, source = line.partition(" - ")
        fields, kind = mount.split(), source.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            yield 2, _unescape(fields[3]), _unescape(fields[4])
        elif kind[0] == "cgroup" and controller in kind[2].split(","):
            yield 1, _unescape(fields[3]), _unescape(fields[4])


def _unescape(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def _below(path: str, mounted_group: str) -> PurePosixPath:
    """Where the group is below the mount; a path that is not there (a container sees those of its host) is the top."""
    try:
        below = PurePosixPath(path).relative_to(mounted_group)
    except ValueError:
        return PurePosixPath()
    return PurePosixPath() if ".." in below.parts else below


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
