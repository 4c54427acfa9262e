"""A question about speed: who is measured, how often, and what is hoped for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

#: How much each side does: for figures, for a first look, for the tests that run every side once.
Scale = Literal["full", "quick", "tiny"]


@dataclass(frozen=True)
class Sample:
    """What one side came to in one round.

    Attributes:
        figure: The answer, in the question's unit.

        cpu_microseconds: CPU time an operation, of all processes of the side together.

        operations: How many were measured.

        others: Further figures by name.
    """

    figure: float
    cpu_microseconds: float
    operations: int
    others: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """Operations a round, by scale. Sides far apart in speed do different numbers, so that each runs about as long."""

    full: int
    quick: int
    tiny: int

    def of(self, scale: Scale) -> int:
        return {"full": self.full, "quick": self.quick, "tiny": self.tiny}[scale]


@dataclass(frozen=True)
class Side:
    """One of those who are measured.

    Attributes:
        name: Its row in the table; starts with the package that it is about.

        run: (operations) -> its sample; runs in a process of its own.

        counts: How many operations.

        setup: How it was set up, in a sentence.

        partner: What its second process runs; see `side.partner`.

        package: The distribution that must be installed; None where it needs none.

        program: The program that must be on the path; None where it needs none.

        in_memory: Whether it is given a directory in memory, see `side.memory_directory`.
    """

    name: str
    run: Callable[[int], Sample]
    counts: Counts
    setup: str
    partner: Callable[[], None] | None = None
    package: str | None = None
    program: str | None = None
    in_memory: bool = False


@dataclass(frozen=True)
class Target:
    """A ratio hoped for.

    Attributes:
        side: Whose figure is divided ...

        against: ... by whose; None: one of the side's `others` is taken as it is.

        figure: The name in `others`; None for the figure itself.

        bound: Which way the target is reached.

        ratio: The target; None where there is none and the ratio is only told.
    """

    side: str
    against: str | None
    bound: Literal["at least", "at most"] = "at least"
    ratio: float | None = None
    figure: str | None = None

    @property
    def label(self) -> str:
        what = f"{self.figure} of {self.side}" if self.figure else self.side
        return what if self.against is None else f"{what} / {self.against}"

    def reached(self, ratio: float) -> bool | None:
        """Whether ``ratio`` is what was hoped for; None where nothing was."""
        if self.ratio is None:
            return None
        return ratio >= self.ratio if self.bound == "at least" else ratio <= self.ratio


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        name: Of its module below `benchmarks`, and on the command line.

        text: The question itself.

        unit: Of the figures.

        better: Which figures are better.

        sides: Who is measured, in the order of a round.

        targets: Ratios hoped for, or told.

        unmeasured: Sentences: what the design compares with that is not in this run, and why.

        rounds: How many by scale.

        timeout_seconds: Longest time of one side in one round.
    """

    name: str
    text: str
    unit: str
    better: Literal["more", "less"]
    sides: tuple[Side, ...]
    targets: tuple[Target, ...] = ()
    unmeasured: tuple[str, ...] = ()
    rounds: Counts = Counts(full=5, quick=3, tiny=1)
    timeout_seconds: float = 60.0

    def side(self, name: str) -> Side:
        return next(side for side in self.sides if side.name == name)
