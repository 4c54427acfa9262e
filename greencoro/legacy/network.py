"""AsynCoro between processes: the scheduler of asyncoro's programs, with a place among its peers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from greencoro.distributed.addresses import resolve
from greencoro.distributed.location import Location
from greencoro.distributed.options import off_the_hub
from greencoro.distributed.reference_classes import ReferenceClasses
from greencoro.distributed.runtime import DEFAULT_PORT, Runtime, current_runtime
from greencoro.legacy import scheduler
from greencoro.legacy.coro import Coro
from greencoro.legacy.logger import logger
from greencoro.legacy.rci import RemoteRCI
from greencoro.legacy.references import RemoteChannel, RemoteCoro

__all__ = ["AsynCoro", "SysCoro"]


class SysCoro(Coro):
    """A coroutine of the system's own, which its name tells."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"!{super().__repr__().removeprefix('~')}"


class AsynCoro(scheduler.AsynCoro):
    """Runs coroutines, and has them find and message those of peers; there is one of it in a process.

    Where the process has a runtime already, that is what its peers go on to know, and these parameters are ignored.

    Args:
        node (str | None): Host name or address to listen at; None: that of the first interface that is up.

        udp_port (int | None): For discovery; the same for all that are to find each other. None or 0: 51350.

        tcp_port (int): 0: any that is free.

        ext_ip_addr (str | None): What peers are told in place of ``node``: the address of a gateway.

        name (str | None): Unlike those of all others; default: the location as text.

        discover_peers (bool): Find those on the networks here, and be found.

        peers: Locations of those to contact, now and until they answer.

        secret (str | None): What all have to have in common. ``''`` or None: the secret of this user.

        certfile, keyfile: PEM files of the certificate and its key, for TLS.

        notifier: Ignored.

        dest_path_prefix, dest_path: Directory for files of peers; two names for one thing. None: the temporary one.

        max_file_size (int | None): Bytes of the largest file that is taken; None or 0: no limit.

    Attributes:
        location (Location): Where it is among its peers.

        name (str): What they can `locate` it by.

    Raises:
        ConfigError: A parameter that cannot work.

        OSError: The place to listen at cannot be had.
    """

    _instance: scheduler.AsynCoro | None = None
    _references: ClassVar[ReferenceClasses] = ReferenceClasses(RemoteCoro, RemoteChannel, RemoteRCI)

    def __init__(
        self,
        node: str | None = None,
        udp_port: int | None = None,
        tcp_port: int = 0,
        ext_ip_addr: str | None = None,
        name: str | None = None,
        discover_peers: bool = True,
        peers: Location | str | Sequence[Location | str] = (),
        secret: str | None = "",
        certfile: str | os.PathLike[str] | None = None,
        keyfile: str | os.PathLike[str] | None = None,
        notifier: Any = None,
        dest_path_prefix: str | os.PathLike[str] | None = None,
        max_file_size: int | None = None,
        dest_path: str | os.PathLike[str] | None = None,
    ) -> None:
        found = current_runtime()
        if found is None:
            if scheduler.AsynCoro._instance is None:
                # Else it has said so already.
                super().__init__()
            found = Runtime(
                node or None,
                udp_port or None,
                tcp_port or 0,
                ext_ip_addr or None,
                name or None,
                bool(discover_peers),
                peers or (),
                secret or None,
                certfile or None,
                keyfile or None,
                dest_path=dest_path or dest_path_prefix or tempfile.gettempdir(),
                max_file_size=max_file_size,
                announce=False,
                # As of old, nodes make themselves known to all, and any may come to have a private scheduler.
                role="scheduler",
            )
            _tell_of(found, name or "", udp_port or DEFAULT_PORT, not secret)
        found.reference_classes = self._references
        self._runtime = found
        self._first_dest_path = found.dest_path
        self.location = found.location
        self.name = found.name

    @property
    def dest_path(self) -> str:
        """Directory for files of peers; one that it is set to is below the first one, and is made."""
        return str(self._runtime.dest_path)

    @dest_path.setter
    def dest_path(self, path: str | os.PathLike[str]) -> None:
        first, wanted = self._first_dest_path, Path(os.path.normpath(path))
        if not wanted.is_relative_to(first):
            wanted = first / wanted.relative_to(wanted.anchor)
        if not wanted.is_relative_to(os.path.normpath(first)) or ".." in wanted.parts:
            raise ValueError(f"dest_path {os.fspath(path)!r} leads out of {first}")
        self._runtime.dest_path = wanted

    # Peers.

    def locate(self, name: str, timeout: float | None = None) -> Location | None:
        """With ``yield``: where the peer of that name is, waiting for it; None where ``timeout`` seconds were over."""
        return self._runtime.locate(name, timeout)

    def peer(
        self, loc: Location | str, udp_port: int = DEFAULT_PORT, stream_send: bool = False, broadcast: bool = False
    ) -> int:
        """With ``yield``: contact those at a location, or at a host; once they answer, both sides know each other.

        Args:
            loc: A `Location`, a host name or an address; without a port it stands for all there.

            udp_port (int): Where those at a host hear.

            stream_send (bool): Ignored: connections stay open.

            broadcast (bool): Have the peer tell its networks of this process.

        Returns:
            int: 0 once they are being contacted; -1 where there is no such host.
        """
        try:
            location = Location.of(loc, "peer()")
            off_the_hub(lambda: resolve(location.addr))
        except (TypeError, ValueError, OSError) as error:
            logger.warning("no peer at %s: %s", loc, error)
            return -1
        contacting = self._runtime.spawn(self._runtime.peer, location, udp_port or DEFAULT_PORT, broadcast=broadcast)
        contacting.set_daemon()
        return 0

    def peers(self) -> list[Location]:
        """Where those are that are known and there."""
        return self._runtime.peers()

    def peer_status(self, coro: Any) -> None:
        """Send ``coro`` a `PeerStatus` for each peer, now and when one comes or goes; None: send them to nobody."""
        self._runtime.peer_status(coro)

    def close_peer(self, location: Location, timeout: float | None = 10) -> int:
        """With ``yield``: part from a peer; 0, or -1 where there is none, or it did not take what was sent in time."""
        return self._runtime.disconnect(location, timeout)

    def discover_peers(self, port: int | None = None) -> int:
        """Tell those who hear at a UDP port of the networks here of this process once more; 0."""
        self._runtime.announce(port)
        return 0

    def ignore_peers(self, flag: bool) -> None:
        """Have nothing to do with those who tell of themselves, or do so again."""
        self._runtime.ignore_pings(flag)

    # Files.

    def send_file(
        self,
        location: Location,
        file: str | os.PathLike[str],
        dir: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
    ) -> int | os.stat_result:
        """With ``yield``: send a file to a peer, which saves it below its `dest_path`.

        Args:
            dir: Relative path of the directory there.

            overwrite (bool): Replace another file of that name.

            timeout (float | None): Longest time without progress, in seconds.

        Returns:
            int | os.stat_result: 0 where it is saved, 1 where the same file was there; of another one that is there,
            where not ``overwrite``, its status; -1 for any error.
        """
        try:
            return self._runtime.send_file(location, file, dir, overwrite, timeout)
        except (TypeError, ValueError) as error:
            logger.warning("%s", error)
            return -1

    def del_file(
        self,
        location: Location,
        file: str | os.PathLike[str],
        dir: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
    ) -> int:
        """With ``yield``: remove a file that was sent, and directories made for it that are empty then; 0 or -1."""
        try:
            return self._runtime.del_file(location, file, dir, timeout, prune=True)
        except (TypeError, ValueError) as error:
            logger.warning("%s", error)
            return -1


def _tell_of(runtime: Runtime, name: str, udp_port: int, by_default: bool) -> None:
    shown = f'"{name}" ' if name else ""
    logger.info("network server %s@ %s, udp_port=%s", shown, runtime.location, udp_port)
    if by_default:
        logger.info(
            "the secret is this user's, with the fingerprint %s; machines that are to be peers need the same file: %s",
            runtime.secret.fingerprint,
            runtime.settings.secret_path,
        )
