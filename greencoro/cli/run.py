"""``greencoro run``: a program whose blocking calls let other coroutines go on."""

from __future__ import annotations

__all__ = ["HELP", "USAGE", "run"]

USAGE = "usage: greencoro run PROGRAM.py [ARGUMENT...]  or  -m MODULE  or  -c CODE  or  -  in place of PROGRAM.py"
HELP = "Run a Python program with the standard library monkey-patched, so that its blocking calls let others go on."


def run(arguments: list[str]) -> int:
    """Run a program as ``python`` would, but monkey-patched from its first line; the exit code.

    Args:
        arguments: Its name, then its arguments. ``-m`` and the name of a module, ``-c`` and a text, or ``-`` for
            standard input may stand in place of its name.

    Raises:
        SystemExit: As the program raised it.

        KeyboardInterrupt: As the program raised it; it was told already.
    """
    from greencoro.hub.patching import patch_all

    patch_all()

    # Only now: what is imported before the patch may keep the unpatched names.
    from greencoro.hub.late_signals import handle_in_time
    from greencoro.hub.main_program import (
        file_program,
        module_program,
        run_as_main,
        standard_input_program,
        text_program,
    )
    from greencoro.hub.popen import replace_gevents_subprocess

    replace_gevents_subprocess()
    handle_in_time()
    if arguments[:1] in (["--help"], ["-h"]):
        print(f"{USAGE}\n\n{HELP}")
        return 0
    kinds = {"-m": module_program, "-c": text_program}
    option = arguments[0] if arguments and arguments[0] in kinds else ""
    words = arguments[1:] if option else arguments
    if not words:
        return _refuse("which code?" if option == "-c" else "which program?", USAGE)
    name, *rest = words
    try:
        if option:
            program = kinds[option](name)
        elif name == "-":
            program = standard_input_program()
        elif name.startswith("-"):
            return _refuse(f"there is no option {name}", USAGE)
        else:
            program = file_program(name)
    except FileNotFoundError as error:
        return _refuse(str(error))
    return run_as_main(program, rest, "greencoro run")


def _refuse(*lines: str) -> int:
    import sys

    print("greencoro run: " + "\n".join(lines), file=sys.stderr)
    return 2
