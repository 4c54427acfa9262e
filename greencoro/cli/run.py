"""``greencoro run``: a program whose blocking calls let other coroutines go on."""

from __future__ import annotations

__all__ = ["HELP", "USAGE", "run"]

USAGE = "usage: greencoro run PROGRAM.py [ARGUMENT...]  or  greencoro run -m MODULE [ARGUMENT...]"
HELP = "Run a Python program with the standard library monkey-patched, so that its blocking calls let others go on."


def run(arguments: list[str]) -> int:
    """Run a program as ``python`` would, but monkey-patched from its first line; the exit code.

    Args:
        arguments: Its name, then its arguments.

    Raises:
        SystemExit: As the program raised it.

        KeyboardInterrupt: As the program raised it; it was told already.
    """
    from gevent import monkey

    monkey.patch_all()

    # Only now: what is imported before the patch may keep the unpatched names.
    from greencoro.cli.main_program import file_program, module_program, run_as_main
    from greencoro.hub.pipes import replace_gevents_subprocess

    replace_gevents_subprocess()
    if arguments[:1] in (["--help"], ["-h"]):
        print(f"{USAGE}\n\n{HELP}")
        return 0
    is_module = arguments[:1] == ["-m"]
    words = arguments[1:] if is_module else arguments
    if not words or (words[0].startswith("-") and not is_module):
        return _refuse(f"there is no option {words[0]}" if words else "which program?", USAGE)
    try:
        program = module_program(words[0]) if is_module else file_program(words[0])
    except FileNotFoundError as error:
        return _refuse(str(error))
    return run_as_main(program, words[1:])


def _refuse(*lines: str) -> int:
    import sys

    print("greencoro run: " + "\n".join(lines), file=sys.stderr)
    return 2
