"""Objects that a computation sends to each of its servers once, for its jobs to have as arguments.

At the client there is a `Scattered`. What pickles it pickles its digest; what opens that at a server gets the object
from the server's `Shelf`, where it was put as bytes before and is decoded at its first use. All jobs there have one
object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gevent.lock import RLock

from greencoro.errors import PackagingError

__all__ = ["Scattered", "Shelf", "find_here"]

Content = bytes | bytearray


class Needs(Protocol):
    """What a pickle refers to by name."""

    @property
    def names(self) -> frozenset[str]: ...

    @property
    def modules(self) -> frozenset[str]: ...


class Scattered:
    """Stands for an object that every server of a computation has: a job that gets it as an argument gets the object.

    It may be anywhere inside the arguments of a job, of the computation that made it with `Computation.scatter`. All
    jobs at one server have the same object: what one of them changes in it the others see.

    Args:
        owner: What sends it; nothing else can.

        kind (str): The name of its type.

        content (bytes): The object's pickle.

        needs: The names and modules that are to be there when that is opened.

        on_free: Called with it, once.

    Attributes:
        digest (str): SHA-256 of the content.

        size (int): Its bytes.
    """

    __slots__ = ("_kind", "_local", "_on_free", "content", "digest", "needs", "owner", "size")

    def __init__(
        self,
        owner: object,
        kind: str,
        digest: str,
        content: bytes,
        needs: Needs,
        on_free: Callable[[Scattered], object],
    ) -> None:
        self.owner = owner
        self._kind = kind
        self.digest = digest
        self.size = len(content)
        #: None once it is freed.
        self.content: bytes | None = content
        self.needs = needs
        self._on_free = on_free
        #: The object, where jobs run in this process.
        self._local: list[Any] = []

    def free(self) -> None:
        """Forget the object, here and at the servers; a second call does nothing.

        Jobs that have it keep it. Those that have not begun fail with `PackagingError`, and so does whoever passes this
        to another one. With the computation everything is freed.
        """
        if self.content is not None:
            self.content = None
            self._local = []
            self._on_free(self)

    def open_here(self, load: Callable[[bytes], Any]) -> Any:
        """The object, in this process: the same at every call."""
        if not self._local:
            self._local = [load(self.checked())]
        return self._local[0]

    def checked(self) -> bytes:
        """The content.

        Raises:
            PackagingError: It is freed.
        """
        if self.content is None:
            raise PackagingError(f"{self!r} was freed, or its computation is closed")
        return self.content

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return find_here, (self.digest,)

    def __repr__(self) -> str:
        return f"<Scattered {self._kind}, {self.size} bytes, {self.digest[:8]}>"


class _Item:
    """An object at a server, or its pickle."""

    __slots__ = ("content", "lock", "value")

    def __init__(self, content: Content) -> None:
        self.lock = RLock()
        #: None once it is decoded.
        self.content: Content | None = content
        self.value: Any = None


class Shelf:
    """What was scattered to this server process.

    Args:
        load: Decodes it.
    """

    def __init__(self, load: Callable[[Content], Any]) -> None:
        global _shelf
        _shelf = self
        self._load = load
        self._items: dict[str, _Item] = {}

    def put(self, digest: str, content: Content) -> None:
        """Keep what has come; any thread."""
        self._items.setdefault(digest, _Item(content))

    def free(self, digest: str) -> None:
        """Forget it; any thread."""
        self._items.pop(digest, None)

    def find(self, digest: str) -> Any:
        """The object; decoded now, where nobody has asked for it before.

        Raises:
            PackagingError: It is not here.

            Exception: It cannot be decoded.
        """
        item = self._items.get(digest)
        if item is None:
            raise PackagingError(f"what was scattered as {digest[:8]} is not here any more: it was freed")
        # To decode it may take long, and let other jobs run that want it too.
        with item.lock:
            if item.content is not None:
                item.value = self._load(item.content)
                item.content = None
            return item.value


_shelf: Shelf | None = None


def find_here(digest: str) -> Any:
    """What a `Scattered` becomes where its pickle is opened.

    Raises:
        PackagingError: It is not at this process, or cannot be opened.
    """
    if _shelf is None:
        raise PackagingError("what Computation.scatter returns is for arguments of jobs: here is no server of its own")
    return _shelf.find(digest)
