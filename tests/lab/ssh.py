"""An sshd in one host of a lab, and clients of it in another."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab.netlab import Lab
from tests.support.polling import poll_until

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
_TOOLS = (SSHD, "ssh", "ssh-keygen")
SSHD_PORT = 2222
#: OpenSSH as root begins in this directory; Debian's service makes it.
PRIVILEGE_SEPARATION = Path("/run/sshd")

SSHD_CONFIG = """
Port {port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
"""


def why_no_ssh() -> str | None:
    """One line that says what is missing, or None."""
    return None if all(map(shutil.which, _TOOLS)) else "needs sshd and ssh (Debian: openssh-server, openssh-client)"


class Ssh:
    """An sshd in h2, and clients of it in h1."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._lab = lab
        self._directory = directory
        self._user = pwd.getpwuid(os.getuid()).pw_name
        for key in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)], check=True)
        host_key = (directory / "host_key.pub").read_text()
        (directory / "known_hosts").write_text(f"[{lab.ip('h2')}]:{SSHD_PORT} {host_key}")
        (directory / "sshd_config").write_text(SSHD_CONFIG.format(port=SSHD_PORT, directory=directory))
        self._run("h2", "sshd.log", [SSHD, "-D", "-e", "-f", str(directory / "sshd_config")])
        self._await("sshd.log", "Server listening on 0.0.0.0")

    def _run(self, host: str, log: str, argv: list[str]) -> subprocess.Popen[bytes]:
        with (self._directory / log).open("wb") as output:
            return self._lab.popen(host, argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def _await(self, log: str, line: str) -> None:
        path = self._directory / log
        poll_until(lambda: line in path.read_text(), 20, f"{line!r} in {path.name}: {path.read_text()}")

    def forward(self, *how: str) -> subprocess.Popen[bytes]:
        """``ssh -N`` with these forwardings; they are there."""
        options = {
            "IdentityFile": self._directory / "user_key",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self._directory / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ExitOnForwardFailure": "yes",
            # Once it is said that the session began, all forwardings are there.
            "LogLevel": "DEBUG1",
        }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        place = [f"{self._user}@{self._lab.ip('h2')}", "-p", str(SSHD_PORT)]
        client = self._run("h1", "ssh.log", ["ssh", "-F", "none", "-N", *given, *how, *place])
        self._await("ssh.log", "Entering interactive session")
        for _ in range(how.count("-R")):
            self._await("ssh.log", "remote forward success")
        return client


@contextlib.contextmanager
def running(lab: Lab, directory: Path) -> Iterator[Ssh]:
    """sshd in h2, as long as the lab is there; ``directory`` is for its keys and logs."""
    made = not PRIVILEGE_SEPARATION.exists()
    PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    directory.mkdir(mode=0o700)
    yield Ssh(lab, directory)
    if made:
        # Another test that runs now may have wanted it as well.
        with contextlib.suppress(OSError):
            PRIVILEGE_SEPARATION.rmdir()
