"""The answers that one side of a link waits for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from greencoro.errors import NetworkError, RemoteProtocolError

__all__ = ["Answers"]

#: Called once on the reactor, with the answer and None, or with None and why there is none.
OnAnswer = Callable[[Any, "NetworkError | None"], object]


class Answers:
    """See the module. Any threads ask, the reactor's has the answers and the loss.

    Args:
        why_lost: Says why the link is lost, None where it is not.
    """

    def __init__(self, why_lost: Callable[[], NetworkError | None]) -> None:
        self._why_lost = why_lost
        #: By the number of the request: what to call with the answer, or with None and the error; and its class.
        self.pending: dict[int, tuple[OnAnswer, type[Any]]] = {}
        self._numbers = itertools.count(1)

    def expect(self, on_answer: OnAnswer, kind: type[Any] = int) -> int:
        """Number a request; the reactor calls ``on_answer(answer, None)`` or ``on_answer(None, error)``, once.

        Args:
            kind: What the answer is: the number of a `Result`, or a `Reply`.
        """
        number = self.enter(on_answer, kind)
        error = self._why_lost()
        if error is not None and self.pending.pop(number, None) is not None:
            on_answer(None, error)
        return number

    def enter(self, on_answer: OnAnswer, kind: type[Any]) -> int:
        """As `expect`; where the link is lost already nothing is called."""
        number = self._next_number()
        self.pending[number] = on_answer, kind
        return number

    def _next_number(self) -> int:
        """A number for a request on this link, never 0."""
        return next(self._numbers) & 0xFFFFFFFF or self._next_number()

    def forget(self, number: int) -> bool:
        """Nobody waits for that any more; False where it was answered or lost before."""
        return self.pending.pop(number, None) is not None

    def came(self, number: int, answer: Any) -> None:
        """The answer to ``number`` came; one that nobody waits for any more is dropped.

        Raises:
            RemoteProtocolError: It answers another kind of question.
        """
        expected = self.pending.get(number)
        if expected is not None and not isinstance(answer, expected[1]):
            raise RemoteProtocolError("the peer answers a question with what answers another kind of question")
        if self.pending.pop(number, None) is not None and expected is not None:
            expected[0](answer, None)

    def lose(self, error: NetworkError, guard: Callable[..., None]) -> None:
        """The link is lost: everyone who waits is told; ``guard`` as for `Link.lose`."""
        for number in list(self.pending):
            # Other threads take theirs out meanwhile.
            expected = self.pending.pop(number, None)
            if expected is not None:
                guard(expected[0], None, error)
