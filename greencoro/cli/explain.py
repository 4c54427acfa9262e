"""``greencoro explain``: what became of the jobs of this user's programs."""

from __future__ import annotations

import json
from typing import Any

import click

from greencoro.compute.explain_door import ask, doors
from greencoro.errors import ComputeError, GreencoroError

__all__ = ["explain"]

#: Number of the layout of ``--json``.
FORMAT = 1


@click.command(
    help="Say of JOB, by its number or its reference (name/number@location), how long it waited and for what, where it "
    "ran, and how it ended. Without JOB: list the last jobs of each program of this user that runs on this machine."
)
@click.argument("job", required=False)
@click.option("--pid", type=click.IntRange(1), metavar="PID", help="Ask this program alone.")
@click.option(
    "--last",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help="How many jobs of each program are listed.",
)
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
def explain(job: str | None, pid: int | None, last: int, as_object: bool) -> int:
    """The command; its exit code."""
    path = click.get_current_context().command_path
    try:
        answers = _answers(job, pid, last)
    except GreencoroError as error:
        click.echo(f"{path}: {error}", err=True)
        return 1
    if as_object:
        clients = [{key: answer[key] for key in ("pid", "program", "jobs")} for answer in answers]
        click.echo(json.dumps({"format": FORMAT, "clients": clients}, indent=2))
        return 0
    for answer in answers:
        if job is None:
            click.echo(f"process {answer['pid']}, {answer['program']}:")
        for line in answer["lines"] or ["no jobs yet"]:
            click.echo(line)
    return 0


def _answers(job: str | None, pid: int | None, last: int) -> list[dict[str, Any]]:
    """Of the programs that know something.

    Raises:
        ComputeError: There is none; or several know a job by that number.
    """
    found = doors()
    if pid is not None:
        if pid not in found:
            raise ComputeError(f"process {pid} is no program of this user with a computation, or is over")
        found = {pid: found[pid]}
    if not found:
        raise ComputeError("no program of this user that runs on this machine has had a computation")
    question = {"last": last} if job is None else {"job": int(job) if job.isdecimal() else job}
    answers, failures = [], []
    for each, file in found.items():
        try:
            answers.append(ask(file, question))
        except GreencoroError as error:
            failures.append(f"process {each}: {error}")
    if not answers:
        raise ComputeError("; ".join(failures))
    if job is not None and len(answers) > 1:
        pids = ", ".join(str(answer["pid"]) for answer in answers)
        raise ComputeError(f"processes {pids} know a job {job} each: name one of them by --pid")
    return answers
