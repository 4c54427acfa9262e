"""The main module of processes that jobs start through `multiprocessing`: what their computation's client shipped."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from greencoro.compute.homes import MAIN
from greencoro.compute.loader import Loader, fresh_main
from greencoro.compute.parts import Package

__all__ = ["contents", "write"]

_DIRECTORY = ".greencoro"


def write(loader: Loader, directory: Path) -> Path:
    """Write the main module of this server, as it is now, for a process to begin with.

    Returns:
        Path: A script; what it binds is what the main module has.
    """
    package = loader.definitions()
    place = directory / _DIRECTORY / package.digest[:32]
    script = place / "main.py"
    if not script.exists():
        place.mkdir(parents=True, exist_ok=True)
        header, parts = package.to_wire()
        (place / "header").write_text(json.dumps([header, len(parts)]), encoding="ascii")
        for number, part in enumerate(parts):
            (place / str(number)).write_bytes(part)
        lines = (
            "from greencoro.compute import spawned_main",
            f"globals().update(spawned_main.contents({str(place)!r}, {str(directory)!r}))",
        )
        # Last, and at once: another coroutine may begin a process in the middle of this.
        unfinished = place / f"main-{os.getpid()}"
        unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
        unfinished.rename(script)
    return script


def contents(place: str, directory: str) -> dict[str, Any]:
    """What `write` left there; in the new process."""
    header, count = json.loads(Path(place, "header").read_text(encoding="ascii"))
    parts = [Path(place, str(number)).read_bytes() for number in range(count)]
    before = sys.modules[MAIN]
    main = fresh_main()
    try:
        Loader(directory).install(Package.from_wire(header, parts))
    finally:
        sys.modules[MAIN] = before
    return {name: value for name, value in vars(main).items() if not name.startswith("__")}
