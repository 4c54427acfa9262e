"""Puts this process where there is no network but loopback.

For a peer that listens on all addresses and cannot be told otherwise: in a network namespace of its own nobody reaches
it but what this process starts.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWNET = 0x4000_0000

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_INTERFACE_WITH_FLAGS = "16sh14x"  # struct ifreq


def enter() -> None:
    """Have this process and all that it starts from now on see loopback only; called before there are other threads.

    Ends the program with a sentence where the kernel does not allow it.
    """
    user, group = os.getuid(), os.getgid()
    # Whoever is not root may have a network of its own only together with users of its own.
    if not _unshare(_CLONE_NEWNET):
        if not _unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
            sys.exit("no network namespace can be made here: needs root, or user namespaces")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack(_INTERFACE_WITH_FLAGS, b"lo", _IFF_UP))


def _unshare(flags: int) -> bool:
    return ctypes.CDLL(None).unshare(flags) == 0
