"""Which deliveries of this process were taken back before they went: a caller cannot tell those from ones that went."""

from __future__ import annotations

from typing import Any

from greenlet import getcurrent

from greencoro.distributed.link import Entry, Link


class Withdrawals:
    """Watches all links of the process from now on."""

    def __init__(self) -> None:
        self._greenlets: set[Any] = set()
        take_back = Link.withdraw

        def withdraw(link: Link, entry: Entry) -> bool:
            withdrawn = take_back(link, entry)
            if withdrawn:
                self._greenlets.add(getcurrent())
            return withdrawn

        setattr(Link, "withdraw", withdraw)  # noqa: B010

    def was_last(self) -> bool:
        """Was the caller's delivery, which is over, one of them?"""
        withdrawn = getcurrent() in self._greenlets
        self._greenlets.discard(getcurrent())
        return withdrawn
