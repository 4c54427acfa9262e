"""The checks of `greencoro doctor` that need no network: this process, its settings, its secret, its limits."""

from __future__ import annotations

import dataclasses
import platform
import resource
import stat
import sys
from pathlib import Path

import cryptography
import gevent
import greenlet
from gevent import monkey

from greencoro._version import __version__
from greencoro.cli.findings import Finding, Level, ok_or_warn
from greencoro.cli.steps import Warnings
from greencoro.config import Settings, describe
from greencoro.distributed.credentials import load as load_credentials
from greencoro.distributed.preamble import PROTOCOL
from greencoro.distributed.secret import Secret
from greencoro.distributed.secret import load as load_secret
from greencoro.errors import ConfigError

__all__ = ["certificate", "descriptors", "memory_maps", "patched", "secret_of", "settings_of", "versions"]

#: Each connection takes one; so does each open file.
FEW_DESCRIPTORS = 1024
#: The kernel's own default, which a process with very many coroutines comes near to.
USUAL_MEMORY_MAPS = 65530
_MEMORY_MAPS_FILE = Path("/proc/sys/vm/max_map_count")
#: What `gevent.monkey.patch_all` would have replaced parts of.
_PATCHABLE = ("os", "queue", "select", "selectors", "signal", "socket", "ssl", "subprocess", "thread", "time")


def versions() -> Finding:
    """What this is, and what it runs on."""
    data = {
        "greencoro": __version__,
        "protocol": PROTOCOL,
        "python": platform.python_version(),
        "gevent": gevent.__version__,
        "greenlet": greenlet.__version__,
        "cryptography": cryptography.__version__,
        "system": platform.platform(),
        "executable": sys.executable,
    }
    text = (
        f"greencoro {data['greencoro']} (protocol {PROTOCOL}), Python {data['python']}, gevent {data['gevent']}, "
        f"greenlet {data['greenlet']}, cryptography {data['cryptography']}, {data['system']}"
    )
    return Finding("versions", Level.OK, text, data=data)


def patched() -> Finding:
    """Which modules of the standard library gevent has patched in this process."""
    found = [name for name in _PATCHABLE if monkey.is_module_patched(name)]
    text = f"gevent has patched {', '.join(found)}" if found else "nothing of the standard library is patched"
    return Finding("patched", Level.OK, text, data={"modules": found})


def settings_of(secret_file: Path | None) -> tuple[Settings | None, Finding]:
    """The settings of this process, None where they cannot work; ``secret_file`` goes before what they say."""
    with Warnings() as warnings:
        try:
            settings = Settings.from_env()
        except ConfigError as error:
            advice = "mend or unset the variable; `python -m greencoro.config` lists all with what they may be"
            return None, Finding("settings", Level.FAIL, str(error), advice, {"changed": {}, "unknown": []})
    changed = {
        setting.environment_variable: str(getattr(settings, setting.name))
        for setting in describe()
        if getattr(settings, setting.name) != getattr(Settings(), setting.name)
    }
    said = [f"{name}={value}" for name, value in changed.items()]
    text = "; ".join([f"not by default: {', '.join(said)}" if said else "all by default", *warnings.said])
    advice = "unset what is misspelt, or spell it as `python -m greencoro.config` does" if warnings.said else ""
    data = {"changed": changed, "unknown": warnings.said}
    if secret_file is not None:
        settings = dataclasses.replace(settings, secret_file=secret_file)
    return settings, Finding("settings", ok_or_warn(not warnings.said), text, advice, data)


def secret_of(settings: Settings, is_named: bool) -> tuple[Secret | None, Finding]:
    """The secret, made where there is none yet as a runtime would; None where it cannot be used.

    Args:
        is_named (bool): The file was named on the command line: one that is not there is a mistake.
    """
    path = settings.secret_path
    was_there = path.exists()
    data: dict[str, object] = {"file": str(path), "fingerprint": None, "mode": None, "made_now": not was_there}
    if is_named and not was_there:
        data["made_now"] = False
        return None, Finding("secret", Level.FAIL, f"there is no file {path}", "name the right file", data)
    with Warnings() as warnings:
        try:
            secret = load_secret(None, file=path)
            mode = oct(stat.S_IMODE(path.stat().st_mode))[2:].zfill(4)
        except (ConfigError, OSError) as error:
            advice = "mend the file as it says; the manual has a page on the secret"
            return None, Finding("secret", Level.FAIL, str(error), advice, data)
    data |= {"fingerprint": secret.fingerprint, "mode": mode}
    text = f"fingerprint {secret.fingerprint}, from {path} (mode {mode})"
    if not was_there:
        advice = "other machines have another one: copy this file there, or theirs to here"
        return secret, Finding("secret", Level.WARN, f"{text}, made just now for there was none", advice, data)
    if warnings.said:
        advice = "remove the file to have one made, and copy that to the other machines"
        return secret, Finding("secret", Level.WARN, f"{text}; {'; '.join(warnings.said)}", advice, data)
    return secret, Finding("secret", Level.OK, text, data=data)


def certificate(certfile: Path | None, keyfile: Path | None) -> Finding:
    """The certificate of a runtime with TLS."""
    data = {"file": None if certfile is None else str(certfile), "sha256": None}
    try:
        loaded = load_credentials(certfile, keyfile)
    except ConfigError as error:
        advice = "`greencoro cert make` makes one; the manual has a page on TLS"
        return Finding("certificate", Level.FAIL, str(error), advice, data)
    assert loaded is not None, "one of the two files is named"
    data["sha256"] = loaded.certificate_hash.hex()
    return Finding("certificate", Level.OK, f"SHA-256 {data['sha256']}, from {certfile}", data=data)


def descriptors() -> Finding:
    """How many files and connections this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = [None if limit == resource.RLIM_INFINITY else limit for limit in (soft, hard)]
    data = dict(zip(("soft", "hard"), shown, strict=True))
    words = ["no limit" if limit is None else str(limit) for limit in shown]
    text = f"open files: {words[0]} (`ulimit -n`), at most {words[1]} (`ulimit -Hn`)"
    if shown[0] is None or shown[0] >= FEW_DESCRIPTORS:
        return Finding("descriptors", Level.OK, text, data=data)
    advice = f"each peer takes one: raise it with `ulimit -n {FEW_DESCRIPTORS}` or more before the program starts"
    return Finding("descriptors", Level.WARN, text, advice, data)


def memory_maps() -> Finding:
    """How many memory maps this process may have, which bounds how many coroutines may wait at once."""
    try:
        limit = int(_MEMORY_MAPS_FILE.read_text())
    except (OSError, ValueError):
        return Finding("memory_maps", Level.OK, "this system has no vm.max_map_count", data={"limit": None})
    text = f"memory maps of a process: {limit} (vm.max_map_count)"
    if limit >= USUAL_MEMORY_MAPS:
        return Finding("memory_maps", Level.OK, text, data={"limit": limit})
    usual = f"`sysctl vm.max_map_count={USUAL_MEMORY_MAPS}`"
    advice = f"that is less than usual, and may be too few where very many coroutines wait: {usual}"
    return Finding("memory_maps", Level.WARN, text, advice, {"limit": limit})
