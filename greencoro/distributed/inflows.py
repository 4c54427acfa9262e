"""What peers have under way to mailboxes and channels here, whatever becomes of their links."""

from __future__ import annotations

from greencoro.distributed.flow import Inflow
from greencoro.distributed.link import Link
from greencoro.distributed.messages import Credit, Debt
from greencoro.distributed.per_peer import PerPeer
from greencoro.hub import native

__all__ = ["ALL_DEBTS", "Inflows", "LinkedInflow"]

#: The last one when a link begins: of what was not named nothing waits. No mailbox has the number 0.
ALL_DEBTS = Debt(0, 0, 0)

#: Of mailboxes to which a peer never sent, it may say in advance of so many that it has less credit for them.
MAX_DEBTS = 10_000


class LinkedInflow(Inflow):
    """An `Inflow` that knows over which link it comes now.

    It lives as long as that link, or as a message that it counts. So each of these holds it, in its mailbox or where
    else it waits.
    """

    __slots__ = ("__weakref__", "link", "target")

    link: Link
    target: int


class Inflows:
    """The inflows of one runtime.

    Args:
        max_messages, max_bytes: What a peer may have under way to one mailbox or channel.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._held = PerPeer(lambda: LinkedInflow(max_messages, max_bytes))
        # A grant and the link it goes over are decided together: no new link may come in between. An RLock, because a
        # destructor may run in the middle.
        self._lock = native.RLock()

    # The reactor's turn.

    def of(self, link: Link, target: int) -> LinkedInflow:
        """What the peer of ``link`` has under way to ``target``, from now on over this link."""
        inflow: LinkedInflow | None = link.inflows.get(target)
        if inflow is None:
            inflow = self._held.of(link.info.incarnation, target)
            with self._lock:
                inflow.link = link
                inflow.target = target
                messages, size = inflow.carry_over()
            link.inflows[target] = inflow
            if messages:
                link.send_urgent(Debt(target, messages, size).encode())
        return inflow

    def left_over(self, link: Link) -> list[int]:
        """To which targets something is under way that came over earlier links: so many at most as the peer takes."""
        targets = [target for target in self._held.subjects(link.info.incarnation) if target not in link.inflows]
        return targets[:MAX_DEBTS]

    # Any thread; for one inflow always the same.

    def taken(self, inflow: LinkedInflow, size: int) -> None:
        """A message of ``size`` bytes was read: the peer may send more."""
        with self._lock:
            grant = inflow.taken(size)
            link = inflow.link
        if grant is not None:
            link.send_urgent(Credit(inflow.target, *grant).encode())


def owe(link: Link, debt: Debt) -> None:
    """The peer says that as much as ``debt`` waits for a mailbox of its from before.

    Of a mailbox that nothing was sent to over this link, it is passed over where there are many: it is honest, and
    cannot know how many there are here.
    """
    if debt == ALL_DEBTS:
        link.heard_debts()
    elif debt.target in link.outflows or len(link.outflows) < MAX_DEBTS:
        link.outflow(debt.target).owe(debt.messages, debt.size)
