"""Settings of greencoro, each described in one place.

A setting's name carries its unit. In the environment it is ``GREENCORO_`` plus the name in capitals, in a TOML file the
name itself is the key. ``python -m greencoro.config`` prints all of them with the values they have here.

Objects are given the values they use, not the whole `Settings`; nothing else in the package reads the environment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greencoro.errors import ConfigError

__all__ = ["Setting", "Settings", "describe", "table"]

logger = logging.getLogger(__name__)

#: Lines about the process's own environment that were told: it is read by each Runtime, and has not changed.
_told: set[str] = set()

ENVIRONMENT_PREFIX = "GREENCORO_"
KIB = 1024
MIB = 1024 * KIB
_BYTE_UNITS = {"": 1, "B": 1, "KIB": KIB, "MIB": MIB, "GIB": 1024 * MIB}


@dataclass(frozen=True)
class _Kind:
    """What one setting may be.

    Attributes:
        allowed (str): Ends the sentence "... must be ...".

        read: Makes a value of text, as from the environment. Raises ValueError where it cannot.

        check: Returns the value in its own type. Raises ValueError where it is not allowed.

        show: The value as a person writes it, readable by `read`.
    """

    allowed: str
    read: Callable[[str], Any]
    check: Callable[[Any], Any]
    show: Callable[[Any], str] = str


def _seconds(lowest: float, highest: float) -> _Kind:
    def check(value: Any) -> float:
        # bool is an int to Python, and NaN compares as neither too low nor too high.
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise ValueError
        if not lowest <= value <= highest:
            raise ValueError
        return float(value)

    return _Kind(f"a number of seconds from {lowest:g} to {highest:g}", float, check, lambda value: f"{value:g}")


def _count(lowest: int, highest: int, because: str = "") -> _Kind:
    return _Kind(f"a whole number from {lowest} to {highest}{because}", int, _whole(lowest, highest))


def _byte_count(lowest: int, highest: int) -> _Kind:
    allowed = f"a number of bytes from {_show_bytes(lowest)} to {_show_bytes(highest)}"
    return _Kind(allowed, _read_bytes, _whole(lowest, highest), _show_bytes)


def _whole(lowest: int, highest: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError
        return value

    return check


def _read_bytes(text: str) -> int:
    match = re.fullmatch(r"\s*(\d[\d_]*)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _BYTE_UNITS:
        raise ValueError
    return int(match[1]) * _BYTE_UNITS[match[2].upper()]


def _show_bytes(value: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        size = _BYTE_UNITS[unit.upper()]
        if value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return str(value)


def _path() -> _Kind:
    def check(value: Any) -> Path:
        if not isinstance(value, str | Path) or not str(value):
            raise ValueError
        return Path(value).expanduser()

    return _Kind("the path of a file", Path, check)


def _multicast_group() -> _Kind:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not ipaddress.IPv4Address(value).is_multicast:
            raise ValueError
        return value

    return _Kind("an IPv4 multicast address (239.0.0.0 to 239.255.255.255 are for local use)", str.strip, check)


def _optional(kind: _Kind) -> _Kind:
    """`kind`, or None, which text spells ``none`` (TOML has no null)."""
    return _Kind(
        f"{kind.allowed}, or none",
        lambda text: None if text.strip().lower() == "none" else kind.read(text),
        lambda value: None if value is None else kind.check(value),
        lambda value: "none" if value is None else kind.show(value),
    )


def _about(kind: _Kind, doc: str) -> dict[str, Any]:
    return {"kind": kind, "doc": doc}


@dataclass(frozen=True)
class Settings:
    """The settings of a process, complete and checked, also against each other.

    `Settings()` has the defaults and `Settings(tick_seconds=0.2)` another tick; `from_env` asks the environment and a
    file as well.

    Raises:
        ConfigError: A value that is not allowed, or two that contradict each other. The sentence names the setting, its
            value, where that came from and what is allowed.
    """

    tick_seconds: float = field(
        default=5.0,
        metadata=_about(_seconds(0.01, 3600), "Between two heartbeats on a connection that is otherwise quiet."),
    )
    peer_timeout_ticks: int = field(
        default=4,
        metadata=_about(
            _count(2, 1000, because=" (with fewer, peers would be lost between two heartbeats)"),
            "Ticks of silence after which a peer is lost; it is noticed within one tick of that.",
        ),
    )
    connect_timeout_seconds: float = field(
        default=5.0, metadata=_about(_seconds(0.01, 3600), "Longest wait for a TCP connection to be accepted.")
    )
    handshake_seconds: float = field(
        default=5.0,
        metadata=_about(
            _seconds(0.01, 300), "Deadline of the whole handshake, from accepting a connection to its first record."
        ),
    )
    max_unauthenticated: int = field(
        default=64,
        metadata=_about(
            _count(1, 100_000),
            "Connections that may be in their handshake at once; for one more the oldest that said least is dropped.",
        ),
    )
    max_unauthenticated_per_address: int = field(
        default=16, metadata=_about(_count(1, 100_000), "The same for the connections that come from one address.")
    )
    max_handshake_frame_bytes: int = field(
        default=4 * KIB,
        metadata=_about(_byte_count(2 * KIB, 65_535), "Largest handshake message that is taken from somebody unknown."),
    )
    max_message_bytes: int = field(
        default=64 * MIB,
        metadata=_about(_byte_count(1 * KIB, 1024 * MIB), "Largest serialized message; sending a larger one raises."),
    )
    max_queue_messages: int = field(
        default=10_000,
        metadata=_about(_count(1, 100_000_000), "Messages that may wait for one mailbox from one other process."),
    )
    max_queue_bytes: int = field(
        default=64 * MIB,
        metadata=_about(
            _byte_count(1 * KIB, 1024 * 1024 * MIB), "Bytes that may wait for one mailbox from one other process."
        ),
    )
    send_timeout_seconds: float | None = field(
        default=None,
        metadata=_about(
            _optional(_seconds(0, 86_400)),
            "How long send waits for room in a full queue before it returns -1; none: as long as the peer timeout.",
        ),
    )
    max_mailbox_messages: int | None = field(
        default=None,
        metadata=_about(
            _optional(_count(1, 1_000_000_000)), "Messages in a mailbox from which on senders in its process wait."
        ),
    )
    chunk_bytes: int = field(
        default=256 * KIB,
        metadata=_about(
            _byte_count(4 * KIB, 1 * MIB),
            "A longer message travels in pieces of this size, so that short ones pass between them.",
        ),
    )
    ping_interval_seconds: float | None = field(
        default=None,
        metadata=_about(
            _optional(_seconds(0.05, 86_400)),
            "How often a runtime that takes part in discovery says that it is there; none: only at its start.",
        ),
    )
    multicast_group: str | None = field(
        default=None,
        metadata=_about(
            _optional(_multicast_group()), "Multicast group that discovery uses beside broadcast, on IPv4; none: none."
        ),
    )
    secret_file: Path | None = field(
        default=None,
        metadata=_about(
            _optional(_path()),
            "File of the secret that lets processes in; none: the file `secret` in the user's configuration directory.",
        ),
    )
    max_blocked_seconds: float | None = field(
        default=5.0,
        metadata=_about(
            _optional(_seconds(0.05, 86_400)),
            "How long one coroutine may keep all others waiting before a warning names it; none: for ever.",
        ),
    )
    log_lines_per_second: int = field(
        default=10,
        metadata=_about(
            _count(1, 1_000_000), "Log lines a second that one cause on the network may produce; the rest are counted."
        ),
    )

    def __post_init__(self) -> None:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        defaults = {f.name: "by default" for f in dataclasses.fields(self) if f.default == values[f.name]}
        for name, value in _checked(values, defaults).items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, file: str | os.PathLike[str] | None = None) -> Settings:
        """The settings as the environment gives them, else the file, else their defaults.

        Args:
            environ: Variables by name; None for those of the process. One that is set but empty counts as not set. One
                that begins with ``GREENCORO_`` but names no setting is logged as a warning: of the process's own only
                once, and to standard error where it set up no logging.

            file: A TOML file with settings at its top level; None for no file.

        Raises:
            ConfigError: The file cannot be read or has a key that is no setting, or a value cannot work.
        """
        is_own = environ is None
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        if file is not None:
            for name, value in _read_file(Path(file)).items():
                values[name] = _read(name, value, f"in {file}") if isinstance(value, str) else value
                origins[name] = f"in {file}"
        variables = {setting.environment_variable: setting.name for setting in describe()}
        for variable in sorted(environ):
            if not variable.startswith(ENVIRONMENT_PREFIX) or not environ[variable].strip():
                continue
            if variable not in variables:
                line = f"{variable!r} is set, but is no setting{_nearest(variable, variables)}"
                if not is_own:
                    logger.warning("%s", line)
                elif line not in _told:
                    _told.add(line)
                    _warn(line)
                continue
            name = variables[variable]
            origins[name] = f"in the environment as {variable}"
            values[name] = _read(name, environ[variable], origins[name])
        return cls(**_checked(values, origins))

    @property
    def peer_timeout_seconds(self) -> float:
        """Silence, in seconds, after which a peer is lost."""
        return self.tick_seconds * self.peer_timeout_ticks

    @property
    def effective_send_timeout_seconds(self) -> float:
        """How long `send` waits for room, in seconds, whether set or following the peer timeout."""
        return self.peer_timeout_seconds if self.send_timeout_seconds is None else self.send_timeout_seconds

    @property
    def secret_path(self) -> Path:
        """Where the secret is, whether set or in the user's configuration directory."""
        if self.secret_file is not None:
            return self.secret_file
        # Here, as a process that a cluster starts has its secret from there, and others wait for its imports.
        from platformdirs import user_config_dir

        return Path(user_config_dir("greencoro"), "secret")


