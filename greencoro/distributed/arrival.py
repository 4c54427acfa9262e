"""What people are told when a runtime has started."""

from __future__ import annotations

import logging
import sys
from typing import Any

from greencoro.distributed.addresses import is_loopback
from greencoro.hub.telling import tell

__all__ = ["tell_of"]

_log = logging.getLogger(__name__)


def tell_of(runtime: Any, announced: bool, by_default: bool) -> None:
    """Say where a runtime is, and what is wrong with that.

    Args:
        announced (bool): Say where it is also on a terminal whose program set up no logging.

        by_default (bool): It listens where it does because nothing was named.
    """
    location, secret = runtime.location, runtime.secret
    line = f"runtime.started name={runtime.name} location={location} fingerprint={secret.fingerprint}"
    if announced and _is_read_by_people():
        tell(_log, logging.INFO, line)
    else:
        _log.info("%s", line)
    only_here = all(is_loopback(each.addr) for each in runtime.locations)
    if secret.is_open:
        who = "every user of this machine" if only_here else "everybody who reaches it"
        tell(
            _log,
            logging.WARNING,
            f"the runtime at {location} has no secret: {who} can run code in this process; leave secret= out for that "
            "of this user",
        )
    elif only_here and by_default:
        tell(
            _log,
            logging.WARNING,
            "no network but loopback is up, so only programs on this machine find the runtime at "
            f"{location}; `greencoro doctor` shows the addresses there are, Runtime(node=) names one",
        )


def _is_read_by_people() -> bool:
    """Is standard error a terminal? In a file or a pipe a line that warns of nothing would be in the way."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False  # it is closed
