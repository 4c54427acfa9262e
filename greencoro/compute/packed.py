"""What is packed of a computation's code: functions, arguments, calls, ready to be shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from greencoro.compute.by_value import Pickled
from greencoro.compute.parts import Entry, Package
from greencoro.compute.scattered import Scattered

__all__ = ["Arguments", "Call", "CodePackager", "Shipment"]


@dataclass(frozen=True, eq=False)
class Shipment:
    """A callable, ready to be shipped.

    Attributes:
        entry (Entry): What the job runs.

        package (Package): What has to be installed before.

        own_size (int): Of that, bytes of the callable itself where it has no name.

        packages (tuple): That, unless it is empty: for all jobs that need nothing else.
    """

    entry: Entry
    package: Package
    own_size: int = 0
    packages: tuple[Package, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "packages", (self.package,) if self.package else ())


class Arguments(NamedTuple):
    """The arguments of a call, as a snapshot.

    Attributes:
        data (bytes): For `Loader.load_arguments` alone.

        package (Package): The classes and functions in them that have to be installed before; mostly `EMPTY`.

        needs (Pickled): What that was found from.

        scattered (tuple[Scattered, ...]): Those that are in them.
    """

    data: bytes
    package: Package
    needs: Pickled

    @property
    def scattered(self) -> tuple[Scattered, ...]:
        return self.needs.scattered


class Call(NamedTuple):
    """A call of a job's function, ready to be shipped.

    Attributes:
        name (str): What people are shown.

        shipment (Shipment): The function.

        arguments (Arguments): Of the call.

        is_generator (bool): Is what the function returns to be run as a generator?
    """

    name: str
    shipment: Shipment
    arguments: Arguments
    is_generator: bool = False


class CodePackager(Protocol):
    """What packs the code of one computation."""

    def components(self, components: Iterable[Any], path: str = "components") -> Package:
        """What is listed by hand.

        Raises:
            PackagingError: One of them cannot be shipped.
        """

    def pack(self, obj: Callable[..., Any], path: str = "job") -> Shipment:
        """The function of a job.

        Raises:
            PackagingError: It cannot be shipped.
        """

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """A call of one.

        Raises:
            PackagingError: The function, or an argument, cannot be shipped.

            TypeError: It is none that can be a job, or does not take these arguments.
        """

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any], path: str = "job") -> Arguments:
        """The arguments of a call.

        Raises:
            PackagingError: One of them cannot be shipped.
        """
