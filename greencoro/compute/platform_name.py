"""What this machine runs on, in one word for filters and people."""

from __future__ import annotations

import os
import platform

__all__ = ["platform_name"]


def platform_name() -> str:
    """As `platform.platform`, such as ``Linux-6.1.0-x86_64-with-glibc2.36``, but starts no program to find it out.

    That would be `uname -p`, which names the processor nowhere but on a few systems, and in a patched process it would
    make a hub in the calling thread.
    """
    system = os.uname()
    library = "".join(platform.libc_ver())
    name = f"{system.sysname}-{system.release}-{system.machine}"
    return f"{name}-with-{library}" if library else name
