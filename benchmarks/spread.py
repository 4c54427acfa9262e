"""How far the figures of several rounds lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Five numbers that describe a row of figures, and how many there were."""

    lowest: float
    lower_quartile: float
    median: float
    upper_quartile: float
    highest: float
    rounds: int


def spread(figures: Sequence[float]) -> Spread:
    """The spread of ``figures``; of a single one every number is that one.

    Raises:
        ValueError: There are none.
    """
    if not figures:
        raise ValueError("no figures, no spread")
    if len(figures) == 1:
        lower = middle = upper = figures[0]
    else:
        lower, middle, upper = statistics.quantiles(figures, n=4, method="inclusive")
    return Spread(min(figures), lower, middle, upper, max(figures), len(figures))


def percentile(figures: Sequence[float], percent: float) -> float:
    """The smallest figure that ``percent`` of all do not exceed (nearest rank).

    Raises:
        ValueError: There are none.
    """
    if not figures:
        raise ValueError("no figures, no percentile")
    ordered = sorted(figures)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]
