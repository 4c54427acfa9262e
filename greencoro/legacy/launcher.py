"""Runs a program that was written for asyncoro."""

from __future__ import annotations

import sys

from greencoro.hub.main_program import file_program, module_program, run_as_main
from greencoro.legacy.aliases import add
from greencoro.legacy.exec_idiom import with_old_exec

__all__ = ["HELP", "USAGE", "main"]

COMMAND = "greencoro legacy"
USAGE = "usage: greencoro legacy [--explain] PROGRAM.py [ARGUMENT...]  or  -m MODULE  in place of PROGRAM.py"
HELP = "Run a program written for asyncoro, as it is."
_OPTIONS = "--explain  first say on standard error, line by line, how greencoro's own programs write it"


def main(arguments: list[str]) -> int:
    """Run a program, to which ``import asyncoro`` brings what is here; the exit code.

    Args:
        arguments: Its name, then its arguments. ``-m`` and the name of a module may stand in place of its name;
            ``--explain`` before that has it explained first.

    Raises:
        SystemExit: As the program raised it.

        KeyboardInterrupt: As the program raised it; it was told already.
    """
    if arguments[:1] in (["--help"], ["-h"]):
        print(f"{USAGE}\n\n{HELP}\n\n{_OPTIONS}")
        return 0
    explains = arguments[:1] == ["--explain"]
    arguments = arguments[explains:]
    is_module = arguments[:1] == ["-m"]
    words = arguments[1:] if is_module else arguments
    if not words:
        return _refuse("which program?", USAGE)
    name, *rest = words
    if not is_module and name.startswith("-"):
        return _refuse(f"there is no option {name}", USAGE)
    try:
        program = module_program(name) if is_module else file_program(name)
    except FileNotFoundError as error:
        return _refuse(str(error))
    if explains:
        # Nobody else pays for the table.
        from greencoro.legacy.explain import with_explanation

        program = with_explanation(program)
    add()
    return run_as_main(with_old_exec(program), rest, COMMAND)


def _refuse(*lines: str) -> int:
    print(f"{COMMAND}: " + "\n".join(lines), file=sys.stderr)
    return 2
