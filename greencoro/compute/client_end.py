"""A server process's way to the client of its computation."""

from __future__ import annotations

import hmac
from typing import Any

from greencoro.compute.job_words import Printed, SetUp
from greencoro.compute.output_book import Batch
from greencoro.compute.words import Word
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime

__all__ = ["ClientEnd"]


class ClientEnd:
    """See the module; nothing goes there before `begin`. Any thread.

    Attributes:
        key (bytes): The reach key of the computation's servers; empty before `begin`.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._peer: PeerInfo | None = None
        self._token = ""
        self.key = b""

    def begin(self, peer: PeerInfo, asked: SetUp) -> None:
        """``peer`` is the client: it has shown the lease's token."""
        self._token = asked.token
        self.key = bytes.fromhex(asked.reach)
        # From now on; before there was nothing here to be reached.
        self._runtime.reach.key = self.key
        self._peer = peer

    def is_from_client(self, peer: PeerInfo, token: str) -> bool:
        """Does the client say this?"""
        known = self._peer
        return (
            known is not None
            and known.incarnation == peer.incarnation
            and hmac.compare_digest(self._token.encode(), token.encode())
        )

    def tell(self, word: type[Word]) -> bool:
        """Tell the client something that has only the token to say; False where there is no room for it now."""
        return self._post(word.operation, word(self._token).to_header())  # type: ignore[call-arg]

    def print(self, batch: Batch) -> bool:
        """Tell the client what jobs printed; False where there is no room for it now."""
        return self._post(Printed.operation, Printed.to_header(self._token, batch))

    def _post(self, operation: str, header: dict[str, Any]) -> bool:
        return self._peer is not None and self._runtime.post_nowait(self._peer, operation, header)
