"""Pycos between processes: the scheduler of pycos' programs, with a place among its peers."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from greencoro.distributed.location import Location
from greencoro.distributed.reference_classes import ReferenceClasses
from greencoro.distributed.runtime import DEFAULT_PORT
from greencoro.legacy import scheduler
from greencoro.legacy.network import AsynCoro
from greencoro.legacy.pycos_scheduler import PycosNames
from greencoro.legacy.references import RemoteChannel
from greencoro.legacy.rps import RemoteRPS
from greencoro.legacy.task import RemoteTask, Task

__all__ = ["Pycos", "SysTask"]


class SysTask(Task):
    """A task of the system's own, which its name tells."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"!{super().__repr__().removeprefix('~')}"


class Pycos(PycosNames, AsynCoro):
    """Runs tasks, and has them find and message those of peers; there is one of it in a process.

    What is not said here is as in `greencoro.legacy.network.AsynCoro`.

    Args:
        udp_port (int | None): For discovery; the same for all that are to find each other. None or 0: 51350, where
            greencoro's nodes hear too.

        tcp_port (int | None): None or 0: any that is free.

        host (str | None): Host name or address to listen at, or a list with one of these.

        ext_host (str | None): What peers are told in place of it: the address of a gateway.

        socket_family, ipv4_udp_multicast, notifier: Ignored; the family is the one of ``host``.

        dest_path: Directory for files of peers. None: the temporary one.

    Raises:
        ValueError: ``host`` or ``ext_host`` has several elements.
    """

    _instance: scheduler.AsynCoro | None = None
    _references: ClassVar[ReferenceClasses] = ReferenceClasses(RemoteTask, RemoteChannel, RemoteRPS)

    def __init__(
        self,
        udp_port: int | None = None,
        tcp_port: int | None = None,
        host: Any = None,
        ext_host: Any = None,
        socket_family: Any = None,
        ipv4_udp_multicast: bool = False,
        name: str | None = None,
        discover_peers: bool = True,
        secret: str | None = "",
        certfile: str | os.PathLike[str] | None = None,
        keyfile: str | os.PathLike[str] | None = None,
        notifier: Any = None,
        dest_path: str | os.PathLike[str] | None = None,
        max_file_size: int | None = None,
    ) -> None:
        super().__init__(
            node=_single("host", host),
            udp_port=udp_port,
            tcp_port=tcp_port or 0,
            ext_ip_addr=_single("ext_host", ext_host),
            name=name,
            discover_peers=discover_peers,
            secret=secret,
            certfile=certfile,
            keyfile=keyfile,
            max_file_size=max_file_size,
            dest_path=dest_path,
        )

    def peer(
        self,
        loc: Location | str,
        udp_port: int = DEFAULT_PORT,
        stream_send: bool = False,
        relay: bool = False,
        task: Any = None,
    ) -> int:
        """With ``yield``: contact those at a location, or at a host.

        Args:
            relay (bool): Have the peer tell its networks of this process.

            stream_send, task: Ignored.

        Returns:
            int: 0 once they are being contacted; -1 where there is no such host.
        """
        return super().peer(loc, udp_port, stream_send, relay)

    @property  # type: ignore[override]
    def ignore_peers(self) -> bool:
        """Have nothing to do with those who tell of themselves, or do so again; may be set."""
        return self._ignores_peers

    @ignore_peers.setter
    def ignore_peers(self, ignore: bool) -> None:
        self._ignores_peers = bool(ignore)
        self._runtime.ignore_pings(self._ignores_peers)

    _ignores_peers = False


def _single(what: str, hosts: Any) -> str | None:
    """A host, where a list of them may be given."""
    if not hosts or isinstance(hosts, str):
        return hosts or None
    listed = list(hosts)
    if len(listed) != 1:
        raise ValueError(f"{what} is one host name or address: to listen at several, {listed}, is not supported")
    host: str = listed[0]
    return host
