"""A file tree that looks like a machine's ``/proc`` and ``/sys`` to whoever reads limits there."""

from pathlib import Path


class SystemTree:
    """Made below a directory; `write` adds or changes files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._own: list[str] = []
        self._mounts = ["23 1 0:20 / /proc rw,relatime - proc proc rw"]

    def write(self, path: str, text: object) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def group_of_version_2(self, own: str, mounted: str = "/", mount_point: str = "/sys/fs/cgroup") -> None:
        """This process is in the group `own`, and `mounted` is the group at the top of what it sees."""
        self._own.append(f"0::{own}")
        self._mounts.append(f"30 23 0:26 {mounted} {mount_point} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate")
        self._tell()

    def group_of_version_1(self, controllers: str, own: str, mounted: str = "/") -> None:
        self._own.append(f"{len(self._own) + 1}:{controllers}:{own}")
        self._mounts.append(f"32 31 0:29 {mounted} /sys/fs/cgroup/{controllers} rw - cgroup cgroup rw,{controllers}")
        self._tell()

    def _tell(self) -> None:
        self.write("proc/self/cgroup", "\n".join(self._own))
        self.write("proc/self/mountinfo", "\n".join(self._mounts))