@dataclass(frozen=True)
class Setting:
    """The description of one setting.

    Attributes:
        name (str): Field of `Settings` and key in a TOML file.

        default (str): As a person writes it.

        allowed (str): What it must be.

        doc (str): What it is for.
    """

    name: str
    default: str
    allowed: str
    doc: str

    @property
    def environment_variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()


def describe() -> Iterator[Setting]:
    """Every setting, in the order in which `Settings` declares them."""
    for each in dataclasses.fields(Settings):
        kind: _Kind = each.metadata["kind"]
        yield Setting(each.name, kind.show(each.default), kind.allowed, each.metadata["doc"])


def table(settings: Settings) -> str:
    """Every setting with its value, default, variable and meaning, one block of text for people."""
    lines = ["setting, its value here (and default)", ""]
    for setting in describe():
        value = _kind(setting.name).show(getattr(settings, setting.name))
        default = "" if value == setting.default else f"  (default {setting.default})"
        lines += [
            f"{setting.name} = {value}{default}",
            f"    {setting.doc}",
            f"    {setting.environment_variable}: {setting.allowed}",
        ]
    return "\n".join(lines)


def _kind(name: str) -> _Kind:
    kind: _Kind = Settings.__dataclass_fields__[name].metadata["kind"]
    return kind


