"""Where peers come in at one runtime.

Its own listeners are where its locations are. Others can be added: whoever comes in there meets the same runtime,
which does not call that place its own. So a process can answer at a port as long as another one, whose port that will
be, does not run; and as both have the same listening socket, none who connects meanwhile is refused. Whoever accepts
first gets a connection, so one has to stop before the other starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from greencoro.distributed.location import Location
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.stream import Listener, Stream, Transport
from greencoro.errors import ClosedResource
from greencoro.hub.completion import Completion

__all__ = ["ListenerHandle", "Listening"]

#: How often whoever waits for the reactor looks whether the runtime has finished meanwhile.
_LOOK_SECONDS = 0.5


class Listening:
    """See the module.

    Args:
        own: At the runtime's locations.

        on_stream: Called on the reactor with each connection that comes in.

        accepting (bool): Does it accept at its own from the start?
    """

    def __init__(
        self,
        reactor: Reactor,
        transport: Transport,
        own: Sequence[Listener],
        on_stream: Callable[[Stream], None],
        accepting: bool,
    ) -> None:
        self._reactor = reactor
        self._transport = transport
        self._own = [ListenerHandle(self, listener) for listener in own]
        self._added: list[ListenerHandle] = []
        self._on_stream = on_stream
        self._accepting = accepting
        self._closed = False

    # Any thread.

    def accept(self, on: bool) -> None:
        """Accept at its own listeners, or do not any more; it is so when this returns.

        Raises:
            OSError: A listener cannot be watched; the others are as they were asked to be.
        """
        self.do(lambda: self._accept(on))

    def add(self, descriptor: int) -> ListenerHandle:
        """Accept at a listening socket that somebody else opened as well; it does when this returns.

        Raises:
            ClosedResource: The runtime is finished.

            OSError, ValueError: ``descriptor`` is no listening TCP socket, or cannot be watched.
        """
        if not self._closed:
            added = ListenerHandle(self, self._transport.adopt(descriptor))
            if self.do(lambda: self._add(added)):
                return added
        raise ClosedResource("a runtime that is finished listens nowhere")

    def do(self, step: Callable[[], None]) -> bool:
        """Have ``step()`` called on the reactor, and wait for that.

        Returns:
            bool: False where the runtime is finished, and nobody is sure to call it.

        Raises:
            Exception: What ``step()`` raises.
        """
        if self._reactor.is_current:
            step()
            return True
        if self._closed:
            return False
        done = Completion()

        def call() -> None:
            try:
                step()
            except BaseException as error:
                done.fail(error)
            else:
                done.set(None)

        self._reactor.post(call)
        while not done.wait(_LOOK_SECONDS):
            if self._closed:
                return False
        done.result(0)
        return True

    # The reactor's thread.

    def start(self) -> None:
        """Begin, where it is to accept from the start."""
        self._accept(self._accepting)

    def _accept(self, on: bool) -> None:
        failed: list[OSError] = []
        for handle in self._own:
            try:
                handle.turn(on)
            except OSError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _add(self, added: ListenerHandle) -> None:
        try:
            if self._closed:
                raise ClosedResource("the runtime has finished meanwhile, and listens nowhere")
            added.turn(True)
        except BaseException:
            added.end()
            raise
        self._added.append(added)

    def forget(self, added: ListenerHandle) -> None:
        """It was closed."""
        if added in self._added:
            self._added.remove(added)

    def came(self, stream: Stream) -> None:
        """A connection came in."""
        self._on_stream(stream)

    def close(self) -> None:
        """Listen nowhere any more."""
        self._closed = True
        for handle in [*self._own, *self._added]:
            handle.end()


class ListenerHandle:
    """A place where peers come in; what it does is done when its methods return.

    Attributes:
        location (Location): Where it listens.
    """

    def __init__(self, listening: Listening, listener: Listener) -> None:
        self.location: Location = listener.location
        self._listening = listening
        self._listener: Listener | None = listener
        self._accepts = False

    def __repr__(self) -> str:
        return f"<listener at {self.location}{'' if self._accepts else ', stopped'}>"

    # Any thread.

    def start(self) -> None:
        """Accept, those as well who have connected to the socket meanwhile; where it does, nothing."""
        self._listening.do(lambda: self.turn(True))

    def stop(self) -> None:
        """Accept nobody, so that another process can; connections that were accepted stay."""
        self._listening.do(lambda: self.turn(False))

    def close(self) -> None:
        """Let go of the socket; it stays open for whoever else has it."""
        self._listening.do(self._close)

    # The reactor's thread.

    def turn(self, on: bool) -> None:
        """Accept, or do not."""
        if self._listener is None or on is self._accepts:
            return
        if on:
            self._listener.start(self._listening.came)
        else:
            self._listener.stop()
        self._accepts = on

    def _close(self) -> None:
        self.end()
        self._listening.forget(self)

    def end(self) -> None:
        """Let go of the socket."""
        listener, self._listener, self._accepts = self._listener, None, False
        if listener is not None:
            listener.close()
