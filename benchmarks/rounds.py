"""Every side of a question, in turn, in fresh processes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import processes, side
from benchmarks.machine import file_system, version_of
from benchmarks.question import Question, Sample, Scale, Side

ROOT = Path(__file__).resolve().parent.parent

#: After so many a side is not asked again: one may be bad luck, and each may cost the whole time limit.
_FAILURES = 2

#: Where Linux has files in memory.
MEMORY = Path("/dev/shm")


@dataclass
class Outcome:
    """What came out of one side.

    Attributes:
        samples: By the number of the round.

        failures: What went wrong, a sentence each; a side that failed twice is not asked again.

        left: Command lines of processes that it left running.
    """

    side: Side
    samples: dict[int, Sample] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """What came out of a question."""

    question: Question
    scale: Scale
    outcomes: dict[str, Outcome]

    def ratios(self, above: str, below: str | None, figure: str | None = None) -> list[float]:
        """The ratio of two sides' figures in each round in which both have one; with no second side, the figure."""
        numerators = self.outcomes[above].samples
        denominators = numerators if below is None else self.outcomes[below].samples
        both = sorted(numerators.keys() & denominators.keys())
        return [
            _figure(numerators[index], figure) / (1.0 if below is None else _figure(denominators[index], figure))
            for index in both
        ]

    def cpu_ratio(self, above: str, below: str) -> float | None:
        """The ratio of the medians of two sides' CPU time an operation; None where one is too short to be counted."""
        medians = [
            statistics.median([sample.cpu_microseconds for sample in self.outcomes[name].samples.values()] or [0.0])
            for name in (above, below)
        ]
        return medians[0] / medians[1] if all(medians) else None


def _figure(sample: Sample, name: str | None) -> float:
    return sample.figure if name is None else sample.others[name]


def run(question: Question, scale: Scale = "full", progress: Callable[[str], None] = lambda _: None) -> Result:
    """Ask a question: A B A B ..., each side each time in new processes, so that what slows the machine slows all.

    Args:
        progress: Is told what is done next.
    """
    result = Result(question, scale, {each.name: Outcome(each) for each in question.sides})
    rounds = question.rounds.of(scale)
    with processes.adopting_orphans(), tempfile.TemporaryDirectory(prefix="bench-bytecode-") as bytecode:
        for index in range(rounds):
            for outcome in result.outcomes.values():
                if len(outcome.failures) < _FAILURES:
                    progress(f"{question.name}: round {index + 1} of {rounds}, {outcome.side.name}")
                    _run_once(question, scale, outcome, index, Path(bytecode))
    return result


def _run_once(question: Question, scale: Scale, outcome: Outcome, index: int, bytecode: Path) -> None:
    lacking = missing(outcome.side)
    if lacking is not None:
        outcome.failures.append(lacking)
        return
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        answer = directory / "sample.json"
        command = side.command(question, outcome.side.name, outcome.side.counts.of(scale), answer)
        env = environment(directory, bytecode)
        if outcome.side.in_memory:
            env[side.MEMORY_VARIABLE] = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY))
        ending = processes.run_to_its_end(command, directory, env, question.timeout_seconds)
        outcome.left.extend(ending.left)
        if ending.code == 0 and answer.exists():
            outcome.samples[index] = Sample(**json.loads(answer.read_text()))
        else:
            outcome.failures.append(_explain(ending, question.timeout_seconds))


def missing(side: Side) -> str | None:
    """What the side needs that is not installed, in words; None where all is there."""
    if side.package is not None and version_of(side.package) is None:
        return f"{side.package} is not installed"
    if side.program is not None and shutil.which(side.program) is None:
        return f"{side.program} is not on the path"
    if side.in_memory and file_system(MEMORY)[1] != "tmpfs":
        return f"{MEMORY} is no directory in memory"
    return None


def environment(directory: Path, bytecode: Path) -> dict[str, str]:
    """The variables of a side.

    Args:
        directory: Where all that it writes is written, its secret included.

        bytecode: Where Python keeps the compiled modules of all sides. Otherwise those of a checkout might be compiled
            at every start (with PYTHONDONTWRITEBYTECODE), while those of installed packages never are.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("GREENCORO_", "PYTHON"))}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return inherited | {
        "PYTHONPATH": path,
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "TMPDIR": str(directory),
        "GREENCORO_SECRET_FILE": str(directory / "secret"),
    }


def _explain(ending: processes.Ending, timeout: float) -> str:
    lines = [line.strip() for line in ending.errors.splitlines() if line.strip()]
    how = f"not done after {timeout:g} s" if ending.code is None else f"exit code {ending.code}"
    return f"{how}: {lines[-1]}" if lines else how


def as_json(result: Result) -> dict[str, object]:
    """The result as plain data, every sample included."""
    return {
        "question": result.question.name,
        "text": result.question.text,
        "unit": result.question.unit,
        "scale": result.scale,
        "sides": {
            name: {
                "setup": outcome.side.setup,
                "samples": [dataclasses.asdict(sample) for _, sample in sorted(outcome.samples.items())],
                "failures": outcome.failures,
                "left_running": outcome.left,
            }
            for name, outcome in result.outcomes.items()
        },
        "ratios": {
            target.label: {
                "by_round": result.ratios(target.side, target.against, target.figure),
                "cpu": None if target.against is None else result.cpu_ratio(target.side, target.against),
                "target": None if target.ratio is None else f"{target.bound} {target.ratio:g}",
            }
            for target in result.question.targets
        },
        "unmeasured": list(result.question.unmeasured),
    }
