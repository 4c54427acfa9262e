"""What a person reads of a run."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.machine import Machine
from benchmarks.question import Target
from benchmarks.rounds import Outcome, Result
from benchmarks.spread import spread


def machine_lines(machine: Machine) -> list[str]:
    """The machine, a few lines."""
    packages = ", ".join(f"{name} {version or 'not installed'}" for name, version in machine.packages.items())
    lines = [
        f"{machine.cpu}, {machine.cpus} CPUs, {machine.memory_gib:g} GiB, Linux {machine.kernel}",
        f"{machine.python}; {packages}",
        f"temporary files on {machine.disk}",
        f"load when it began: {machine.load:g}",
    ]
    if machine.load > 0.3 * machine.cpus:
        lines[-1] += " (others were at work: take the ratios rather than the figures)"
    return lines


def result_lines(result: Result) -> list[str]:
    """One question: a row for each side, the ratios beside their targets, how each side was set up."""
    question = result.question
    rounds = question.rounds.of(result.scale)
    lines = [
        f"{question.name}: {question.text}",
        f"{question.unit}, {question.better} is better; rounds: {rounds}, interleaved, each side in fresh processes",
        "",
    ]
    lines += _table(list(result.outcomes.values()))
    lines.append("")
    lines += [_ratio(result, target) for target in question.targets]
    lines += [f"  not measured: {sentence}" for sentence in question.unmeasured]
    for outcome in result.outcomes.values():
        lines += [f"  {outcome.side.name} left running (killed): {command}" for command in outcome.left]
    lines += [f"  {outcome.side.name}: {outcome.side.setup}" for outcome in result.outcomes.values()]
    return lines


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    others = sorted({name for each in outcomes for sample in each.samples.values() for name in sample.others})
    columns = ["min", "quartile", "median", "quartile", "max", "CPU us/op", *others, "operations"]
    rows = [["", *columns]]
    failures: dict[int, str] = {}
    for outcome in outcomes:
        samples = list(outcome.samples.values())
        if not samples:
            failures[len(rows)] = f"  no figure: {outcome.failures[0]}"
            rows.append([outcome.side.name])
            continue
        each = spread([sample.figure for sample in samples])
        figures = [each.lowest, each.lower_quartile, each.median, each.upper_quartile, each.highest]
        figures.append(spread([sample.cpu_microseconds for sample in samples]).median)
        cells = [show(figure) for figure in figures]
        for name in others:
            found = [sample.others[name] for sample in samples if name in sample.others]
            cells.append(show(spread(found).median) if found else "")
        cells.append(f"{len(samples)} x {samples[0].operations}")
        if outcome.failures:
            failures[len(rows)] = f"  and failed {len(outcome.failures)} x: {outcome.failures[0]}"
        rows.append([outcome.side.name, *cells])
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    return [
        ("  " + "  ".join(_pad(cell, widths[column], column) for column, cell in enumerate(row))).rstrip()
        + failures.get(index, "")
        for index, row in enumerate(rows)
    ]


def _pad(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)


def _ratio(result: Result, target: Target) -> str:
    ratios = result.ratios(target.side, target.against, target.figure)
    wanted = "no target" if target.ratio is None else f"target: {target.bound} {target.ratio:g}"
    if not ratios:
        return f"  {target.label}: no ratio, a side has no figure ({wanted})"
    each = spread(ratios)
    verdict = {True: ", reached", False: ", MISSED", None: ""}[target.reached(each.median)]
    cpu = None if target.against is None else result.cpu_ratio(target.side, target.against)
    return (
        f"  {target.label} = {show(each.median)} (rounds: {show(each.lowest)} to {show(each.highest)}); "
        f"{wanted}{verdict}" + ("" if cpu is None else f"; CPU time an operation: {show(cpu)} x")
    )


def show(figure: float) -> str:
    """Three digits that mean something, thousands apart."""
    if abs(figure) >= 1000:
        return f"{figure:,.0f}"
    if abs(figure) >= 100:
        return f"{figure:.0f}"
    if abs(figure) >= 10:
        return f"{figure:.1f}"
    return f"{figure:.2f}" if abs(figure) >= 0.1 else f"{figure:.3f}"