def _refusal(name: str, shown: str, origin: str) -> ConfigError:
    return ConfigError(f"{name} is {shown} {origin}, but must be {_kind(name).allowed}")


def _read(name: str, text: str, origin: str) -> Any:
    try:
        return _kind(name).read(text)
    except ValueError:
        raise _refusal(name, repr(text), origin) from None


def _checked(values: Mapping[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """`values` in their own types, each allowed by itself and all together; those missing have their defaults."""

    def origin(name: str) -> str:
        return origins.get(name, "as given to Settings" if name in values else "by default")

    checked: dict[str, Any] = {}
    for name, value in values.items():
        try:
            checked[name] = _kind(name).check(value)
        except ValueError:
            raise _refusal(name, repr(value), origin(name)) from None

    def whole(name: str) -> Any:
        return checked.get(name, Settings.__dataclass_fields__[name].default)

    def at_most(lower: str, upper: str, because: str) -> None:
        if whole(lower) > whole(upper):
            raise ConfigError(
                f"{lower} is {_kind(lower).show(whole(lower))} {origin(lower)}, more than {upper}, which is "
                f"{_kind(upper).show(whole(upper))} {origin(upper)}: {because}"
            )

    at_most("max_message_bytes", "max_queue_bytes", "a message of full size would never find room in the queue")
    at_most("max_unauthenticated_per_address", "max_unauthenticated", "one address could have more than all together")
    return checked


def _read_file(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the settings file {path} is not TOML: {error}") from error
    names = [setting.name for setting in describe()]
    for key in found:
        if key not in names:
            raise ConfigError(f"{key!r} in {path} is no setting{_nearest(key, names)}")
    return found


def _warn(line: str) -> None:
    """Log a warning that also reaches those whose program set up no logging. (`hub.telling` stands above.)"""
    heard: logging.Logger | None = logger
    while heard is not None and all(isinstance(handler, logging.NullHandler) for handler in heard.handlers):
        heard = heard.parent if heard.propagate else None
    if heard is not None:
        logger.warning("%s", line)
    elif sys.stderr is not None:
        # A stream that is closed or whose reader is gone cannot be told of anything.
        with contextlib.suppress(OSError, ValueError):
            print(f"greencoro: {line}", file=sys.stderr, flush=True)


def _nearest(name: str, known: Mapping[str, str] | list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else "; `python -m greencoro.config` lists them"


if __name__ == "__main__":
    try:
        print(table(Settings.from_env()))
    except ConfigError as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(2)
